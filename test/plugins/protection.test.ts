import t from 'tap'
import { buildApp } from '../../app.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const DATABASE_URL = 'sqlite::memory:'

t.test('R6.4 every answer carries security headers, and no foreign page may call', async t => {
  const app = await buildApp({ env: { DATABASE_URL } })
  t.teardown(() => app.close())
  for (const url of ['/models', '/nowhere', '/health']) {
    const { headers } = await app.inject({ url, headers: { origin: 'https://elsewhere.example' } })
    t.match(headers, {
      'content-security-policy': /default-src 'none'/,
      'x-content-type-options': 'nosniff',
      'strict-transport-security': /max-age=\d+/,
      'x-frame-options': /./
    }, url)
    t.notOk(headers['access-control-allow-origin'], url)
    t.notOk(headers['x-powered-by'], url)
  }
})

t.test('R6.4 the origins that are named may call', async t => {
  const app = await buildApp({ env: { DATABASE_URL, CORS_ORIGINS: 'https://console.example, https://other.example' } })
  t.teardown(() => app.close())
  const allowed = async (origin: string) => (await app.inject({ url: '/models', headers: { origin } })).headers['access-control-allow-origin']
  t.equal(await allowed('https://console.example'), 'https://console.example')
  t.notOk(await allowed('https://elsewhere.example'))
  const { headers } = await app.inject({ url: '/models', headers: { origin: 'https://console.example' } })
  for (const name of ['x-request-id', 'x-correlation-id', 'location', 'idempotency-replayed', 'retry-after']) t.match(headers['access-control-expose-headers'], name)
})

t.test('R6.4 a caller over its limit gets 429 and is told when to come back; health is exempt', async t => {
  const app = await buildApp({ env: { DATABASE_URL, RATE_LIMIT_MAX: '2' } })
  t.teardown(() => app.close())
  for (let count = 0; count < 2; count++) t.equal((await app.inject('/models')).statusCode, 200)
  const refused = await app.inject('/models')
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), { code: 'FST_BRK_RATE_EXCEEDED' })
  t.ok(Number(refused.headers['retry-after']) >= 1)
  for (let count = 0; count < 4; count++) t.equal((await app.inject('/health/live')).statusCode, 200)
})

t.test('R6.4 limits hold across processes, fail open and cost no time while Redis is frozen', async t => {
  const redis = await startRedis(t)
  const env = { DATABASE_URL, REDIS_URL: redis.url, RATE_LIMIT_MAX: '20' }
  const [one, two] = [await buildApp({ env }), await buildApp({ env })]
  t.teardown(() => Promise.all([one.close(), two.close()]))
  for (let count = 0; count < 20; count++) await one.inject('/models')
  await until(async () => (await two.inject('/models')).statusCode === 429)

  redis.freeze()
  t.teardown(() => redis.thaw())
  const third = await buildApp({ env: { ...env, REDIS_BOOT_BUDGET_MS: '0' } })
  t.teardown(() => third.close())
  let slowest = 0
  for (let count = 0; count < 20; count++) {
    const startedAt = performance.now()
    t.equal((await third.inject('/models')).statusCode, 200)
    slowest = Math.max(slowest, performance.now() - startedAt)
  }
  t.ok(slowest < 400, `no request waited for the command timeout of 500 ms: ${slowest.toFixed(0)} ms`)
})
