import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { buildApp } from '../app.ts'
import { startPostgres } from './helpers/postgres-server.ts'
import { startRedis } from './helpers/redis-server.ts'
import type { RedisServer } from './helpers/redis-server.ts'
import { temporaryDirectory } from './helpers/temporary.ts'
import { until } from './helpers/until.ts'

const QUEUE = 'hokusai:model_ready_queue'

type DatabaseUrl = (t: Test) => Promise<string>

const server = await startPostgres(t)
let databases = 0

/** Each test has a database of its own on one server. */
async function postgresUrl (): Promise<string> {
  const name = `limits_${++databases}`
  await server.query(`CREATE DATABASE ${name}`)
  return server.url.replace(/[^/]+$/, name)
}

const engines: [name: string, durability: string, databaseUrl: DatabaseUrl][] = [
  ['SQLite', 'node', async (t) => `sqlite:${await temporaryDirectory(t)}/store.db`],
  ['PostgreSQL', 'cluster', postgresUrl]
]

interface World { app: FastifyInstance, redis: RedisServer }

/** A service whose Redis is down, so that everything it accepts stays in the journal. */
async function startInOutage (t: Test, databaseUrl: DatabaseUrl, limits: NodeJS.ProcessEnv): Promise<World> {
  const redis = await startRedis(t)
  await redis.kill()
  const app = await buildApp({
    env: {
      DATABASE_URL: await databaseUrl(t), REDIS_URL: redis.url, REDIS_CONNECT_TIMEOUT_MS: '200', REDIS_COMMAND_TIMEOUT_MS: '200', AUTH_DISABLED: 'true', ...limits
    }
  })
  t.teardown(() => app.close())
  await app.ready()
  return { app, redis }
}

function register (app: FastifyInstance, version: number) {
  return app.inject({
    method: 'POST',
    url: '/models',
    payload: { model_name: 'churn', version: String(version), token_id: 'hok-churn', metric_name: 'auc', baseline_value: 0.8 }
  })
}

async function status (app: FastifyInstance): Promise<{ status: string, code: number, checks: Record<string, string> }> {
  await app.store.check()
  const response = await app.inject('/health')
  const body = response.json<{ status: string, checks: Record<string, string> }>()
  return { code: response.statusCode, status: body.status, checks: body.checks }
}

async function assertRefused (t: Test, app: FastifyInstance, version: number): Promise<void> {
  const refused = await register(app, version)
  t.equal(refused.statusCode, 503)
  t.match(refused.headers, { 'retry-after': '5', 'content-type': /problem\+json/ })
  t.match(refused.json(), { code: 'FST_BRK_JOURNAL_FULL' })
  t.equal((await app.inject(`/models/churn/versions/${version}`)).statusCode, 404, 'nothing is stored')
}

async function queuedVersions (redis: RedisServer): Promise<number[]> {
  const elements: string[] = await redis.cli('lrange', QUEUE, 0, -1)
  return elements.reverse().map((element) => Number(JSON.parse(element).payload.model_version))
}

for (const [engine, durability, databaseUrl] of engines) {
  t.test(`R5.6, R7.1 rows: degraded from the soft mark, refused at the hard one, and accepted again after the drain (${engine})`, async (t) => {
    const { app, redis } = await startInOutage(t, databaseUrl, { JOURNAL_MAX_ROWS: '4', JOURNAL_HIGH_PERCENT: '50' })
    t.match((await register(app, 1)).json(), { event: { state: 'pending', durability } })
    t.match((await status(app)).checks, { journal: 'ok', backlog: 'ok' })
    await register(app, 2)
    t.match(await status(app), { code: 200, status: 'degraded', checks: { journal: 'ok', backlog: 'failed' } })
    t.strictSame([(await register(app, 3)).statusCode, (await register(app, 4)).statusCode], [201, 201], 'the soft mark refuses nothing')
    t.match(await status(app), { code: 503, status: 'unhealthy', checks: { journal: 'failed' } })
    await assertRefused(t, app, 5)
    t.equal((await app.inject('/models')).json().items.length, 4, 'reads go on')

    await redis.restart()
    await until(async () => await redis.cli('llen', QUEUE) === 4)
    await until(async () => (await register(app, 5)).statusCode === 201)
    await until(async () => await redis.cli('llen', QUEUE) === 5)
    t.strictSame(await queuedVersions(redis), [1, 2, 3, 4, 5], 'no refusal left a trace')
    await until(async () => (await status(app)).status === 'healthy')
  })

  t.test(`R5.6 bytes: a message that does not fit is refused, whatever the number of rows (${engine})`, async (t) => {
    const { app } = await startInOutage(t, databaseUrl, { JOURNAL_MAX_BYTES: '1000' })
    t.strictSame([(await register(app, 1)).statusCode], [201])
    await assertRefused(t, app, 2)
  })

  t.test(`R5.6 age: while the oldest message waits too long, new ones are refused (${engine})`, async (t) => {
    const { app, redis } = await startInOutage(t, databaseUrl, { JOURNAL_MAX_AGE_MS: '400' })
    t.equal((await register(app, 1)).statusCode, 201)
    await until(async () => (await status(app)).checks.journal === 'failed')
    await assertRefused(t, app, 2)
    await redis.restart()
    await until(async () => (await register(app, 2)).statusCode === 201)
    await until(async () => await redis.cli('llen', QUEUE) === 2)
  })
}
