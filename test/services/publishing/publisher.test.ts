import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { JournalFull } from '../../../services/journal/errors.ts'
import type { Journal } from '../../../services/journal/journal.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { DirectPublisher } from '../../../services/publishing/direct-publisher.ts'
import { JournalPublisher } from '../../../services/publishing/journal-publisher.ts'
import { LogPublisher } from '../../../services/publishing/log-publisher.ts'
import { createPublisher } from '../../../services/publishing/publisher-factory.ts'
import type { CreatePublisherOptions } from '../../../services/publishing/publisher-factory.ts'
import { readEnvelope } from '../../../services/queue/read-envelope.ts'
import { RedisGuard } from '../../../services/redis/guard.ts'
import { startFaultProxy } from '../../helpers/fault-proxy.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { Random } from '../../helpers/random.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

const QUEUE = 'models'
const origin = { correlationId: 'request-1' }
const message = {
  model_id: 'a/1/b', token_symbol: 'b', metric_name: 'auc', baseline_value: 1, current_value: 2, model_name: 'a', model_version: '1'
}
const invalid = { ...message, token_symbol: 'NOT ALLOWED' }

async function connect (t: Teardown, port: number, commandTimeoutMs = 100): Promise<RedisGuard> {
  const { target } = resolveRedisTarget({ REDIS_URL: `redis://127.0.0.1:${port}` })
  const guard = new RedisGuard({ target: target!, commandTimeoutMs, connectTimeoutMs: 200 })
  t.teardown(() => guard.close())
  await until(() => guard.isHealthy())
  return guard
}

function openJournal (t: Teardown, maxRows = 1000) {
  const engine = new InlineEngine({ limits: { maxRows, maxBytes: 1e6 } })
  t.teardown(() => engine.close())
  const journal = new SqliteJournal(engine, 'node')
  const bodies = async () => {
    const lease = await journal.acquireLease('test', 60_000)
    const batch = await journal.advance({ lease: lease!, leaseUntil: 0, published: null, after: null, maxRows: 100, maxBytes: 1e6 })
    await journal.releaseLease(lease!)
    return batch?.bodies ?? []
  }
  return { journal, bodies }
}

/** pino tells what it writes; so does this. */
const writingLogger = () => Object.assign(memoryLogger(), { isLevelEnabled: () => true })

t.test('R5.8 queue: one element, exactly the envelope, and its payload for live listeners', async (t) => {
  const server = await startRedis(t)
  const guard = await connect(t, server.port)
  const listener = new Redis(server.port)
  t.teardown(() => listener.disconnect())
  const heard: string[] = []
  listener.on('message', (_channel, payload) => heard.push(payload))
  await listener.subscribe(`${QUEUE}:pubsub`)

  const published = await new DirectPublisher({ client: guard.client, queueName: QUEUE, markerTtlMs: 5000 }).publish(message, origin)
  t.match(published, { messageId: /^[0-9a-f-]{36}$/, durability: 'none', via: 'queue' })
  const [element, ...others] = await server.cli('lrange', QUEUE, 0, -1)
  t.strictSame(others, [])
  const envelope = readEnvelope(element)
  t.match(envelope, { message_id: published.messageId, payload: { tags: { correlation_id: 'request-1' } } })
  await until(() => heard.length === 1)
  t.strictSame(JSON.parse(heard[0]!), envelope.payload)
  const remaining = await server.cli('pttl', `{${QUEUE}}:published:${published.messageId}`)
  t.ok(remaining > 0 && remaining <= 5000, 'the mark goes by itself')
})

t.test('queue: the stream takes messages as the list does', async (t) => {
  const server = await startRedis(t)
  const guard = await connect(t, server.port)
  const publisher = chainOf(['queue'], { client: guard.client, transport: 'stream' })
  const { messageId } = await publisher.publish(message, origin)
  const [[, [field, body]], ...others] = await server.cli('xrange', `{${QUEUE}}:stream`, '-', '+')
  t.strictSame([field, JSON.parse(body).message_id, others], ['body', messageId, []])
})

