import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import errors, { problemServerOptions } from '../../plugins/errors.ts'
import healthPlugin from '../../plugins/health.ts'
import pressure, { PressureOptionsSchema } from '../../plugins/pressure.ts'
import type { PressureOptions } from '../../plugins/pressure.ts'
import healthRoutes from '../../routes/health/index.ts'
import * as healthErrors from '../../services/health/errors.ts'
import type { CheckStatus } from '../../services/health/check.ts'
import { until } from '../helpers/until.ts'

interface Teardown { teardown (fn: () => unknown): void }

async function build (t: Teardown, options: PressureOptions = {}) {
  const app = Fastify(problemServerOptions)
  await app.register(errors)
  await app.register(healthPlugin)
  await app.register(pressure, options)
  await app.register(healthRoutes)
  app.get('/business', async () => 'served')
  t.teardown(() => app.close())
  return app
}

t.test('R7.4 a failing critical dependency sheds with 503 and Retry-After, and recovery lets traffic in again', async (t) => {
  const app = await build(t, { maxEventLoopDelayMs: 0, healthIntervalMs: 10, retryAfterSeconds: 7 })
  const database: { status: CheckStatus } = { status: 'ok' }
  const redis: { status: CheckStatus } = { status: 'failed' }
  app.health.register({ name: 'database', critical: true, read: () => database })
  app.health.register({ name: 'redis', critical: false, read: () => redis })
  await delay(50)
  t.equal((await app.inject('/business')).statusCode, 200, 'a soft dependency never sheds')
  t.equal(app.health.snapshot().status, 'degraded')

  database.status = 'failed'
  await until(async () => (await app.inject('/business')).statusCode === 503)
  const shed = await app.inject('/business')
  t.equal(shed.headers['retry-after'], '7')
  t.equal(shed.headers['content-type'], 'application/problem+json; charset=utf-8')
  t.match(shed.json(), { status: 503, code: 'FST_UNDER_PRESSURE', title: 'Service Unavailable' })
  t.equal((await app.inject('/nowhere')).statusCode, 503, 'shedding costs as little as it can')
  t.equal((await app.inject('/health/live')).statusCode, 200)

  database.status = 'ok'
  await until(async () => (await app.inject('/business')).statusCode === 200)
})

t.test('R7.4 under local pressure it sheds, and readiness says overloaded while the target stays in service', async (t) => {
  const limits: [PressureOptions, string][] = [[{ maxHeapUsedBytes: 1 }, 'heap'], [{ maxRssBytes: 1 }, 'RSS']]
  for (const [limit, title] of limits) {
    const app = await build(t, { maxEventLoopDelayMs: 0, sampleIntervalMs: 10, ...limit })
    await until(async () => (await app.inject('/business')).statusCode === 503)
    const ready = await app.inject('/health/ready')
    t.equal(ready.statusCode, 503, title)
    t.strictSame(ready.json(), { status: 'not_ready', reason: 'overloaded' })
    t.equal((await app.inject('/health/alb')).statusCode, 200, 'replacing a busy task helps nobody')
    t.strictSame((await app.inject('/health')).json(), { status: 'degraded', checks: { pressure: 'failed' } })
    t.match(app.health.snapshot().checks.pressure, { kind: 'overload', critical: false, details: { heapUsed: Number, rssBytes: Number } })
  }
})

t.test('R7.4 a blocked event loop sheds, and shedding ends when it turns again', async (t) => {
  const app = await build(t, { maxEventLoopDelayMs: 40, sampleIntervalMs: 50, maxHeapUsedBytes: 0, maxRssBytes: 0 })
  const block = () => {
    const until = performance.now() + 150
    while (performance.now() < until);
  }
  await until(async () => {
    block()
    return (await app.inject('/business')).statusCode === 503
  })
  t.match(app.health.snapshot().checks.pressure, { status: 'failed', kind: 'overload' })
  await until(async () => (await app.inject('/business')).statusCode === 200)
  await until(() => app.health.snapshot().status === 'healthy')
})

t.test('R7.4 utilization is judged over the last sample, when asked for', async (t) => {
  const app = await build(t, { maxEventLoopDelayMs: 0, maxEventLoopUtilization: 0.9, sampleIntervalMs: 20 })
  const busy = setInterval(() => {
    const until = performance.now() + 25
    while (performance.now() < until);
  }, 1)
  t.teardown(() => clearInterval(busy))
  await until(() => app.health.snapshot().checks.pressure!.status === 'failed')
  clearInterval(busy)
  await until(() => app.health.snapshot().checks.pressure!.status === 'ok')
  t.ok(app.health.snapshot().checks.pressure!.details!.eventLoopUtilized)
})

t.test('R7.4 boot waits for no check, and the wrapped plugin keeps its name', async (t) => {
  const started = performance.now()
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(healthPlugin)
  app.health.register({ name: 'stuck', critical: true, check: () => new Promise(() => {}) })
  await app.register(pressure)
  await app.ready()
  t.ok(performance.now() - started < 400, 'less than the check\'s deadline')
  t.ok(app.hasPlugin('@fastify/under-pressure'))
  t.ok(app.hasPlugin('breakwater-pressure'))
})

t.test('R7.4 options are checked once and by name', async (t) => {
  const attempt = async (options: object) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(healthPlugin)
    await app.register(pressure, options)
  }
  await t.rejects(attempt({ maxHeapBytes: 1 }), { code: 'FST_BRK_OPTION_INVALID', message: /maxHeapUsedBytes/ })
  await t.rejects(attempt({ maxEventLoopUtilization: 2 }), { code: 'FST_BRK_OPTION_INVALID', message: /maxEventLoopUtilization/ })
  await t.rejects(attempt({ retryAfterSeconds: 0 }), { code: 'FST_BRK_OPTION_INVALID' })
  const alone = Fastify()
  t.teardown(() => alone.close())
  await t.rejects(async () => await alone.register(pressure), { code: 'FST_ERR_PLUGIN_NOT_PRESENT_IN_INSTANCE' })
})

t.test('R7.4 the container\'s memory limit is the default for RSS', async (t) => {
  const original = process.constrainedMemory
  t.teardown(() => { process.constrainedMemory = original })
  process.constrainedMemory = () => 1024
  const small = await build(t, { maxEventLoopDelayMs: 0, sampleIntervalMs: 10 })
  await until(async () => (await small.inject('/business')).statusCode === 503)
  for (const unlimited of [0, Number.MAX_SAFE_INTEGER * 1024]) {
    process.constrainedMemory = () => unlimited
    const app = await build(t, { maxEventLoopDelayMs: 0, sampleIntervalMs: 10 })
    await delay(30)
    t.equal((await app.inject('/business')).statusCode, 200, 'without a limit there is none')
  }
})

t.test('R11.4 docs/health.md knows every option and every error', async (t) => {
  const docs = await readFile(new URL('../../docs/health.md', import.meta.url), 'utf8')
  for (const option of Object.keys(PressureOptionsSchema.properties)) t.match(docs, `| \`${option}\` |`)
  for (const CodedError of Object.values(healthErrors)) t.match(docs, `| \`${new CodedError('', '').code}\` |`)
})
