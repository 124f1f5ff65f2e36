import { createHash } from 'node:crypto'
import t from 'tap'
import { buildApp } from '../../app.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const API_KEYS = `ops:read:${createHash('sha256').update('key').digest('hex')}`
const headers = { 'x-api-key': 'key' }

t.test('R7.3 authorised callers see everything, before, during and after an outage; nobody sees secrets', async t => {
  const redis = await startRedis(t, { args: ['--requirepass', 'canary-token'], client: { password: 'canary-token' } })
  const app = await buildApp({
    env: { DATABASE_URL: 'sqlite::memory:', API_KEYS, REDIS_HOST: redis.host, REDIS_PORT: String(redis.port), REDIS_AUTH_TOKEN: 'canary-token' }
  })
  t.teardown(() => app.close())
  const read = async () => (await app.inject({ url: '/health/details', headers })).json()
  t.equal((await app.inject('/health/details')).statusCode, 401)

  await until(async () => (await read()).checks.queue.status === 'ok')
  await until(async () => (await read()).checks.redis.status === 'ok')
  const well = await read()
  t.match(well, {
    status: 'healthy',
    ready: true,
    checks: {
      redis: { status: 'ok', critical: false, kind: null, details: { role: 'master', tls: false, auth: 'token', topology: 'single', breaker: 'closed', lastError: null } },
      queue: { details: { waiting: 0, processing: 0, delayed: 0, dead: 0 } },
      journal: { critical: true, details: { pendingRows: 0, oldestPendingAgeMs: 0 } }
    }
  })
  t.type(well.checks.redis.age_ms, 'number')
  t.type(well.checks.redis.latency_ms, 'number')

  await redis.kill()
  await until(async () => (await read()).checks.redis.status === 'failed')
  const out = await read()
  t.match(out, { status: 'degraded', checks: { redis: { kind: 'transport', details: { breaker: /open/, auth: 'token', lastError: { kind: 'transport' } } } } })
  t.notMatch(JSON.stringify([well, out]), /canary|127\.0\.0\.1/)
  await redis.restart()
  await until(async () => (await read()).status === 'healthy', 10_000)
})

t.test('R7.3 a wrong token is told apart from a server that is away', async t => {
  const redis = await startRedis(t, { args: ['--requirepass', 'right'], client: { password: 'right' } })
  const app = await buildApp({ env: { DATABASE_URL: 'sqlite::memory:', REDIS_URL: `redis://:canary-wrong@${redis.host}:${redis.port}`, REDIS_BOOT_BUDGET_MS: '0' } })
  t.teardown(() => app.close())
  await until(async () => (await app.inject('/health/details')).json().checks.redis.kind === 'auth')
  t.notMatch((await app.inject('/health/details')).body, /canary/)
})

t.test('application/health+json by content negotiation', async t => {
  const app = await buildApp({ env: { DATABASE_URL: 'sqlite::memory:', REDIS_URL: 'redis://127.0.0.1:1', REDIS_BOOT_BUDGET_MS: '0' } })
  t.teardown(() => app.close())
  const accept = 'application/health+json'
  await until(async () => (await app.inject('/health')).json().checks.redis === 'failed')
  await until(async () => (await app.inject('/health')).json().checks.database === 'ok')
  const [plain, standard, detailed] = await Promise.all([
    app.inject('/health'), app.inject({ url: '/health', headers: { accept } }), app.inject({ url: '/health/details', headers: { accept } })
  ])
  t.match(plain!.headers['content-type'], /^application\/json/)
  for (const response of [standard!, detailed!]) {
    t.match(response.headers['content-type'], /^application\/health\+json/)
    t.match(response.json(), { status: 'warn', checks: { redis: [{ status: 'warn' }], database: [{ status: 'pass' }] } })
  }
  t.strictSame(standard!.json().checks.redis, [{ status: 'warn' }], 'no more than the summary')
  t.match(detailed!.json().checks, { redis: [{ output: 'transport' }], database: [{ observedUnit: 'ms' }] })
})
