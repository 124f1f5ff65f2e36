import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { Consumer } from '../../../services/queue/consumer.ts'
import type { ConsumerOptions } from '../../../services/queue/consumer.ts'
import { deadLetter } from '../../../services/queue/dead-letter.ts'
import { buildEnvelope } from '../../../services/queue/envelope.ts'
import { until } from '../../helpers/until.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer } from '../../helpers/redis-server.ts'

const QUEUE = 'hokusai:model_ready_queue'
const PROCESSING = `${QUEUE}:processing`
const DEAD_LETTERS = `${QUEUE}:dlq`

function envelope (version: string): string {
  return buildEnvelope({
    model_id: `churn/${version}/hok`,
    token_symbol: 'hok',
    metric_name: 'auc',
    baseline_value: 0.5,
    current_value: 0.75,
    model_name: 'churn é',
    model_version: version
  }, { correlationId: 'c' }).body
}

async function connection (t: Test, redis: RedisServer): Promise<Redis> {
  const client = new Redis({
    port: redis.port,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => 20
  })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  await once(client, 'ready')
  return client
}

async function consumer (t: Test, redis: RedisServer, options: Partial<ConsumerOptions> = {}) {
  const versions: unknown[] = []
  const instance = new Consumer({
    client: await connection(t, redis),
    queue: QUEUE,
    blockMs: 50,
    commandTimeoutMs: 200,
    stopTimeoutMs: 300,
    random: () => 0.1,
    handler: message => { versions.push(message.payload.model_version) },
    ...options
  })
  return { instance, versions }
}

const lists = async (redis: RedisServer) => ({
  queue: await redis.cli('llen', QUEUE),
  processing: await redis.cli('llen', PROCESSING),
  deadLetters: await redis.cli('llen', DEAD_LETTERS)
})
const EMPTY = { queue: 0, processing: 0, deadLetters: 0 }

t.test('R8.1 messages are handled oldest first, one at a time, and acknowledged only then', async t => {
  const redis = await startRedis(t)
  const inFlight: unknown[] = []
  const { instance, versions } = await consumer(t, redis, {
    handler: async (message, body) => {
      versions.push(message.payload.model_version)
      inFlight.push(await redis.cli('lrange', PROCESSING, 0, -1))
      t.equal(body, bodies[versions.length - 1], 'the handler gets the exact text')
    }
  })
  const bodies = ['1', '2', '3'].map(envelope)
  for (const body of bodies) await redis.cli('lpush', QUEUE, body)
  await instance.run({ count: 3 })
  t.strictSame(versions, ['1', '2', '3'])
  t.strictSame(inFlight, bodies.map(body => [body]), 'each was in processing, alone and unchanged, while it was handled')
  t.strictSame(await lists(redis), EMPTY)
  t.strictSame(instance.stats, { handled: 3, deadLettered: 0 })
})

