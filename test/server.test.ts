import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { freePort, startRedis } from './helpers/redis-server.ts'
import type { Teardown } from './helpers/redis-server.ts'
import { temporaryDirectory } from './helpers/temporary.ts'
import { until } from './helpers/until.ts'

const SERVER = join(import.meta.dirname, '..', 'server.ts')
const CANARY = 'canary-7f3a'

interface Service { url: string, child: ChildProcess, output: () => string, exit: Promise<number | null> }

async function start (t: Teardown, env: NodeJS.ProcessEnv): Promise<Service> {
  const port = await freePort()
  const directory = await temporaryDirectory(t)
  const child = spawn(process.execPath, [SERVER], {
    env: {
      PATH: process.env.PATH, PORT: String(port), DATABASE_URL: `sqlite:${directory}/store.db`, DRAIN_MS: '0', ...env
    }
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += chunk })
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  return { url: `http://127.0.0.1:${port}`, child, output: () => output, exit }
}

const answers = ({ url }: Service) => until(() => fetch(`${url}/health/live`).then(({ ok }) => ok, () => false))

t.test('R7.5, I7 SIGTERM with Redis frozen: readiness first, then a clean exit in time', async (t) => {
  const redis = await startRedis(t)
  const service = await start(t, { REDIS_URL: redis.url, DRAIN_MS: '300' })
  await answers(service)
  await until(() => fetch(`${service.url}/health/ready`).then(({ ok }) => ok))
  redis.freeze()
  service.child.kill('SIGTERM')
  await until(() => fetch(`${service.url}/health/ready`).then(({ status }) => status === 503, () => true))
  const live = await fetch(`${service.url}/health/live`).then(({ status }) => status)
  t.equal(live, 200, 'liveness stays good while draining')
  const startedAt = performance.now()
  t.equal(await service.exit, 0)
  t.ok(performance.now() - startedAt < 300 + 1500)
})

t.test('R7.5 SIGTERM under load with Redis frozen: not ready within 50 ms, no request lost, exit 0 in time', async (t) => {
  const redis = await startRedis(t)
  const service = await start(t, { REDIS_URL: redis.url, DRAIN_MS: '500' })
  await until(() => fetch(`${service.url}/health/ready`).then(({ ok }) => ok, () => false))
  redis.freeze()
  const traffic = new AbortController()
  const answered: number[] = []
  const post = async (writer: number) => {
    for (let version = 1; !traffic.signal.aborted; version++) {
      const response = await fetch(`${service.url}/models`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model_name: `m${writer}`, version: String(version), token_id: 'tok', metric_name: 'auc', baseline_value: 1 })
      })
      answered.push(response.status)
    }
  }
  const writers = Promise.all(Array.from({ length: 8 }, (_, writer) => post(writer)))
  await until(() => answered.length > 50)
  const signalledAt = performance.now()
  service.child.kill('SIGTERM')
  await until(() => fetch(`${service.url}/health/ready`).then(({ status }) => status === 503))
  t.ok(performance.now() - signalledAt < 50 + 250, 'not ready: 50 ms, and what a busy machine adds')
  const before = answered.length
  await until(() => answered.length > before + 20)
  traffic.abort()
  await writers
  t.ok(answered.every((status) => status === 201), `${answered.length} requests, all of them answered and accepted`)
  t.equal(await service.exit, 0)
  t.ok(performance.now() - signalledAt < 500 + 1000 + 500, 'within the drain time and a second')
})

t.test('R3.2, I7 the service boots while Redis refuses, and ends cleanly', async (t) => {
  const service = await start(t, { REDIS_URL: `redis://127.0.0.1:${await freePort()}` })
  await answers(service)
  const response = await fetch(`${service.url}/models`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model_name: 'churn', version: '1', token_id: 'hok', metric_name: 'auc', baseline_value: 1 })
  })
  t.equal(response.status, 201)
  service.child.kill('SIGINT')
  t.equal(await service.exit, 0)
})

t.test('R1.6 REDIS_REQUIRED with an invalid configuration exits 1 in less than a second, naming everything', async (t) => {
  // How fast this machine is at the moment: Node alone, which takes a fiftieth of a second on an idle one.
  const aloneAt = performance.now()
  await once(spawn(process.execPath, ['-e', '']), 'exit')
  const aloneMs = performance.now() - aloneAt
  const startedAt = performance.now()
  const service = await start(t, { REDIS_REQUIRED: 'true', REDIS_URL: `htp://user:${CANARY}@cache:6379`, REDIS_TLS_ENABLED: 'perhaps', PORT: '0' })
  t.equal(await service.exit, 1)
  const tookMs = performance.now() - startedAt
  t.comment(`exit after ${tookMs.toFixed(0)} ms; Node alone takes ${aloneMs.toFixed(0)} ms`)
  t.ok(tookMs < Math.max(1000, 40 * aloneMs), 'a second, or as many times longer as the machine is busy')
  t.match(service.output(), /REDIS_URL/)
  t.match(service.output(), /REDIS_TLS_ENABLED/)
  t.notMatch(service.output(), CANARY)
})

t.test('a port in use ends the process with code 1 and a reason', async (t) => {
  const first = await start(t, {})
  await answers(first)
  const second = await start(t, { PORT: new URL(first.url).port })
  t.equal(await second.exit, 1)
  t.match(second.output(), /EADDRINUSE/)
})

t.test('I6 a token that Redis refuses appears nowhere', async (t) => {
  const redis = await startRedis(t, { args: ['--requirepass', 'right'], client: { password: 'right' } })
  const service = await start(t, { REDIS_HOST: redis.host, REDIS_PORT: String(redis.port), REDIS_AUTH_TOKEN: CANARY, LOG_LEVEL: 'trace' })
  await answers(service)
  await until(() => fetch(`${service.url}/health`).then(async (response) => (await response.json() as any).status === 'degraded'))
  const bodies = await Promise.all(['', '/live', '/ready', '/alb'].map((path) => fetch(`${service.url}/health${path}`).then((response) => response.text())))
  service.child.kill('SIGTERM')
  t.equal(await service.exit, 0)
  t.notMatch(bodies.join('') + service.output(), CANARY)
})
