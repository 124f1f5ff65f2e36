import { Redis } from 'ioredis'
import t from 'tap'
import type { AdvanceRequest, Batch, Journal, Position } from '../../../services/journal/journal.ts'
import { RedisTransport } from '../../../services/relay/transport/redis-transport.ts'
import { Relay } from '../../../services/relay/relay.ts'
import { openPostgresJournal } from '../../helpers/postgres-journal.ts'
import { startPostgres } from '../../helpers/postgres-server.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

t.setTimeout(300_000)

const LEASE_MS = 30_000
const server = await startPostgres(t)

function advance (journal: Journal, lease: string, request: Partial<AdvanceRequest> = {}): Promise<Batch | null> {
  return journal.advance({ lease, leaseUntil: Date.now() + LEASE_MS, published: null, after: null, maxRows: 500, maxBytes: 1e6, ...request })
}

const entry = (body: string, key = 'model') => ({ key, body })

/** Publishes what there is after `after`, and returns the bodies. */
async function drain (journal: Journal, lease: string, from: Position | null = null): Promise<{ bodies: string[], end: Position | null }> {
  const bodies: string[] = []
  let end = from
  for (let batch; (batch = await advance(journal, lease, { published: end, after: end })) !== null;) {
    bodies.push(...batch.bodies)
    end = { term: batch.term, seq: batch.last }
  }
  return { bodies, end }
}

/** A transaction that is open until it is told to end, as a sibling service's would be. */
async function openTransaction (database: ReturnType<typeof openPostgresJournal>['database'], work: (tx: any) => Promise<void>) {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
  const { promise: end, resolve: commit, reject: rollback } = Promise.withResolvers<void>()
  const done = database.transaction(async (tx) => {
    await work(tx)
    begin()
    await end
  })
  await begun
  return {
    commit: async () => { commit(); await done },
    rollback: async () => { rollback(new Error('rolled back')); await done.catch(() => {}) }
  }
}

t.test('I4 a transaction that commits after later ones were relayed is numbered then, and not lost', async (t) => {
  const { database, journal } = openPostgresJournal(t, server.url)
  const lease = (await journal.acquireLease('relay', LEASE_MS))!
  const slow = await openTransaction(database, (tx) => journal.append([entry('slow')], tx))
  const never = await openTransaction(database, (tx) => journal.append([entry('never')], tx))
  await journal.append([entry('quick')])
  const first = await drain(journal, lease)
  t.strictSame(first.bodies, ['quick'], 'a later id that committed first goes first')
  t.match(first.end, { seq: 1 })
  t.match(await journal.stats(), { pendingRows: 0 })
  await journal.append([entry('next')])
  await slow.commit()
  const second = await drain(journal, lease, first.end)
  t.strictSame(second.bodies, ['slow', 'next'], 'then in insert order')
  await never.rollback()
  await journal.append([entry('last')])
  t.strictSame((await drain(journal, lease, second.end)).bodies, ['last'])
  const holes = async () => (await database.query(`SELECT holes::text AS holes, high FROM ${database.schema}.journal_state ORDER BY version DESC LIMIT 1`))[0]!
  await until(async () => {
    await advance(journal, lease)
    return (await holes()).holes === '{}'
  })
  t.equal((await holes()).high, 5, 'what was rolled back is given up, the rest is numbered')
})

t.test('I4 a hole is kept for as long as its transaction lives, though others come and go, and for another relay too', async (t) => {
  const { database, journal } = openPostgresJournal(t, server.url)
  const other = openPostgresJournal(t, server.url, { schema: database.schema })
  const lease = (await journal.acquireLease('relay', LEASE_MS))!
  const slow = await openTransaction(database, (tx) => journal.append([entry('slow')], tx))
  let { end } = { end: null as Position | null }
  for (let round = 0; round < 10; round++) {
    await journal.append([entry(`m${round}`)])
    end = (await drain(journal, lease, end)).end
    await new Promise((resolve) => { setTimeout(resolve, 30) })
  }
  await journal.releaseLease(lease)
  const next = (await other.journal.acquireLease('other', LEASE_MS))!
  t.strictSame((await drain(other.journal, next, end)).bodies, [])
  await slow.commit()
  t.strictSame((await drain(other.journal, next, end)).bodies, ['slow'])
})