t.test('R5.3 queue: replies that get lost again and again leave one copy of each message', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const guard = await connect(t, proxy.port, 50)
  const publisher = new DirectPublisher({ client: guard.client, queueName: QUEUE, deadlineMs: 10_000 })
  const random = new Random(7)
  const ids: string[] = []
  for (let round = 0; round < 8; round++) {
    await until(() => guard.isHealthy())
    proxy.fault = 'swallow-replies'
    const publishing = publisher.publish(message, origin)
    await delay(20 + random.below(130))
    proxy.fault = 'pass'
    proxy.cut()
    ids.push((await publishing).messageId)
  }
  const elements: string[] = await server.cli('lrange', QUEUE, 0, -1)
  t.strictSame(elements.map((element) => JSON.parse(element).message_id).reverse(), ids, 'each once, in order')
})

t.test('queue: a Redis that is down refuses at once, and nothing arrives later', async (t) => {
  const server = await startRedis(t)
  const guard = await connect(t, server.port)
  const publisher = new DirectPublisher({ client: guard.client, queueName: QUEUE })
  await server.kill()
  await until(() => !guard.isHealthy())
  const startedAt = performance.now()
  await t.rejects(publisher.publish(message, origin), { code: 'FST_BRK_NOT_PUBLISHED', statusCode: 503, notApplied: true, retryAfterMs: Number })
  t.ok(performance.now() - startedAt < 200)
  await server.restart()
  await until(() => guard.isHealthy())
  t.match(await publisher.publish(message, origin), { via: 'queue' })
  t.equal(await server.cli('llen', QUEUE), 1)
  const disabled = new DirectPublisher({ client: null, queueName: QUEUE })
  await t.rejects(disabled.publish(message, origin), { code: 'FST_BRK_NOT_PUBLISHED', message: /Redis is disabled/ })
})

t.test('queue: no answer until the deadline is neither a yes nor a no, and the error names the message', async (t) => {
  const server = await startRedis(t)
  const guard = await connect(t, server.port)
  const publisher = new DirectPublisher({ client: guard.client, queueName: QUEUE })
  server.freeze()
  const startedAt = performance.now()
  const err = await publisher.publish(message, origin, { deadlineMs: 400 }).catch((err) => err)
  const elapsedMs = performance.now() - startedAt
  t.ok(elapsedMs >= 390 && elapsedMs < 1000, `${elapsedMs} ms`)
  t.match(err, { code: 'FST_BRK_POSSIBLY_PUBLISHED', statusCode: 503, notApplied: false })
  server.thaw()
  await until(async () => await server.cli('llen', QUEUE) === 1)
  const [element] = await server.cli('lrange', QUEUE, 0, -1)
  t.equal(JSON.parse(element).message_id, err.messageId, 'the frozen server executed it after all')

  await until(() => guard.isHealthy())
  server.freeze()
  const waiting = publisher.publish(message, origin, { deadlineMs: 60_000 }).catch((err) => err)
  await delay(20)
  publisher.close()
  t.match(await waiting, { code: 'FST_BRK_POSSIBLY_PUBLISHED' }, 'closing ends the wait')
})

t.test('queue: what Redis refuses is not published, and leaves no mark that would swallow it later', async (t) => {
  const server = await startRedis(t)
  const guard = await connect(t, server.port, 500)
  const publisher = new DirectPublisher({ client: guard.client, queueName: QUEUE })
  const refused = { code: 'FST_BRK_NOT_PUBLISHED', notApplied: true }
  await server.cli('set', QUEUE, 'no list')
  await t.rejects(publisher.publish(message, origin), { ...refused, message: /WRONGTYPE/ })
  await server.cli('del', QUEUE)
  await server.cli('config', 'set', 'maxmemory', '1')
  await t.rejects(publisher.publish(message, origin), { ...refused, message: /OOM/ })
  await server.cli('config', 'set', 'maxmemory', '0')
  t.equal(await server.cli('dbsize'), 0)
})

