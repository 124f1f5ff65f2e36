import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import health from '../../plugins/health.ts'
import store from '../../plugins/store.ts'
import { until } from '../helpers/until.ts'

interface Teardown { teardown (fn: () => unknown): void }

async function build (t: Teardown, prepare: (app: FastifyInstance) => unknown = () => {}) {
  const app = Fastify()
  t.teardown(() => app.close())
  await prepare(app)
  await app.register(health)
  await app.ready()
  return app
}

t.test('R7.1 the database and the journal are critical, on the real store', async (t) => {
  const app = await build(t, async (app) => { await app.register(store, { path: ':memory:', maxRows: 1 }) })
  await until(() => app.health.snapshot().status === 'healthy')
  const { checks } = app.health.snapshot()
  t.match(checks, { database: { status: 'ok', critical: true }, journal: { status: 'ok', critical: true, details: { pendingRows: 0 } } })

  await app.store.journal.append([{ key: 'a', body: '{}' }])
  await app.store.check()
  t.match(app.health.snapshot(), { status: 'unhealthy', reason: 'unhealthy', checks: { journal: { status: 'failed', kind: 'full', details: { pendingRows: 1 } } } })

  await app.store.close()
  await until(() => app.health.snapshot().checks.database!.status === 'failed', 4000)
})

t.test('R7.1 Redis: probed in the background, never critical', async (t) => {
  let probe = async () => ({ latencyMs: 1, role: 'master' })
  const app = await build(t, (app) => app.decorate('redisGuard', { probe: () => probe(), state: { breaker: 'closed', lastError: null } } as never))
  await until(() => app.health.snapshot().status === 'healthy')
  t.match(app.health.snapshot().checks.redis, { status: 'ok', critical: false, details: { role: 'master' } })
  probe = async () => { throw Object.assign(new Error('refused'), { kind: 'transport' }) }
  await until(() => app.health.snapshot().status === 'degraded')
  t.match(app.health.snapshot(), { ready: true, checks: { redis: { status: 'failed', kind: 'transport' } } })
})

t.test('R1.3 R1.6 without a Redis client: disabled is healthy, a wrong configuration is degraded', async (t) => {
  const resolution = (state: string) => (app: FastifyInstance) => {
    app.decorate('redisGuard', null as never)
    app.decorate('config', { redis: { resolution: { state } } } as never)
  }
  const disabled = await build(t, resolution('disabled'))
  t.match(disabled.health.snapshot(), { status: 'healthy', checks: { redis: { status: 'disabled' } } })
  const invalid = await build(t, resolution('invalid'))
  t.match(invalid.health.snapshot(), { status: 'degraded', ready: true, checks: { redis: { status: 'failed', kind: 'configuration' } } })
  const bare = await build(t, (app) => app.decorate('redisGuard', null as never))
  t.match(bare.health.snapshot().checks, { redis: { status: 'disabled' } }, 'without the config plugin too')
})

t.test('R7.1 alone it serves a sibling\'s own checks, and two apps share nothing', async (t) => {
  const [one, two] = [await build(t), await build(t)]
  one.health.register({ name: 'mailer', critical: true, read: () => ({ status: 'failed' }) })
  t.equal(one.health.snapshot().status, 'unhealthy')
  t.strictSame(two.health.snapshot(), { status: 'healthy', ready: true, inService: true, shedding: false, reason: null, checks: {} })
})

t.test('I7 close stops every sampler, even one that hangs', async (t) => {
  const app = await build(t)
  app.health.register({ name: 'stuck', critical: false, timeoutMs: 60_000, check: () => new Promise(() => {}) })
  const started = performance.now()
  await app.close()
  t.ok(performance.now() - started < 1000)
  t.notOk(process.getActiveResourcesInfo().includes('Timeout'))
})