t.test('R5.2 append within a transaction: there after its commit, gone with its rollback, and heard of elsewhere', async (t) => {
  const { database, journal } = openPostgresJournal(t, server.url)
  const elsewhere = openPostgresJournal(t, server.url, { schema: database.schema, listen: true })
  let heard = 0
  elsewhere.journal.onAppend(() => { heard++ })
  await until(() => heard === 1)
  const rolledBack = await openTransaction(database, (tx) => journal.append([entry('a\0"\\'), entry('ü')], tx))
  await rolledBack.rollback()
  const committed = await openTransaction(database, (tx) => journal.append([entry('a\0"\\'), entry('ü')], tx))
  t.match(await journal.stats(), { pendingRows: 0 })
  t.equal(heard, 1)
  await committed.commit()
  t.match(await journal.stats(), { pendingRows: 2, pendingBytes: 6 })
  await until(() => heard === 2)
  const lease = (await journal.acquireLease('relay', LEASE_MS))!
  t.strictSame((await drain(journal, lease)).bodies, ['a\0"\\', 'ü'])
  await journal.append([entry('b')])
  await until(() => heard === 3)
})

t.test('a connection that listens is replaced when it breaks', async (t) => {
  const { database, journal } = openPostgresJournal(t, server.url)
  const elsewhere = openPostgresJournal(t, server.url, { schema: database.schema, listen: true })
  let heard = 0
  elsewhere.journal.onAppend(() => { heard++ })
  await until(() => heard > 0)
  await server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
  await until(async () => {
    const before = heard
    await journal.append([entry('a')])
    await new Promise((resolve) => { setTimeout(resolve, 50) })
    return heard > before
  })
  t.pass('heard again')
})