t.test('R5.7 log: the record holds what a hand needs to put the message into the queue', async (t) => {
  const server = await startRedis(t)
  const logger = memoryLogger()
  const publisher = new LogPublisher({ logger, queueName: QUEUE })
  const err = await publisher.publish(message, origin).catch((err) => err)
  t.match(err, { code: 'FST_BRK_ONLY_LOGGED', statusCode: 503, notApplied: true })
  const [{ level, details }] = logger.lines as [any]
  t.match({ level, ...details }, { level: 'warn', event: 'message_not_queued', messageId: err.messageId, queue: QUEUE, possiblyQueued: false })
  await server.cli('lpush', details.queue, details.envelope)
  const [element] = await server.cli('lrange', QUEUE, 0, -1)
  t.match(readEnvelope(element), { message_id: err.messageId, payload: { model_id: 'a/1/b' } })
})

t.test('R5.7 log: acknowledged only when told so, and only by a logger that writes it', async (t) => {
  const acknowledging = (logger: ReturnType<typeof memoryLogger>) => new LogPublisher({ logger, queueName: QUEUE, acknowledges: true })
  const writing = writingLogger()
  t.match(await acknowledging(writing).publish(message, origin), { durability: 'none', via: 'log' })
  t.equal(writing.lines.length, 1)
  const muted = Object.assign(memoryLogger(), { isLevelEnabled: () => false })
  await t.rejects(acknowledging(muted).publish(message, origin), { code: 'FST_BRK_ONLY_LOGGED', message: /takes no warnings/ })
  await t.rejects(acknowledging(memoryLogger()).publish(message, origin), { code: 'FST_BRK_ONLY_LOGGED' }, 'who cannot tell is not trusted')
})

t.test('R5.2 journal: durable as the journal is, never acknowledged when it is full', async (t) => {
  const { journal, bodies } = openJournal(t, 1)
  const publisher = new JournalPublisher(journal)
  const { messageId, ...published } = await publisher.publish(message, origin)
  t.strictSame(published, { durability: 'node', via: 'journal' })
  t.match((await bodies()).map((body) => JSON.parse(body)), [{ message_id: messageId }])
  await t.rejects(publisher.publish(message, origin), { code: 'FST_BRK_JOURNAL_FULL' })
})

function chainOf (chain: CreatePublisherOptions['chain'], parts: Partial<CreatePublisherOptions> = {}) {
  return createPublisher({ chain, queueName: QUEUE, logger: memoryLogger(), ...parts })
}

t.test('R5.7 a chain uses the next way while one refuses, says so once, and returns to the first', async (t) => {
  const server = await startRedis(t)
  const guard = await connect(t, server.port)
  const { journal, bodies } = openJournal(t)
  const logger = memoryLogger()
  const publisher = chainOf(['queue', 'journal', 'log'], { client: guard.client, journal, logger })
  t.match(await publisher.publish(message, origin), { via: 'queue', durability: 'none' })
  await server.kill()
  await until(() => !guard.isHealthy())
  for (let count = 0; count < 3; count++) t.match(await publisher.publish(message, origin), { via: 'journal', durability: 'node' })
  t.equal((await bodies()).length, 3)
  await server.restart()
  await until(() => guard.isHealthy())
  t.match(await publisher.publish(message, origin), { via: 'queue' })
  t.strictSame(logger.lines.map(({ level }) => level), ['warn', 'info'])
})

t.test('R5.7 possibly taken by the queue, then by the journal: the copies have one id and the same bytes', async (t) => {
  const server = await startRedis(t)
  const guard = await connect(t, server.port)
  const { journal, bodies } = openJournal(t)
  const publisher = chainOf(['queue', 'journal'], { client: guard.client, journal, deadlineMs: 200 })
  server.freeze()
  const published = await publisher.publish(message, origin)
  t.match(published, { via: 'journal' })
  server.thaw()
  await until(async () => await server.cli('llen', QUEUE) === 1)
  t.strictSame(await server.cli('lrange', QUEUE, 0, -1), await bodies())
})

