import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { buildApp } from '../app.ts'
import { startPostgres } from './helpers/postgres-server.ts'
import { startRedis } from './helpers/redis-server.ts'
import { until } from './helpers/until.ts'

const QUEUE = 'hokusai:model_ready_queue'

function register (app: FastifyInstance, version: number) {
  return app.inject({
    method: 'POST',
    url: '/models',
    headers: { 'idempotency-key': `key-${version}` },
    payload: { model_name: 'churn', version: String(version), token_id: 'hok-churn', metric_name: 'auc', baseline_value: 0.8 }
  })
}

t.test('R6.1, R7.1 PostgreSQL is killed: 503 and unhealthy while it is gone, and repeated requests make exactly one event each', async (t) => {
  const database = await startPostgres(t)
  const redis = await startRedis(t)
  const app = await buildApp({ env: { DATABASE_URL: database.url, REDIS_URL: redis.url, AUTH_DISABLED: 'true' } })
  t.teardown(() => app.close())
  await app.ready()
  t.equal((await register(app, 1)).statusCode, 201)
  await database.kill()
  const refused = await register(app, 2)
  t.match({ status: refused.statusCode, headers: refused.headers }, { status: 503, headers: { 'content-type': /problem\+json/, 'retry-after': /^\d+$/ } })
  t.equal(refused.json().code, 'FST_BRK_STORE_UNAVAILABLE')
  await until(async () => (await app.inject('/health')).json().status === 'unhealthy')

  await database.restart()
  for (const version of [1, 2, 3]) await until(async () => (await register(app, version)).statusCode === 201)
  await until(async () => await redis.cli('llen', QUEUE) === 3)
  const elements: string[] = await redis.cli('lrange', QUEUE, 0, -1)
  t.strictSame(elements.reverse().map((element) => JSON.parse(element).payload.model_version), ['1', '2', '3'])
  await until(async () => (await app.inject('/health')).json().status === 'healthy')
})

t.test('R5.3 two services on one database: every event once, whoever accepted it', async (t) => {
  const database = await startPostgres(t)
  const redis = await startRedis(t)
  const env = { DATABASE_URL: database.url, REDIS_URL: redis.url, AUTH_DISABLED: 'true' }
  const first = await buildApp({ env })
  t.teardown(() => first.close())
  const second = await buildApp({ env })
  t.teardown(() => second.close())
  await Promise.all([first.ready(), second.ready()])
  const responses = await Promise.all(Array.from({ length: 40 }, (_, index) => register(index % 2 === 0 ? first : second, index % 20)))
  t.strictSame(responses.map(({ statusCode }) => statusCode), Array(40).fill(201))
  await until(async () => await redis.cli('llen', QUEUE) >= 20)
  const elements: string[] = await redis.cli('lrange', QUEUE, 0, -1)
  const queued = elements.map((element) => JSON.parse(element).message_id).sort()
  const promised = [...new Set(responses.map((response) => response.json().event.message_id))].sort()
  t.strictSame(queued, promised)
})
