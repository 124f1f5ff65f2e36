import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import Fastify from 'fastify'
import t from 'tap'
import { buildApp } from '../../app.ts'
import errors, { problemServerOptions } from '../../plugins/errors.ts'
import healthPlugin from '../../plugins/health.ts'
import pressure from '../../plugins/pressure.ts'
import healthRoutes from '../../routes/health/index.ts'
import type { CheckResult, CheckStatus } from '../../services/health/check.ts'
import { until } from '../helpers/until.ts'

interface Teardown { teardown (fn: () => unknown): void }

const paths = ['/health', '/health/live', '/health/ready', '/health/alb'] as const

async function build (t: Teardown, results: Record<string, CheckResult | Error> = {}, pressureOptions: object = { maxEventLoopDelayMs: 0, healthIntervalMs: 10 }) {
  const lines: any[] = []
  const app = Fastify({
    ...problemServerOptions,
    logger: { level: 'info', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } }
  })
  await app.register(errors)
  await app.register(healthPlugin)
  await app.register(pressure, pressureOptions)
  await app.register(healthRoutes)
  app.get('/business', async () => 'served')
  for (const name of Object.keys(results)) {
    app.health.register({
      name,
      critical: name !== 'redis',
      read: () => {
        const result = results[name]!
        if (result instanceof Error) throw result
        return result
      }
    })
  }
  t.teardown(() => app.close())
  return { app, lines, results }
}

t.test('R7.1 every state of every dependency, on every route', async (t) => {
  const ok = { status: 'ok' } as const
  const failed = { status: 'failed' } as const
  const table: { title: string, checks: Record<string, CheckResult>, health: [number, string], ready: [number, string | undefined], alb: number }[] = [
    { title: 'all well', checks: { database: ok, journal: ok, redis: ok }, health: [200, 'healthy'], ready: [200, undefined], alb: 200 },
    { title: 'R1.3 Redis disabled', checks: { database: ok, journal: ok, redis: { status: 'disabled' } }, health: [200, 'healthy'], ready: [200, undefined], alb: 200 },
    { title: 'Redis failing', checks: { database: ok, journal: ok, redis: failed }, health: [200, 'degraded'], ready: [200, undefined], alb: 200 },
    { title: 'Redis not known', checks: { database: ok, journal: ok, redis: { status: 'unknown' } }, health: [200, 'degraded'], ready: [200, undefined], alb: 200 },
    { title: 'database failing', checks: { database: failed, journal: ok, redis: ok }, health: [503, 'unhealthy'], ready: [503, 'unhealthy'], alb: 503 },
    { title: 'journal full', checks: { database: ok, journal: { status: 'failed', kind: 'full' }, redis: failed }, health: [503, 'unhealthy'], ready: [503, 'unhealthy'], alb: 503 },
    { title: 'everything failing', checks: { database: failed, journal: failed, redis: failed }, health: [503, 'unhealthy'], ready: [503, 'unhealthy'], alb: 503 }
  ]
  for (const { title, checks, health, ready, alb } of table) {
    await t.test(title, async (t) => {
      const { app } = await build(t, checks)
      const [full, live, readiness, target] = await Promise.all(paths.map(url => app.inject(url)))
      t.equal(full!.statusCode, health[0])
      t.strictSame(full!.json(), {
        status: health[1],
        checks: { pressure: 'ok', ...Object.fromEntries(Object.entries(checks).map(([name, { status }]) => [name, status])) }
      })
      t.equal(live!.statusCode, 200)
      t.strictSame(live!.json(), { status: 'ok' })
      t.equal(readiness!.statusCode, ready[0])
      t.strictSame(readiness!.json(), ready[0] === 200 ? { status: 'ready' } : { status: 'not_ready', reason: ready[1] })
      t.equal(target!.statusCode, alb)
      t.strictSame(target!.json(), { status: alb === 200 ? 'ok' : 'no' })
      for (const response of [full!, live!, readiness!, target!]) {
        t.equal(response.headers['cache-control'], 'no-store')
        t.equal(response.headers['retry-after'] !== undefined, response.statusCode === 503)
        if (response.statusCode === 503) t.ok(Number(response.headers['retry-after']) >= 1)
      }
    })
  }
})

t.test('R7.1 HEAD answers like GET, without a body, over a real socket', async (t) => {
  for (const status of ['ok', 'failed'] satisfies CheckStatus[]) {
    const { app } = await build(t, { database: { status } })
    const origin = await app.listen({ port: 0, host: '127.0.0.1' })
    for (const path of paths) {
      const get = await fetch(origin + path)
      const head = await fetch(origin + path, { method: 'HEAD' })
      t.equal(head.status, get.status, `${path} ${status}`)
      t.equal(head.headers.get('cache-control'), 'no-store')
      t.equal(head.headers.get('retry-after'), get.headers.get('retry-after'))
      t.equal(head.headers.get('content-length'), get.headers.get('content-length'))
      t.equal(await head.text(), '')
      t.ok((await get.text()).length > 0)
    }
  }
})

t.test('R7.1 starting: not ready until the critical checks were looked at once', async (t) => {
  const { app } = await build(t)
  const { promise, resolve } = Promise.withResolvers<void>()
  app.health.register({ name: 'database', critical: true, timeoutMs: 10_000, check: () => promise })
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 503)
  t.strictSame(ready.json(), { status: 'not_ready', reason: 'starting' })
  t.equal((await app.inject('/health/alb')).statusCode, 503)
  t.equal((await app.inject('/health/live')).statusCode, 200)
  t.strictSame((await app.inject('/health')).json(), { status: 'degraded', checks: { pressure: 'ok', database: 'unknown' } })
  t.equal((await app.inject('/business')).statusCode, 200, 'what is not known does not shed')
  resolve()
  await until(async () => (await app.inject('/health/ready')).statusCode === 200)
})

