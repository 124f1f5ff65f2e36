import type { ChildProcess } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { installCommand } from './plan.ts'
import type { Way } from './plan.ts'
import { choosePort, complete, end, isRunning, start } from './processes.ts'
import { findServer } from './surroundings.ts'

/** What the service is given to talk to. */
export interface DevRedis {
  /** Null: what the environment says. */
  url: string | null
  description: string
  /** To freeze and thaw it by hand; null where it is not our process. */
  pid: number | null
  stop (): Promise<void>
}

export interface Setting {
  env: NodeJS.ProcessEnv
  /** Where the data of a local server lies. */
  directory: string
  packageManager: string | null
  say: (text: string) => void
}

const START_DEADLINE_MS = 10_000
const INSTALL_DEADLINE_MS = 180_000
const PULL_DEADLINE_MS = 120_000
const LOOK_AGAIN_MS = 500

/** Tries one way after the other; a way that fails says why. */
export async function obtainRedis (ways: Way[], setting: Setting): Promise<DevRedis> {
  for (const way of ways) {
    try {
      return await go(way, setting)
    } catch (err) {
      setting.say(`No Redis from "${way.kind}": ${(err as Error).message}`)
    }
  }
  throw new Error('no way to get a Redis was given')
}

async function go (way: Way, setting: Setting): Promise<DevRedis> {
  switch (way.kind) {
    case 'configured': return { url: null, description: 'as the environment says', pid: null, stop: async () => {} }
    case 'local': return await startServer(way.binary, setting)
    case 'install': return await startServer(await install(setting), setting)
    case 'container': return await startContainer(way.engine, setting)
    case 'degraded': return await waitForServer(setting)
  }
}

async function startServer (binary: string, { directory, env }: Setting, at?: number): Promise<DevRedis> {
  mkdirSync(directory, { recursive: true })
  const earlier = await findEarlier(directory)
  if (earlier !== null && at === undefined) return earlier
  const port = at ?? await choosePort(0)
  const child = await start(binary, [
    '--bind', '127.0.0.1', '--port', String(port), '--dir', directory, '--appendonly', 'yes', '--save', ''
  ], { env, stdio: 'ignore' })
  await untilAnswering(child, port, START_DEADLINE_MS)
  writeFileSync(join(directory, 'port'), String(port))
  writeFileSync(join(directory, 'pid'), String(child.pid))
  return running(child, port, `${binary}, data in ${directory}`)
}

/** Two servers on one directory would ruin its data, so one that an earlier run left, or a second terminal runs, is shared. */
async function findEarlier (directory: string): Promise<DevRedis | null> {
  try {
    const port = Number(readFileSync(join(directory, 'port'), 'utf8'))
    if (!(await ask(port, 'CONFIG GET dir')).includes(`\r\n${directory}\r\n`)) return null
    return {
      url: `redis://127.0.0.1:${port}`,
      description: `already running on ${directory}; it is not stopped here`,
      pid: null,
      stop: async () => {}
    }
  } catch {
    return null
  }
}

async function install ({ env, say }: Setting): Promise<string> {
  say('Installing redis-server: this is a container or CI, and we are root.')
  // RUNLEVEL=1 keeps the package from starting a server of its own.
  const quiet = { ...env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  await complete('apt-get', ['update', '-qq'], quiet, INSTALL_DEADLINE_MS)
  await complete('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'redis-server'], quiet, INSTALL_DEADLINE_MS)
  const binary = findServer(env)
  if (binary === null) throw new Error('apt-get succeeded, but there is no redis-server on the PATH')
  return binary
}

async function startContainer (engine: string, { env, say }: Setting): Promise<DevRedis> {
  const image = env.REDIS_IMAGE || 'redis:7'
  say(`Starting ${image} with ${engine}.`)
  const port = await choosePort(0)
  const child = await start(engine, [
    'run', '--rm', '-p', `127.0.0.1:${port}:6379`, '-v', 'breakwater-dev:/data', image, '--appendonly', 'yes'
  ], { env, stdio: ['ignore', 'ignore', 2] })
  await untilAnswering(child, port, PULL_DEADLINE_MS)
  return { ...running(child, port, `container of ${image} (${engine}), data in its volume breakwater-dev`), pid: null }
}

function running (child: ChildProcess, port: number, description: string): DevRedis {
  return {
    url: `redis://127.0.0.1:${port}`,
    description,
    pid: child.pid ?? null,
    stop: async () => { await end(child) }
  }
}

/** Degraded: the service journals, and finds a server on this port as soon as one has been installed. */
async function waitForServer (setting: Setting): Promise<DevRedis> {
  const port = await choosePort(0)
  const command = installCommand(setting.packageManager, port)
  let started: DevRedis | null = null
  const timer = setInterval(() => {
    const binary = findServer(setting.env)
    if (binary === null) return
    clearInterval(timer)
    startServer(binary, setting, port).then(redis => {
      started = redis
      setting.say(`Redis is here (${redis.description}): what waits in the journal goes to the queue now.`)
    }, err => setting.say(`${binary} did not start: ${err.message}`))
  }, LOOK_AGAIN_MS)
  return {
    url: `redis://127.0.0.1:${port}`,
    description: `none found. Events are journaled until there is one. To get it, run in another terminal:\n            ${command}`,
    pid: null,
    stop: async () => {
      clearInterval(timer)
      await started?.stop()
    }
  }
}

async function untilAnswering (child: ChildProcess, port: number, deadlineMs: number): Promise<void> {
  const giveUpAt = Date.now() + deadlineMs
  while (Date.now() < giveUpAt && isRunning(child)) {
    const answer = await ask(port, 'PING').catch(() => '')
    if (answer.startsWith('+PONG')) return
    await delay(20)
  }
  const exitCode = await end(child)
  throw new Error(`it did not answer on port ${port} (exit code ${exitCode})`)
}

/** One inline command and the raw start of its answer. */
async function ask (port: number, command: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', timeout: 1000 })
      .on('connect', () => socket.write(`${command}\r\n`))
      .on('data', data => { resolve(data.toString()); socket.destroy() })
      .on('timeout', () => socket.destroy(new Error('no answer')))
      .on('error', reject)
      .on('close', () => reject(new Error('connection closed')))
  })
}