t.test('R5.5 what the handler throws makes a dead letter in the second form of the protocol', async t => {
  const redis = await startRedis(t)
  const warnings: string[] = []
  const { instance } = await consumer(t, redis, {
    handler: () => { throw new TypeError('no such metric') },
    logger: { info: () => {}, warn: (_details, text) => warnings.push(text) }
  })
  const body = envelope('1')
  await redis.cli('lpush', QUEUE, body)
  await instance.run({ untilEmpty: true })
  t.strictSame(await lists(redis), { ...EMPTY, deadLetters: 1 })
  const letter = JSON.parse(await redis.cli('lindex', DEAD_LETTERS, 0))
  t.strictSame(Object.keys(letter), ['original_message', 'error', 'failed_at', 'original_queue'])
  t.equal(letter.original_message, body)
  t.equal(letter.error, 'TypeError: no such metric')
  t.match(letter.failed_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
  t.equal(letter.original_queue, QUEUE)
  t.strictSame(warnings, ['message could not be handled, it becomes a dead letter'])
})

t.test('R5.5 what is no envelope becomes a dead letter that names every problem, and the rest flows', async t => {
  const redis = await startRedis(t)
  const good = JSON.parse(envelope('1'))
  const wrong: [string, RegExp][] = [
    ['{', /it is not JSON/],
    ['[]', /it is not a JSON object/],
    ['null', /it is not a JSON object/],
    [JSON.stringify({ ...good, trace: 'x' }), /trace is not a field of the envelope/],
    [JSON.stringify({ ...good, retry_count: -1, payload: [] }), /payload must be an object; retry_count must be an integer/],
    [JSON.stringify({ ...good, message_id: '' }), /message_id must be a non-empty string/]
  ]
  for (const [body] of wrong) await redis.cli('lpush', QUEUE, body)
  await redis.cli('lpush', QUEUE, envelope('2'))
  const { instance, versions } = await consumer(t, redis, {
    handler: message => {
      versions.push(message.payload.model_version)
      JSON.parse('{')
    }
  })
  await instance.run({ count: wrong.length + 1 })
  t.strictSame(versions, ['2'])
  t.strictSame(await lists(redis), { ...EMPTY, deadLetters: wrong.length + 1 })
  for (const [body, reason] of wrong) {
    const letter = JSON.parse(await redis.cli('rpop', DEAD_LETTERS))
    t.equal(letter.original_message, body)
    t.match(letter.error, reason)
  }
  t.match(JSON.parse(await redis.cli('rpop', DEAD_LETTERS)).error, /^SyntaxError: /)
})

t.test('anything can be thrown', async t => {
  t.equal(JSON.parse(deadLetter(Buffer.from('x'), 'too old', QUEUE).toString()).error, 'too old')
})

t.test('bytes that are no UTF-8 are kept as they are', async t => {
  const redis = await startRedis(t)
  const bytes = Buffer.from([0x7b, 0xff, 0xfe])
  const other = await connection(t, redis)
  await other.lpush(QUEUE, bytes)
  const { instance } = await consumer(t, redis)
  await instance.run({ count: 1 })
  t.strictSame(await other.lindexBuffer(DEAD_LETTERS, 0), bytes)
  t.equal(await other.llen(PROCESSING), 0, 'the exact bytes were acknowledged')
})

t.test('stop() finishes the message in hand and takes no other', async t => {
  const redis = await startRedis(t)
  let release = () => {}
  const { instance, versions } = await consumer(t, redis, {
    handler: async message => {
      versions.push(message.payload.model_version)
      await new Promise<void>(resolve => { release = resolve })
    }
  })
  for (const version of ['1', '2']) await redis.cli('lpush', QUEUE, envelope(version))
  const run = instance.run()
  await until(() => versions.length === 1)
  const stopped = instance.stop()
  release()
  await stopped
  await run
  t.strictSame(versions, ['1'])
  t.strictSame(await lists(redis), { ...EMPTY, queue: 1 })
})

t.test('an idle consumer stops within the time of one take', async t => {
  const redis = await startRedis(t)
  const { instance } = await consumer(t, redis)
  const run = instance.run()
  await delay(20)
  const startedAt = performance.now()
  await instance.stop()
  await run
  t.ok(performance.now() - startedAt < 300)
})

t.test('R8.1 it keeps running while Redis is killed or frozen, and settles what it had in hand', async t => {
  const redis = await startRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const lines: string[] = []
  let outage: (() => unknown) | null = () => redis.kill()
  const { instance, versions } = await consumer(t, redis, {
    handler: async message => {
      versions.push(message.payload.model_version)
      await outage?.()
      if (message.payload.model_version === '2') throw new Error('bad')
    },
    logger: { info: (_details, text) => lines.push(text), warn: (_details, text) => lines.push(text) }
  })
  await redis.cli('lpush', QUEUE, envelope('1'), envelope('2'))
  const run = instance.run()
  await until(() => versions.length === 1)
  await delay(100)
  outage = () => redis.freeze()
  await redis.restart(['--appendonly', 'yes', '--appendfsync', 'always'])
  await until(() => versions.length === 2)
  await delay(300)
  outage = null
  redis.thaw()
  await until(async () => (await lists(redis)).deadLetters === 1)
  await redis.cli('lpush', QUEUE, envelope('3'))
  await until(() => instance.stats.handled === 2)
  await instance.stop()
  await run
  t.strictSame(versions, ['1', '2', '3'], 'each was handled once')
  t.strictSame(await lists(redis), { ...EMPTY, deadLetters: 1 }, 'a repeated dead letter is written once')
  t.equal(lines.filter(line => line === 'queue is not available, trying again').length, 2, 'one line per outage')
  t.equal(lines.filter(line => line === 'queue is back').length, 2)
})

t.test('R8.1 an outage while it waits for a message is waited out', async t => {
  const redis = await startRedis(t)
  const lines: string[] = []
  const { instance, versions } = await consumer(t, redis, {
    logger: { info: (_details, text) => lines.push(text), warn: (_details, text) => lines.push(text) }
  })
  const run = instance.run()
  await redis.kill()
  await until(() => lines.length === 1)
  await redis.restart()
  await redis.cli('lpush', QUEUE, envelope('1'))
  await until(() => versions.length === 1)
  await instance.stop()
  await run
  t.strictSame(lines, ['queue is not available, trying again', 'queue is back'])
})

t.test('stop() ends in time when Redis does not come back, and the message stays in processing', async t => {
  const redis = await startRedis(t)
  const { instance, versions } = await consumer(t, redis, {
    handler: message => {
      versions.push(message.payload.model_version)
      redis.freeze()
    }
  })
  await redis.cli('lpush', QUEUE, envelope('1'))
  const run = instance.run()
  await until(() => versions.length === 1)
  const startedAt = performance.now()
  await instance.stop()
  await run
  t.ok(performance.now() - startedAt < 1500)
  t.strictSame(instance.stats, { handled: 0, deadLettered: 0 })
})

t.test('a message that somebody else recovered is not buried a second time', async t => {
  const redis = await startRedis(t)
  const { instance } = await consumer(t, redis, {
    handler: async () => {
      await redis.cli('del', PROCESSING)
      throw new Error('bad')
    }
  })
  await redis.cli('lpush', QUEUE, envelope('1'))
  await instance.run({ count: 1 })
  t.strictSame(await lists(redis), EMPTY)
})

t.test('R8.1 recover() puts what a dead consumer left back, in its old order', async t => {
  const redis = await startRedis(t)
  for (const version of ['1', '2', '3']) await redis.cli('lpush', QUEUE, envelope(version))
  await redis.cli('lmove', QUEUE, PROCESSING, 'RIGHT', 'LEFT')
  await redis.cli('lmove', QUEUE, PROCESSING, 'RIGHT', 'LEFT')
  const client = await connection(t, redis)
  const { instance, versions } = await consumer(t, redis, { client })
  t.equal(await instance.recover(), 2)
  await instance.run({ untilEmpty: true })
  t.strictSame(versions, ['1', '2', '3'])
  t.strictSame(await lists(redis), EMPTY)
})

t.test('I1 a command without an answer is given up in time', async t => {
  const redis = await startRedis(t)
  const client = await connection(t, redis)
  const { instance } = await consumer(t, redis, { client })
  redis.freeze()
  await t.rejects(instance.recover(), { code: 'FST_BRK_CONSUMER_TIMEOUT' })
})