t.test('R5.7 all ways fail: the error does not claim more than is known', async (t) => {
  const server = await startRedis(t)
  const guard = await connect(t, server.port)
  const { journal } = openJournal(t, 1)
  await journal.append([{ key: 'a', body: '{}' }])
  const logger = memoryLogger()
  const withJournal = chainOf(['queue', 'journal'], { client: guard.client, journal, deadlineMs: 100 })
  const withLog = chainOf(['queue', 'journal', 'log'], { client: guard.client, journal, logger, deadlineMs: 100 })
  server.freeze()
  await t.rejects(withJournal.publish(message, origin), { code: 'FST_BRK_POSSIBLY_PUBLISHED', notApplied: false, cause: { code: 'FST_BRK_JOURNAL_FULL' } })
  await until(() => guard.isHealthy() === false)
  await t.rejects(withJournal.publish(message, origin), { code: 'FST_BRK_JOURNAL_FULL', retryAfterMs: 5000 }, 'certainly not taken by the queue')
  await t.rejects(withLog.publish(message, origin), { code: 'FST_BRK_ONLY_LOGGED', notApplied: true })
  t.match(logger.lines.at(-1)!.details, { event: 'message_not_queued', possiblyQueued: false })
  server.thaw()
  await until(() => guard.isHealthy())
  server.freeze()
  await t.rejects(withLog.publish(message, origin), { code: 'FST_BRK_ONLY_LOGGED', notApplied: false })
  t.match(logger.lines.at(-1)!.details, { possiblyQueued: true })
})

t.test('R5.8 an invalid message is refused before the first way, and never passed on', async (t) => {
  const logger = memoryLogger()
  const { journal, bodies } = openJournal(t)
  await t.rejects(chainOf(['queue', 'journal', 'log'], { client: null, journal, logger }).publish(invalid, origin), { code: 'FST_BRK_MESSAGE_INVALID', statusCode: 400 })
  t.strictSame([logger.lines, await bodies()], [[], []])
})

t.test('a message within a transaction goes to the journal or nowhere', async (t) => {
  const transaction = { query: async () => ({ rows: [] }) }
  const logger = memoryLogger()
  const within: unknown[] = []
  const journal = { durability: 'cluster', append: async (_entries: unknown, given: unknown) => { within.push(given) } } as unknown as Journal
  const chain = chainOf(['queue', 'journal', 'log'], { client: null, journal, logger })
  t.match(await chain.publish(message, origin, { transaction }), { via: 'journal', durability: 'cluster' })
  t.equal(within[0], transaction)

  const full = { ...journal, append: async () => { throw new JournalFull(1, 1) } } as unknown as Journal
  await t.rejects(chainOf(['journal', 'log'], { journal: full, logger }).publish(message, origin, { transaction }), { code: 'FST_BRK_JOURNAL_FULL' })
  await t.rejects(chainOf(['log'], { logger }).publish(message, origin, { transaction }), { code: 'FST_BRK_TRANSACTION_UNSUPPORTED' })
  t.strictSame(logger.lines, [], 'a record would outlive a rollback')
})

t.test('the factory refuses a chain that cannot work, and says why', async (t) => {
  t.throws(() => chainOf(['journal']), { code: 'FST_BRK_PUBLISHER_INCOMPLETE', message: /"journal", and there is no store/ })
  t.throws(() => chainOf(['queue']), { code: 'FST_BRK_PUBLISHER_INCOMPLETE', message: /"queue", and there is no Redis client/ })
  t.throws(() => chainOf(['log', 'log']), { code: 'FST_BRK_PUBLISHER_INCOMPLETE' })
  t.throws(() => chainOf([]), { code: 'FST_BRK_PUBLISHER_INCOMPLETE' })
  t.throws(() => chainOf(undefined), { code: 'FST_BRK_PUBLISHER_INCOMPLETE' }, 'the default is the journal')
  const acknowledged = chainOf(['log'], { logger: writingLogger(), logAcknowledges: true })
  t.match(await acknowledged.publish(message, origin), { via: 'log' })
})