t.test('an entry that cannot be stored fails alone, with a clear error', async (t) => {
  const { database, journal } = openPostgresJournal(t, server.url)
  await database.query(`ALTER TABLE ${database.schema}.journal ADD CHECK (key <> 'bad')`)
  const results = await Promise.allSettled(['a', 'bad', 'b', 'nul\0', 'c'].map((key) => journal.append([entry('x', key)])))
  t.strictSame(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'])
  for (const result of results) if (result.status === 'rejected') t.match(result.reason, { code: 'FST_BRK_JOURNAL_ENTRY', statusCode: 400 })
  t.match(await journal.stats(), { pendingRows: 3 })
})

t.test('R5.6 no writer waits for another: a transaction with messages that stays open blocks nobody', async (t) => {
  const { database, journal } = openPostgresJournal(t, server.url, { limits: { maxRows: 10, maxBytes: 1000 } })
  const open = await openTransaction(database, (tx) => journal.append([entry('open')], tx))
  await journal.append([entry('a')])
  const lease = (await journal.acquireLease('relay', LEASE_MS))!
  t.strictSame((await drain(journal, lease)).bodies, ['a'])
  await open.commit()
})

t.test('R7 statistics of a large backlog are an estimate, near and quick', async (t) => {
  const { database, journal } = openPostgresJournal(t, server.url)
  await database.query('SELECT 1')
  await server.query(`INSERT INTO ${database.schema}.journal (created_at, size_bytes, key, body) SELECT 1, 10 + n % 3, 'k', '' FROM generate_series(1, 100000) AS n`)
  const { pendingRows, pendingBytes } = await journal.stats()
  t.ok(Math.abs(pendingRows - 100_000) < 2000, String(pendingRows))
  t.ok(Math.abs(pendingBytes - 1_100_000) < 50_000, String(pendingBytes))
  await server.query(`DELETE FROM ${database.schema}.journal WHERE id > 10000 AND id % 2 = 0`)
  t.ok(Math.abs((await journal.stats()).pendingRows - 55_000) < 2000, 'ids without a row do not count')
})

t.test('R5.3 two processes on one journal: one relays; when it is frozen the other takes over, and its late transaction does no harm', async (t) => {
  const redis = await startRedis(t)
  const one = openPostgresJournal(t, server.url)
  const two = openPostgresJournal(t, server.url, { schema: one.database.schema })
  const logger = memoryLogger()
  const frozen = (await one.journal.acquireLease('frozen', 300))!
  await one.journal.append(['a', 'b'].map((body) => entry(body)))
  const batch = (await advance(one.journal, frozen, { leaseUntil: Date.now() + 300 }))!

  const client = new Redis({ host: redis.host, port: redis.port })
  t.teardown(() => client.disconnect())
  const transport = new RedisTransport({ client, connectionEpoch: 1, isHealthy: () => true, onReady: () => () => {} }, 'queue')
  const relay = new Relay({ journal: two.journal, transport, logger, leaseMs: 300 })
  relay.start()
  t.teardown(() => relay.stop())
  await until(async () => await client.llen('queue') === 2)
  t.equal(await transport.publish(batch), true, 'its late batch finds its numbers taken')
  const late = { term: batch.term, seq: batch.last }
  await t.rejects(advance(one.journal, frozen, { published: late, after: late }), { code: 'FST_BRK_LEASE_LOST' })
  t.equal(await one.journal.acquireLease('frozen', 300), null, 'held by the other')
  await one.journal.append([entry('c')])
  await until(async () => await client.llen('queue') === 3)
  t.strictSame((await client.lrange('queue', 0, -1)).reverse(), ['a', 'b', 'c'])
})

t.test('R12.2 a relay rides out the death of its database: nothing lost, nothing twice', async (t) => {
  const [redis, postgres] = await Promise.all([startRedis(t), startPostgres(t, { settings: { fsync: 'on' } })])
  const { journal } = openPostgresJournal(t, postgres.url, { deadlineMs: 1000 })
  const client = new Redis({ host: redis.host, port: redis.port })
  t.teardown(() => client.disconnect())
  const transport = new RedisTransport({ client, connectionEpoch: 1, isHealthy: () => true, onReady: () => () => {} }, 'queue')
  const relay = new Relay({ journal, transport, logger: memoryLogger(), leaseMs: 1000 })
  relay.start()
  t.teardown(() => relay.stop())
  const accepted: string[] = []
  const stop = new AbortController()
  const writer = (async () => {
    for (let number = 0; !stop.signal.aborted; number++) {
      const body = `m${number}`
      await journal.append([entry(body)]).then(() => accepted.push(body), () => {})
    }
  })()
  for (const inflict of [async () => postgres.kill(), async () => postgres.freeze()]) {
    const before = accepted.length
    await until(() => accepted.length > before + 20)
    await inflict()
    await journal.append([entry('refused')]).then(() => t.fail('accepted by a dead database'), (err) => t.match(err, { code: 'FST_BRK_STORE_UNAVAILABLE' }))
    postgres.thaw()
    await postgres.restart()
  }
  const before = accepted.length
  await until(() => accepted.length > before + 20)
  stop.abort()
  await writer
  await until(async () => (await journal.stats()).pendingRows === 0)
  const queued = (await client.lrange('queue', 0, -1)).reverse()
  t.equal(new Set(queued).size, queued.length - queued.filter((body) => body === 'refused').length + (queued.includes('refused') ? 1 : 0), 'nothing twice')
  t.strictSame(accepted.filter((body) => !queued.includes(body)), [], 'nothing accepted is missing')
  const numbers = queued.filter((body) => body !== 'refused').map((body) => Number(body.slice(1)))
  t.strictSame(numbers, [...numbers].sort((a, b) => a - b), 'in order')
})
