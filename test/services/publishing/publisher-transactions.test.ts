import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import t from 'tap'
import type { JournalLimits } from '../../../services/journal/journal.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { silentLogger } from '../../../services/observability/logger.ts'
import { createPublisher } from '../../../services/publishing/publisher-factory.ts'
import { fromKysely, fromPg } from '../../../services/publishing/transactions.ts'
import { openPostgresStore } from '../../../services/registry/postgres-store.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { startPostgres } from '../../helpers/postgres-server.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

const origin = { correlationId: 'request-1' }
const message = {
  model_id: 'a/1/b', token_symbol: 'b', metric_name: 'auc', baseline_value: 1, current_value: 2, model_name: 'a', model_version: '1'
}

interface Tables { deployments: { model: string, deployedBy?: string } }

const server = await startPostgres(t)
await server.query('CREATE TABLE deployments (model text NOT NULL, deployed_by text)')
const pool = new pg.Pool({ connectionString: server.url, max: 4 })
const kysely = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }), plugins: [new CamelCasePlugin()] })
t.teardown(() => kysely.destroy())
let schemas = 0

async function open (t: Teardown, limits: JournalLimits = { maxRows: 100, maxBytes: 1e6 }) {
  const store = await openPostgresStore({ connection: server.url, schema: `publishing_${++schemas}`, poolMax: 2, limits, logger: silentLogger })
  t.teardown(() => store.close())
  const { journal } = store
  const bodies = async () => {
    const lease = await journal.acquireLease('test', 5000)
    const batch = await journal.advance({ lease: lease!, leaseUntil: Date.now() + 5000, published: null, after: null, maxRows: 100, maxBytes: 1e6 })
    await journal.releaseLease(lease!)
    return (batch?.bodies ?? []).map((body) => JSON.parse(body).message_id)
  }
  return { publisher: createPublisher({ chain: ['queue', 'journal', 'log'], client: null, journal, queueName: 'q', logger: silentLogger }), journal, bodies }
}

async function deployments (): Promise<string[]> {
  return (await server.query('DELETE FROM deployments RETURNING model')).map(({ model }) => model)
}

t.test('R5.1 pg: published with the commit, together with what else the transaction wrote, and never before', async (t) => {
  const { publisher, bodies } = await open(t)
  const client = await pool.connect()
  t.teardown(() => client.release())
  await client.query('BEGIN')
  await client.query('INSERT INTO deployments (model) VALUES ($1)', ['a/1'])
  const published = await publisher.publish(message, origin, { transaction: fromPg(client) })
  t.match(published, { via: 'journal', durability: 'cluster' })
  t.strictSame(await bodies(), [], 'not visible before the commit')
  await client.query('COMMIT')
  t.strictSame(await bodies(), [published.messageId])
  t.strictSame(await deployments(), ['a/1'])
})

t.test('R5.1 pg: a rollback takes the message with it', async (t) => {
  const { publisher, bodies } = await open(t)
  const client = await pool.connect()
  t.teardown(() => client.release())
  await client.query('BEGIN')
  await publisher.publish(message, origin, { transaction: fromPg(client) })
  await client.query('ROLLBACK')
  const later = await publisher.publish(message, origin)
  t.strictSame(await bodies(), [later.messageId])
})

t.test('R5.1 Kysely: published with the commit, plugins or not, and a rollback takes the message with it', async (t) => {
  const { publisher, bodies } = await open(t)
  const published = await kysely.transaction().execute(async (trx) => {
    await trx.insertInto('deployments').values({ model: 'a/1', deployedBy: 'me' }).execute()
    return await publisher.publish(message, origin, { transaction: fromKysely(trx) })
  })
  t.strictSame(await bodies(), [published.messageId])
  t.strictSame(await deployments(), ['a/1'])
  await t.rejects(kysely.transaction().execute(async (trx) => {
    await publisher.publish(message, origin, { transaction: fromKysely(trx) })
    throw new Error('second thoughts')
  }), { message: 'second thoughts' })
  t.strictSame(await bodies(), [published.messageId])
})

t.test('R5.1 the relay of a process hears of what another one\'s transaction committed', async (t) => {
  const { publisher, journal } = await open(t)
  let woken = 0
  journal.onAppend(() => { woken++ })
  // It looks once when it begins to listen.
  await until(() => woken > 0, 5000)
  const before = woken
  await kysely.transaction().execute((trx) => publisher.publish(message, origin, { transaction: fromKysely(trx) }))
  await until(() => woken > before, 5000)
})

t.test('R5.6 within a transaction the limits hold too, and its other statements are not spoiled', async (t) => {
  const { publisher, bodies } = await open(t, { maxRows: 1, maxBytes: 1e6 })
  const first = await publisher.publish(message, origin)
  await kysely.transaction().execute(async (trx) => {
    await t.rejects(publisher.publish(message, origin, { transaction: fromKysely(trx) }), { code: 'FST_BRK_JOURNAL_FULL', statusCode: 503 })
    await t.rejects(publisher.publish({ ...message, current_value: 0 }, origin, { transaction: fromKysely(trx) }), { code: 'FST_BRK_MESSAGE_INVALID' })
    await trx.insertInto('deployments').values({ model: 'a/2' }).execute()
  })
  t.strictSame(await deployments(), ['a/2'])
  t.strictSame(await bodies(), [first.messageId])
})

t.test('the examples of docs/publishing.md work as they stand', async (t) => {
  const { publisher, bodies } = await open(t)
  const documentation = readFileSync(join(import.meta.dirname, '../../../docs/publishing.md'), 'utf8')
  const examples = [...documentation.matchAll(/^```ts\nimport { from\w+ } from 'fastify-breakwater'\n(.*?)^```/gms)].map(([, code]) => code!)
  t.equal(examples.length, 2)
  const names = { fromPg, fromKysely, pool, db: kysely, message, fastify: { publisher: { publish: (sent: typeof message, _origin: undefined, options: object) => publisher.publish(sent, origin, options) } } }
  const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => (...values: unknown[]) => Promise<void>
  for (const example of examples) await new AsyncFunction(...Object.keys(names), example)(...Object.values(names))
  t.equal((await bodies()).length, 2)
  t.strictSame(await deployments(), ['churn/3', 'churn/3'])
})

t.test('what is no transaction is refused, not used', async (t) => {
  const { publisher, bodies } = await open(t)
  const misused = { code: 'FST_BRK_TRANSACTION_MISUSED' }
  t.throws(() => fromPg(pool as never), { ...misused, message: /a pool was given/ })
  t.throws(() => fromKysely(kysely), { ...misused, message: /no transaction/ })
  const client = await pool.connect()
  t.teardown(() => client.release())
  await client.query('SELECT 1')
  await t.rejects(publisher.publish(message, origin, { transaction: fromPg(client) }), { ...misused, message: /no transaction is open/ })
  await client.query('BEGIN')
  const transaction = fromPg(client)
  await client.query('COMMIT')
  await t.rejects(publisher.publish(message, origin, { transaction }), misused, 'nor one that has ended')
  t.strictSame(await bodies(), [])
})

t.test('an embedded journal joins no transaction, and says so', async (t) => {
  const engine = new InlineEngine()
  t.teardown(() => engine.close())
  const publisher = createPublisher({ journal: new SqliteJournal(engine, 'node'), queueName: 'q', logger: silentLogger })
  await kysely.transaction().execute(async (trx) => {
    await t.rejects(publisher.publish(message, origin, { transaction: fromKysely(trx) }), { code: 'FST_BRK_TRANSACTION_UNSUPPORTED' })
  })
})
