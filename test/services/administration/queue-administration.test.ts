import { randomUUID } from 'node:crypto'
import { Cluster, Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import type { QueueClient } from '../../../services/administration/consumer-side/client.ts'
import { queueKeys, sameSlot } from '../../../services/administration/consumer-side/keys.ts'
import { QueueAdministration } from '../../../services/administration/queue-administration.ts'
import type { LetterPage } from '../../../services/administration/queue-administration.ts'
import { withFreshAttempts } from '../../../services/administration/consumer-side/fresh-attempts.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import type { Batch, Journal, Position } from '../../../services/journal/journal.ts'
import { deadLetter } from '../../../services/queue/dead-letter.ts'
import { readDeadLetter } from '../../../services/queue/read-dead-letter.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { Random } from '../../helpers/random.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

const QUEUE = 'hokusai:model_ready_queue'
const DLQ = `${QUEUE}:dlq`
const noBytes = Buffer.from([0xff, 0xfe, 0x00, 0x7b])

function envelope (model: string, { id = randomUUID() as string, retries = 0, type = 'model_ready_to_deploy' } = {}): string {
  return JSON.stringify({
    message_id: id, message_type: type, payload: { model_name: model, model_id: `${model}/1/hok` }, timestamp: '2026-11-21T10:18:32.840000', retry_count: retries, max_retries: 3
  })
}

function described (body: string, error: string, at = new Date(1_790_000_000_000)): Buffer {
  return deadLetter(Buffer.from(body), error, QUEUE, at)
}

interface Setup { redis: RedisServer, client: Redis, administration: QueueAdministration }

async function start (t: Test, journal: Journal | null = null): Promise<Setup> {
  const redis = await startRedis(t)
  const client = new Redis({ port: redis.port, commandTimeout: 500, maxRetriesPerRequest: 0, retryStrategy: () => 20 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  await client.ping()
  return { redis, client, administration: new QueueAdministration({ queueName: QUEUE, journal, redis: client, timeoutMs: 500 }) }
}

/** A real journal with so many dead letters. */
async function deadJournal (t: Test, bodies: string[], now: () => number = Date.now): Promise<Journal> {
  const engine = new InlineEngine({ now })
  t.teardown(() => engine.close())
  const journal = new SqliteJournal(engine as never, 'none')
  if (bodies.length === 0) return journal
  await journal.append(bodies.map((body) => ({ key: JSON.parse(body).payload.model_name, body })))
  const lease = await journal.acquireLease('test', 60_000)
  const request = { lease: lease!, leaseUntil: now() + 60_000, published: null, after: null, maxRows: 1000, maxBytes: 1e9 }
  const batch = await journal.advance(request)
  for (let seq = batch!.first; seq <= batch!.last; seq++) await journal.bury(lease!, { term: batch!.term, seq }, `too large: ${seq}`, 5)
  await journal.releaseLease(lease!)
  return journal
}

async function pendingBodies (journal: Journal, now: number): Promise<string[]> {
  const lease = await journal.acquireLease('again', 60_000)
  const bodies: string[] = []
  let after: Position | null = null
  for (;;) {
    const batch: Batch | null = await journal.advance({ lease: lease!, leaseUntil: now + 60_000, published: null, after, maxRows: 10, maxBytes: 1e6 })
    if (batch === null) return bodies
    bodies.push(...batch.bodies.filter((body) => body !== ''))
    after = { term: batch.term, seq: batch.last }
  }
}

async function wholeList (administration: QueueAdministration, query: object, between: (page: LetterPage) => Promise<unknown> = async () => {}) {
  const items: LetterPage['items'] = []
  let cursor: string | undefined
  do {
    const page = await administration.list({ ...query, cursor })
    items.push(...page.items)
    cursor = page.next_cursor ?? undefined
    if (cursor !== undefined) await between(page)
  } while (cursor !== undefined)
  return items
}

t.test('PROTOCOL.md both forms of a dead letter, and what is neither', async t => {
  const body = envelope('a')
  t.same(readDeadLetter(described(body, 'boom')), { form: 'described', original: Buffer.from(body), error: 'boom', failedAt: '2026-09-21T14:13:20.000000', queue: QUEUE })
  t.same(readDeadLetter(Buffer.from(body)), { form: 'original', original: Buffer.from(body), error: null, failedAt: null, queue: null })
  for (const odd of [noBytes, Buffer.from('not json'), Buffer.from('[1]'), Buffer.from('{}'), Buffer.from(''), Buffer.from('{"original_message":{}}'), Buffer.from('null')]) {
    t.match(readDeadLetter(odd), { form: 'unknown', original: odd }, odd.toString())
  }
  t.match(readDeadLetter(Buffer.from('{"original_message":"x","error":{},"failed_at":1,"original_queue":null}')), { form: 'described', original: Buffer.from('x'), error: null, failedAt: null, queue: null })
})

t.test('R8 a replayed message has all its attempts again, and no other byte changes', async t => {
  const fresh = (text: string) => withFreshAttempts(Buffer.from(text)).toString()
  t.equal(fresh('{"retry_count": 3, "x": 1.0, "big": 12345678901234567890}'), '{"retry_count": 0, "x": 1.0, "big": 12345678901234567890}')
  t.equal(fresh('{"payload": {"retry_count": 3, "note": "\\"retry_count\\": 3"}, "retry_count" : 3 }'), '{"payload": {"retry_count": 3, "note": "\\"retry_count\\": 3"}, "retry_count" : 0 }')
  t.equal(fresh('{"retry_coun\\u0074": 2}'), '{"retry_count":0}', 'a name in escapes is written anew')
  for (const same of ['{"retry_count": 0}', '{"retry_count": -1}', '{"retry_count": "3"}', 'not json', '[3]', '']) t.equal(fresh(same), same)
  t.same(withFreshAttempts(noBytes), noBytes)
})

t.test('keys: both places of the protocol, all helpers in the slot of their list', async t => {
  const keys = queueKeys(QUEUE)
  t.strictSame(keys.places.map(({ list }) => list), [DLQ, `{${QUEUE}}:dlq`])
  for (const { list, settled, moving, moved } of keys.places) {
    for (const key of [settled, moving, moved]) t.ok(sameSlot(list, key), key)
  }
  t.ok(sameSlot(keys.queue, keys.arrived))
  t.notOk(sameSlot(keys.queue, DLQ))
  t.strictSame(queueKeys('{a}:q').places.map(({ list }) => list), ['{a}:q:dlq'], 'a name with a tag has one place')
  t.equal(queueKeys(QUEUE).delayed, `{${QUEUE}}:delayed`)
})

t.test('R5.5 list, inspect and filter: both forms, malformed bytes, both lists', async t => {
  const { client, administration } = await start(t)
  const [a, b, c] = [envelope('churn', { id: 'm-a' }), envelope('sales', { id: 'm-b', type: 'other' }), envelope('churn', { id: 'm-c' })]
  await client.lpush(DLQ, described(a, 'RangeError: Too Old', new Date(1000)))
  await client.lpush(DLQ, b)
  await client.lpush(DLQ, noBytes)
  await client.lpush(`{${QUEUE}}:dlq`, described(c, 'Error: boom', new Date(3000)))
  const { items, next_cursor: next, unavailable } = await administration.list({ side: 'consume' })
  t.equal(next, null)
  t.same(unavailable, [])
  t.same(new Set(items.map((item) => item.message_id)), new Set(['m-c', null, 'm-b', 'm-a']))
  const ids = (some: LetterPage) => some.items.map((item) => item.message_id)
  t.same(ids(await administration.list({ side: 'consume', model: 'churn' })), ['m-c', 'm-a'], 'newest first')
  t.same(ids(await administration.list({ side: 'consume', model: 'churn/1/hok' })), ['m-c', 'm-a'])
  t.same(ids(await administration.list({ side: 'consume', message_type: 'other' })), ['m-b'])
  t.same(ids(await administration.list({ side: 'consume', error: 'too old' })), ['m-a'])
  t.same(ids(await administration.list({ side: 'consume', message_id: 'm-c', model: 'sales' })), [])

  const letterA = items.find((item) => item.message_id === 'm-a')!
  t.match(letterA, { error: 'RangeError: Too Old', failed_at: '1970-01-01T00:00:01.000Z', model: 'churn', replayable: true, original_queue: QUEUE, size_bytes: a.length })
  t.match(await administration.find(letterA.id), { ...letterA, original: a, encoding: 'utf-8' })
  const odd = items.find((item) => item.message_id === null)!
  t.match(await administration.find(odd.id), { original: noBytes.toString('base64'), encoding: 'base64', replayable: false })
  for (const id of ['c-00000000000000000000000000000000', 'nonsense', '', 'p-x', `${letterA.id}-2`]) {
    await t.rejects(administration.find(id), { code: id === 'p-x' ? 'FST_BRK_DEAD_LETTERS_UNAVAILABLE' : 'FST_BRK_DEAD_LETTER_NOT_FOUND' }, id)
  }
  await t.rejects(administration.list({ cursor: 'nonsense' }), { code: 'FST_BRK_DEAD_LETTER_CURSOR', statusCode: 400 })
})

t.test('R5.5 pages: nothing skipped, nothing repeated, while letters arrive (20 seeds)', async t => {
  const { client, administration } = await start(t)
  for (let seed = 1; seed <= 20; seed++) {
    const random = new Random(seed)
    await client.flushall()
    const push = async (count: number) => {
      for (let n = 0; n < count; n++) {
        const body = envelope(`m${random.below(5)}`, { id: String(random.next()) })
        await client.lpush(random.pick([DLQ, DLQ, `{${QUEUE}}:dlq`]), random.chance(0.3) ? body : described(body, 'e', new Date(1e12 + n)))
      }
    }
    await push(1 + random.below(150))
    // The very same bytes more than once are letters of their own.
    for (let n = 0; n < 5; n++) await client.lpush(DLQ, envelope('same', { id: 'same' }))
    const expected = [...await client.lrange(DLQ, 0, -1), ...await client.lrange(`{${QUEUE}}:dlq`, 0, -1)]
    const items = await wholeList(administration, { side: 'consume', limit: 1 + random.below(20) }, () => push(random.below(8)))
    t.equal(items.length, expected.length, `seed ${seed}: as many as there were`)
    t.equal(new Set(items.map(({ id }) => id)).size, items.length, `seed ${seed}: each id once`)
    const found = await Promise.all(items.slice(0, 3).map(({ id }) => administration.find(id)))
    t.equal(found.length, Math.min(3, items.length))
  }
})

t.test('R5.5 pages while letters are replayed: nothing is skipped', async t => {
  const { client, administration } = await start(t)
  for (let n = 0; n < 60; n++) await client.lpush(DLQ, described(envelope('m', { id: `m-${n}` }), 'e', new Date(1e12 + n)))
  const all = await wholeList(administration, { side: 'consume', limit: 60 })
  const seen = await wholeList(administration, { side: 'consume', limit: 7 }, async (page) => {
    await administration.replay({ ids: [page.items[0]!.id, all.at(-1)!.id] })
  })
  t.strictSame(seen.map(({ message_id: id }) => id), all.slice(0, -1).map(({ message_id: id }) => id))
})

t.test('R5.5 replay one and some: exact bytes, oldest first, safe to repeat', async t => {
  const { client, administration } = await start(t)
  const bodies = ['a', 'b', 'c', 'd'].map((model) => envelope(model, { id: model }))
  for (const [n, body] of bodies.entries()) await client.lpush(DLQ, described(body, 'e', new Date(1e12 + n)))
  const { items } = await administration.list({ side: 'consume' })
  const [d, c, , a] = items.map(({ id }) => id)
  const one = await administration.replay({ ids: [c!] })
  t.same(one, { results: [{ id: c, outcome: 'replayed', reason: null }], remaining: false, next_cursor: null, unavailable: [] })
  t.strictSame(await client.lrange(QUEUE, 0, -1), [bodies[2]])
  const some = await administration.replay({ ids: [d!, c!, a!, a!, 'c-0', 'p-1'] })
  t.same(some.results.map(({ outcome }) => outcome), ['replayed', 'not_found', 'replayed', 'not_found', 'failed'], 'in the order asked; without a journal the publish side fails')
  t.strictSame((await client.lrange(QUEUE, 0, -1)).reverse(), [bodies[2], bodies[0], bodies[3]], 'the oldest is consumed first')
  t.strictSame((await wholeList(administration, { side: 'consume' })).map(({ message_id: id }) => id), ['b'])
  t.equal(await client.exists(DLQ), 1)
})

t.test('R5.5 identical copies: each id names one of them', async t => {
  const { client, administration } = await start(t)
  const body = envelope('same')
  await client.lpush(DLQ, body, body, body)
  const { items } = await administration.list({ side: 'consume' })
  const [third, second, first] = items.map(({ id }) => id)
  t.strictSame([third, second], [`${first}-3`, `${first}-2`])
  const request = { ids: [third!, second!] }
  t.same((await administration.replay(request)).results.map(({ outcome }) => outcome), ['replayed', 'replayed'])
  t.same((await administration.replay(request)).results.map(({ outcome }) => outcome), ['not_found', 'not_found'], 'repeated')
  t.equal(await client.llen(QUEUE), 2)
  t.match(await administration.find(first!), { original: body })
  await t.rejects(administration.find(second!), { code: 'FST_BRK_DEAD_LETTER_NOT_FOUND' })
  await client.lpush(DLQ, body)
  t.same((await administration.purge({ ids: [first!, second!] })).results.map(({ outcome }) => outcome), ['purged', 'purged'], 'in any order')
})

t.test('R5.5 replay all: batches, malformed stay, a poison that dies again is not replayed for ever', async t => {
  const logger = memoryLogger()
  const { client } = await start(t)
  const administration = new QueueAdministration({ queueName: QUEUE, journal: null, redis: client, logger })
  const bodies = Array.from({ length: 2300 }, (_, n) => envelope('m', { id: String(n), retries: n % 3 }))
  const line = client.pipeline()
  for (const [n, body] of bodies.entries()) line.lpush(DLQ, n % 2 === 0 ? body : described(body, 'e'))
  line.lpush(DLQ, noBytes).lpush(DLQ, bodies[0]!).lpush(DLQ, bodies[0]!)
  await line.exec()
  let cursor: string | undefined
  let batches = 0
  const outcomes: Record<string, number> = {}
  do {
    const settled = await administration.replay({ all: true, cursor })
    t.ok(settled.results.length <= 1000)
    for (const { outcome } of settled.results) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    cursor = settled.next_cursor ?? undefined
    t.equal(settled.remaining, cursor !== undefined)
    batches++
    if (cursor !== undefined) await client.lpush(DLQ, envelope('poison', { id: 'poison' }))
  } while (cursor !== undefined && batches < 10)
  t.same(outcomes, { replayed: 2302, not_replayable: 1 })
  t.equal(await client.llen(QUEUE), 2302)
  const replayed = (await client.lrange(QUEUE, 0, -1)).map((body) => JSON.parse(body))
  t.ok(replayed.every((message) => message.retry_count === 0))
  t.equal(new Set(replayed.map((message) => message.message_id)).size, 2300)
  t.same((await wholeList(administration, { side: 'consume' })).map(({ replayable }) => replayable), [true, true, false], 'what came meanwhile waits for the next time')
  t.match(logger.lines[0], { level: 'info', details: { action: 'replay', queue: QUEUE, replayed: 999, not_replayable: 1 } })
})

t.test('R5.5 replay and purge by filter', async t => {
  const { client, administration } = await start(t)
  for (const model of ['a', 'b', 'a', 'c']) await client.lpush(DLQ, described(envelope(model), `broken ${model}`))
  t.same((await administration.replay({ filter: { model: 'a' } })).results.map(({ outcome }) => outcome), ['replayed', 'replayed'])
  t.same((await administration.purge({ filter: { error: 'BROKEN B' } })).results.map(({ outcome }) => outcome), ['purged'])
  t.same((await wholeList(administration, {})).map(({ model }) => model), ['c'])
  t.equal(await client.llen(QUEUE), 2)
  t.same((await administration.purge({ all: true })).results.map(({ outcome }) => outcome), ['purged'])
  t.equal(await client.exists(DLQ), 0)
})

t.test('R5.5 a reply that is lost: sent again, it neither loses nor doubles a letter, even among identical ones', async t => {
  const { client } = await start(t)
  const body = envelope('same')
  await client.lpush(DLQ, body, body, body)
  let lost = 0
  const deaf = intercepted(client, async (call) => {
    await call()
    if (lost++ < 2) throw Object.assign(new Error('no answer'), { ambiguous: true })
    return await call()
  })
  const administration = new QueueAdministration({ queueName: QUEUE, journal: null, redis: deaf, timeoutMs: 500 })
  const id = (await new QueueAdministration({ queueName: QUEUE, journal: null, redis: client }).list()).items[2]!.id
  t.match((await administration.replay({ ids: [id] })).results, [{ outcome: 'replayed' }])
  t.ok(lost > 2)
  t.same([await client.llen(QUEUE), await client.llen(DLQ)], [1, 2])
  lost = 0
  t.match((await administration.purge({ ids: [id] })).results, [{ outcome: 'purged' }])
  t.same([await client.llen(QUEUE), await client.llen(DLQ)], [1, 1])
})

t.test('R5.5 a queue that refuses the push keeps every letter where it is', async t => {
  const { redis, client, administration } = await start(t)
  for (const model of ['a', 'b']) await client.lpush(DLQ, envelope(model))
  await client.set(QUEUE, 'no list')
  t.match((await administration.replay({ all: true })).results, [{ outcome: 'failed', reason: /WRONGTYPE/ }, { outcome: 'failed' }])
  t.equal(await client.llen(DLQ), 2)
  await client.del(QUEUE)
  await redis.cli('config', 'set', 'maxmemory', 1)
  t.match((await administration.replay({ all: true })).results, [{ outcome: 'failed', reason: /OOM/ }, { outcome: 'failed' }])
  t.same([await client.llen(DLQ), await client.llen(QUEUE)], [2, 0])
  await redis.cli('config', 'set', 'maxmemory', 0)
  t.match((await administration.replay({ all: true })).results, [{ outcome: 'replayed' }, { outcome: 'replayed' }])
  await client.set(DLQ, 'no list')
  t.same((await administration.list({ side: 'publish' }).catch((err) => err.code)), 'FST_BRK_DEAD_LETTERS_UNAVAILABLE', 'there is no journal here')
  await t.rejects(administration.list({ side: 'consume' }), { code: 'FST_BRK_DEAD_LETTERS_UNAVAILABLE', statusCode: 503 })
})

t.test('R5.5 four operators replay everything at once: each letter is queued once', async t => {
  const { client: single } = await start(t)
  for (const client of [single, await startCluster(t)]) {
    const bodies = Array.from({ length: 120 }, (_, n) => envelope('m', { id: String(n) }))
    for (const body of bodies) await client.lpush(DLQ, described(body, 'e'))
    await Promise.all(Array.from({ length: 4 }, async () => {
      await new QueueAdministration({ queueName: QUEUE, journal: null, redis: client, timeoutMs: 10_000 }).replay({ all: true })
    }))
    t.same((await client.lrange(QUEUE, 0, -1)).toSorted(), bodies.toSorted(), client.isCluster ? 'across slots' : 'in one script')
    t.equal(await client.exists(DLQ), 0)
  }
})

t.test('R5.5 with the stream transport a replay goes to the stream', async t => {
  const { client } = await start(t)
  const administration = new QueueAdministration({ queueName: QUEUE, journal: null, redis: client, transport: 'stream' })
  const bodies = ['a', 'b'].map((model) => envelope(model))
  for (const body of bodies) await client.lpush(DLQ, described(body, 'e'))
  t.match((await administration.replay({ all: true })).results, [{ outcome: 'replayed' }, { outcome: 'replayed' }])
  const entries = await client.xrange(`{${QUEUE}}:stream`, '-', '+')
  t.same(entries.map(([, fields]) => fields), bodies.map((body) => ['body', body]))
  await client.zadd(`{${QUEUE}}:stream-delayed`, 1, 'a', 2, 'b', 3, 'c')
  await client.zadd(`{${QUEUE}}:delayed`, 1, 'left by the other transport')
  t.match(await administration.overview(), { waiting: 0, stream: 2, delayed: 3, dead_letters: { consume: 0 } })
})

t.test('R5.5 the overview, and every part of it null with a reason while Redis is frozen', async t => {
  const { redis, client, administration } = await start(t, await deadJournal(t, []))
  await client.lpush(QUEUE, 'a', 'b')
  await client.lpush(`${QUEUE}:processing`, 'c')
  await client.lpush(`{${QUEUE}}:processing`, 'd')
  await client.zadd(`{${QUEUE}}:delayed`, 1, 'e')
  await client.lpush(DLQ, 'f')
  t.match(await administration.overview(), {
    queue: QUEUE, waiting: 2, stream: 0, processing: 2, delayed: 1, dead_letters: { publish: 0, consume: 1, interrupted: 0 }, journal: { pending_rows: 0, pressure: 'none' }, unavailable: []
  })
  redis.freeze()
  const startedAt = performance.now()
  const overview = await administration.overview()
  t.ok(performance.now() - startedAt < 1500, 'within its deadline')
  redis.thaw()
  t.match(overview, { waiting: null, processing: null, delayed: null, dead_letters: { consume: null, publish: 0 }, journal: { pending_rows: 0 } })
  t.same(overview.unavailable.map(({ part }) => part).sort(), ['dead_letters.consume', 'dead_letters.interrupted', 'delayed', 'processing', 'stream', 'waiting'])
})

t.test('R5.5 both sides behind one interface, merged by time; the publish side works while Redis is down', async t => {
  let now = 1_700_000_000_000
  const bodies = ['x', 'y'].map((model) => envelope(model, { id: `p-${model}`, retries: 0 }))
  const journal = await deadJournal(t, bodies, () => now++)
  const { redis, client, administration } = await start(t, journal)
  await client.lpush(DLQ, described(envelope('old', { id: 'old' }), 'e', new Date(1_600_000_000_000)))
  await client.lpush(DLQ, described(envelope('new', { id: 'new' }), 'e', new Date(1_800_000_000_000)))
  const items = await wholeList(administration, { limit: 1 })
  t.same(items.map(({ message_id: id }) => id), ['new', 'p-y', 'p-x', 'old'])
  t.match(items[1], { side: 'publish', error: 'too large: 2', attempts: 5, model: 'y', replayable: true, failed_at: /^2023-11/ })
  t.match(await administration.find(items[1]!.id), { original: bodies[1] })
  t.equal((await administration.overview()).dead_letters.publish, 2)

  await redis.kill()
  await until(() => client.status !== 'ready')
  const page = await administration.list()
  t.same(page.items.map(({ message_id: id }) => id), ['p-y', 'p-x'])
  t.match(page, { next_cursor: null, unavailable: [{ side: 'consume', reason: String }] })
  const settled = await administration.replay({ ids: [items[0]!.id, items[2]!.id, items[1]!.id] })
  t.match(settled.results, [{ outcome: 'failed', reason: String }, { outcome: 'replayed' }, { outcome: 'replayed' }])
  t.match((await administration.replay({ ids: [items[2]!.id] })).results, [{ outcome: 'not_found' }])
  t.same(await pendingBodies(journal, now), bodies, 'byte for byte, oldest first')
  await t.rejects(administration.list({ side: 'consume' }), { code: 'FST_BRK_DEAD_LETTERS_UNAVAILABLE' })
})

/** A client whose scripts pass through `around`. */
function intercepted (client: QueueClient, around: (call: () => Promise<unknown>, index: number) => Promise<unknown>): QueueClient {
  let index = 0
  return new Proxy(client, {
    get (target, name) {
      if (name === 'eval') return (...args: Parameters<QueueClient['eval']>) => around(() => target.eval(...args), index++)
      const value = target[name as keyof QueueClient] as unknown
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

async function startCluster (t: Test): Promise<Cluster> {
  const redis = await startRedis(t, { args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'] })
  await redis.cli('cluster', 'addslotsrange', 0, 16383)
  await until(async () => String(await redis.cli('cluster', 'info')).includes('cluster_state:ok'))
  const cluster = new Cluster([{ host: redis.host, port: redis.port }], { redisOptions: { maxRetriesPerRequest: 0 } })
  cluster.on('error', () => {})
  t.teardown(() => cluster.disconnect())
  await until(() => cluster.status === 'ready')
  return cluster
}

t.test('R5.5 cluster: the untagged list is in another slot; stopped before or after any step, each letter is queued exactly once', async t => {
  const cluster = await startCluster(t)
  const keys = queueKeys(QUEUE)
  const good = new QueueAdministration({ queueName: QUEUE, journal: null, redis: cluster })
  const bodies = ['a', 'b'].map((model) => envelope(model, { id: model, retries: 2 }))
  const expected = bodies.map((body) => body.replace('"retry_count":2', '"retry_count":0'))
  await t.rejects(cluster.eval('return 1', 2, DLQ, QUEUE), /CROSSSLOT|slot/i, 'one script cannot do it')
  // Scripts of one replay of two letters: forget, then claim, deliver, finish for each.
  for (let stop = 0; stop < 7; stop++) {
    for (const moment of ['before', 'after'] as const) {
      await cluster.del(QUEUE)
      await cluster.del(DLQ)
      for (const body of bodies) await cluster.lpush(DLQ, described(body, 'e'))
      const ids = (await good.list({ side: 'consume' })).items.map(({ id }) => id)
      let dead = false
      const dying = intercepted(cluster, async (call, index) => {
        if (dead) throw new Error('the process is dead')
        dead = index === stop
        if (dead && moment === 'before') throw new Error('died before')
        const reply = await call()
        if (dead) throw new Error('died after')
        return reply
      })
      await new QueueAdministration({ queueName: QUEUE, journal: null, redis: dying }).replay({ ids })
      const { interrupted } = (await good.overview()).dead_letters
      const label = `stopped ${moment} script ${stop}, ${interrupted} interrupted`
      const settled = await good.replay({ ids })
      t.notOk(settled.results.some(({ outcome }) => outcome === 'failed'), label)
      t.strictSame((await cluster.lrange(QUEUE, 0, -1)).sort(), [...expected].sort(), label)
      t.equal(await cluster.exists(DLQ), 0, label)
      t.equal(await cluster.hlen(keys.places[0]!.moving), 0, label)
    }
  }
})

t.test('R5.5 cluster: lost replies, a late first step, and the tagged list', async t => {
  const cluster = await startCluster(t)
  const good = new QueueAdministration({ queueName: QUEUE, journal: null, redis: cluster })
  const body = envelope('same')
  await cluster.lpush(DLQ, body, body)
  const calls: (() => Promise<unknown>)[] = []
  const deaf = intercepted(cluster, async (call, index) => {
    calls.push(call)
    const reply = await call()
    if (index % 2 === 0) throw Object.assign(new Error('no answer'), { ambiguous: true })
    return reply
  })
  const administration = new QueueAdministration({ queueName: QUEUE, journal: null, redis: deaf })
  const id = (await good.list()).items[1]!.id
  t.match((await administration.replay({ ids: [id] })).results, [{ outcome: 'replayed' }])
  for (const call of calls) await call()
  t.same([await cluster.llen(QUEUE), await cluster.llen(DLQ)], [1, 1], 'ghosts of its commands change nothing')
  t.match((await good.overview()).dead_letters, { consume: 1, interrupted: 0 })
  await cluster.lpush(`{${QUEUE}}:dlq`, described(envelope('tagged'), 'e'))
  t.same((await good.replay({ all: true })).results.map(({ outcome }) => outcome), ['replayed', 'replayed'])
  t.equal(await cluster.llen(QUEUE), 3)
  await cluster.lpush(DLQ, body, noBytes)
  t.same((await good.purge({ all: true })).results.map(({ outcome }) => outcome), ['purged', 'purged'])
})