t.test('R7.5 draining flips readiness at once and keeps liveness and work', async (t) => {
  const { app } = await build(t, { database: { status: 'ok' } })
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  app.health.drain()
  const ready = await app.inject('/health/ready')
  t.equal(ready.statusCode, 503)
  t.strictSame(ready.json(), { status: 'not_ready', reason: 'draining' })
  t.ok(Number(ready.headers['retry-after']) >= 1)
  t.equal((await app.inject('/health/alb')).statusCode, 503)
  t.equal((await app.inject('/health/live')).statusCode, 200)
  t.equal((await app.inject('/health')).statusCode, 200)
  t.equal((await app.inject('/business')).statusCode, 200)
})

t.test('R7.3 public bodies contain nothing about the inside', async (t) => {
  const error = Object.assign(new Error('WRONGPASS canary-user:canary-password@canary-host:63790'), { kind: 'auth' })
  const { app, lines } = await build(t, {
    redis: error,
    database: { status: 'failed', kind: 'canary-kind', error, details: { host: 'canary-host', port: 63790 } }
  })
  app.health.register({ name: 'sampled', critical: false, check: async () => { throw error } })
  await until(() => app.health.snapshot().checks.sampled!.status === 'failed')
  for (const path of paths) {
    for (const method of ['GET', 'HEAD'] as const) {
      const response = await app.inject({ method, url: path })
      t.notMatch(JSON.stringify(response.headers) + response.body, /canary|63790|WRONGPASS|stack|auth|Error/, path)
    }
  }
  t.match(app.health.snapshot().checks.sampled, { kind: 'auth' }, 'operators see the kind')
  t.ok(lines.some(({ err }) => /canary-host/.test(err?.message)), 'and the log has the error')
})

t.test('I5 R7.2 requests cause no checks, and a probe that never settles stalls none', async (t) => {
  let checks = 0
  const { app } = await build(t)
  app.health.register({ name: 'redis', critical: false, intervalMs: 60_000, check: () => { checks++; return new Promise(() => {}) } })
  const latencies: number[] = []
  for (let round = 0; round < 50; round++) {
    for (const path of paths) {
      const started = performance.now()
      await app.inject(path)
      latencies.push(performance.now() - started)
    }
  }
  await Promise.all(Array.from({ length: 50 }, () => app.inject('/health')))
  t.equal(checks, 1, 'the sampler\'s own')
  const p99 = latencies.sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)]!
  t.comment(`p99 of ${latencies.length} requests: ${p99.toFixed(2)} ms`)
  t.ok(p99 < 50, 'a bound that a busy machine keeps too')
})

t.test('R7.4 health routes are exempt from shedding, and log no probe', async (t) => {
  const { app, lines } = await build(t, { database: { status: 'failed' } }, { maxHeapUsedBytes: 1, sampleIntervalMs: 10, healthIntervalMs: 10 })
  await until(() => app.isUnderPressure())
  t.equal((await app.inject('/business')).statusCode, 503)
  lines.length = 0
  t.equal((await app.inject('/health/live')).statusCode, 200)
  t.equal((await app.inject('/health')).json().status, 'unhealthy')
  t.strictSame(lines, [], 'not a line')
})

t.test('R7.4 a probe is answered before all hooks as it is after them, with its ids and what matters of the security headers', async (t) => {
  const app = await buildApp({ env: { DATABASE_URL: 'sqlite::memory:', CORS_ORIGINS: 'https://console.example' } })
  t.teardown(() => app.close())
  const business = (await app.inject('/models')).headers
  for (const url of paths) {
    const headers = { 'x-request-id': 'r-1', 'x-correlation-id': 'c-1' }
    const quick = await app.inject({ url, headers })
    const long = await app.inject({ url, headers: { ...headers, origin: 'https://console.example' } })
    t.equal(quick.statusCode, long.statusCode)
    t.equal(quick.body, long.body)
    t.match(quick.headers, { 'x-request-id': 'r-1', 'x-correlation-id': 'c-1', 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
    for (const name of ['content-security-policy', 'strict-transport-security', 'x-content-type-options', 'x-frame-options']) t.equal(quick.headers[name], business[name], name)
    const { date, ...common } = quick.headers
    t.match(long.headers, { ...common, 'access-control-allow-origin': 'https://console.example' }, 'the long way only adds')
    const own = (await app.inject({ url, headers: { 'x-request-id': 'not sane\u0001' } })).headers
    t.match(own['x-request-id'], /^[0-9a-f-]{36}$/)
    t.equal(own['x-correlation-id'], own['x-request-id'])
  }
  t.notMatch((await app.inject('/metrics')).body, /route="\/health/, 'probes are in no metric')
})

t.test('R7.1 the example of docs/health.md for checks of one\'s own', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/health.md'), 'utf8')
  const [, example = ''] = /```ts\n(.*?)```/s.exec(page) ?? []
  const app = Fastify()
  t.teardown(() => app.close())
  const licence = { valid: true }
  const fetched: string[] = []
  const run = new (Object.getPrototypeOf(async () => {}).constructor)('app', 'health', 'licence', 'fetch', stripTypeScriptTypes(example)) as
    (...args: unknown[]) => Promise<void>
  await run(app, healthPlugin, licence, async (url: string) => { fetched.push(url) })
  await until(() => app.health.snapshot().status === 'healthy')
  t.strictSame(fetched, ['http://mailer.internal/ping'])
  licence.valid = false
  t.match(app.health.snapshot(), { status: 'unhealthy', checks: { mailer: { status: 'ok' }, licence: { status: 'failed', kind: 'expired' } } })
})
