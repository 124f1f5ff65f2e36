import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join, relative, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { banner } from './dev/banner.ts'
import { ways } from './dev/plan.ts'
import { choosePort, end, isRunning, start } from './dev/processes.ts'
import { obtainRedis } from './dev/redis.ts'
import type { DevRedis } from './dev/redis.ts'
import { disposable, look } from './dev/surroundings.ts'

const SERVER = resolve(import.meta.dirname, '../server.ts')
const READY_DEADLINE_MS = 15_000

export interface DevOptions {
  /** Folder for the database and for Redis. Default `./data`. */
  data?: string
  isDisposable?: typeof disposable
  say?: (text: string) => void
  /** Ends the run, as Ctrl-C does. */
  signal: AbortSignal
}

/** The service with a Redis of its own, until `signal`. @returns the exit code. */
export async function dev (env: NodeJS.ProcessEnv, options: DevOptions): Promise<number> {
  const { isDisposable = disposable, say = text => { process.stdout.write(`${text}\n`) }, signal } = options
  const data = resolve(options.data ?? 'data')
  const surroundings = await look(env, isDisposable)
  const { packageManager } = surroundings
  const redis = await obtainRedis(ways(surroundings), { env, directory: join(data, 'redis'), packageManager, say })
  try {
    const service = await startService(env, redis, data)
    const answers = await untilAnswering(service, signal)
    if (answers) say(banner({ url: service.url, redis, database: service.database }))
    if (isRunning(service.child)) await once(service.child, 'exit', { signal }).catch(() => {})
    const exitCode = await end(service.child)
    if (!signal.aborted) say(`The service ended by itself with exit code ${exitCode}.`)
    return signal.aborted ? exitCode ?? 1 : 1
  } finally {
    await redis.stop()
  }
}

interface Service { child: ChildProcess, url: string, database: string }

async function startService (env: NodeJS.ProcessEnv, redis: DevRedis, data: string): Promise<Service> {
  const port = env.PORT || String(await choosePort(3000))
  const database = env.DATABASE_URL || `sqlite:${join(data, 'breakwater.db')}`
  const child = await start(process.execPath, [SERVER], {
    env: {
      // Nobody waits for a load balancer here: Ctrl-C is immediate.
      DRAIN_MS: '0',
      ...env,
      ...(redis.url === null ? {} : { REDIS_URL: redis.url }),
      PORT: port,
      DATABASE_URL: database
    },
    stdio: ['ignore', 'inherit', 'inherit']
  })
  return { child, url: `http://${env.HOST || '127.0.0.1'}:${port}`, database: relative('', database.replace(/^sqlite:/, '')) }
}

async function untilAnswering ({ child, url }: Service, signal: AbortSignal): Promise<boolean> {
  const giveUpAt = Date.now() + READY_DEADLINE_MS
  while (Date.now() < giveUpAt && isRunning(child) && !signal.aborted) {
    const response = await fetch(`${url}/health/live`, { signal: AbortSignal.timeout(1000) }).catch(() => null)
    if (response?.ok) return true
    await delay(25)
  }
  return false
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { data: { type: 'string' } } })
  const stop = new AbortController()
  // npm passes Ctrl-C on as well, so the signal can come twice: it stays caught.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => stop.abort())
  process.exitCode = await dev(process.env, { ...values, signal: stop.signal })
}
