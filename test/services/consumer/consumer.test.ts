import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { Consumer } from '../../../services/consumer/consumer.ts'
import type { ConsumerOptions } from '../../../services/consumer/consumer.ts'
import { RedisDeduplication } from '../../../services/consumer/deduplication.ts'
import { MessageUnrecoverable, PostponeMessage } from '../../../services/consumer/errors.ts'
import type { ListSourceOptions } from '../../../services/consumer/list/list-source.ts'
import type { Source } from '../../../services/consumer/source.ts'
import { withRetryCount } from '../../../services/consumer/handling/retry-policy.ts'
import { deadLetter } from '../../../services/queue/dead-letter.ts'
import { startFaultProxy } from '../../helpers/fault-proxy.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { Random } from '../../helpers/random.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { AOF, DEAD_LETTERS, NOTHING, PROCESSING, QUEUE, connection, contents, envelope, listSource, push, slot, versionOf } from './queue-world.ts'

type Overrides = Partial<Omit<ConsumerOptions, 'source'>>

async function consumer (t: Test, redis: { port: number }, options: Overrides = {}, source: Partial<ListSourceOptions> = {}) {
  const handled: string[] = []
  const logger = memoryLogger()
  const instance = new Consumer({
    source: await listSource(t, redis, source),
    handler: (message) => { handled.push(message.payload.model_version as string) },
    waitMs: 50,
    stopTimeoutMs: 300,
    graceMs: 50,
    backoffBaseMs: 10,
    random: () => 0.5,
    logger,
    ...options
  })
  t.teardown(() => instance.stop())
  return { instance, handled, logger }
}

/** A handler that says when each message begins, and ends it when told. */
function gate () {
  const begun: string[] = []
  const ends = new Map<string, PromiseWithResolvers<void>>()
  const handler: ConsumerOptions['handler'] = async (message) => {
    const version = message.payload.model_version as string
    begun.push(version)
    const end = Promise.withResolvers<void>()
    ends.set(version, end)
    await end.promise
  }
  return { begun, handler, end: (version: string) => ends.get(version)!.resolve(), fail: (version: string) => ends.get(version)!.reject(new Error('told to')) }
}

const lettersOf = async (redis: RedisServer) => (await redis.cli('lrange', DEAD_LETTERS, 0, -1) as string[]).reverse().map((letter) => JSON.parse(letter))

t.test('R8.1 messages are handled oldest first, and acknowledged only then', async (t) => {
  const redis = await startRedis(t)
  const bodies = ['1', '2', '3'].map((version) => envelope(version))
  const seen: unknown[] = []
  const { instance } = await consumer(t, redis, {
    handler: async (message, { body, attempt }) => {
      seen.push([message.payload.model_version, body, attempt, await redis.cli('lrange', PROCESSING, 0, -1)])
    }
  })
  await push(redis, ...bodies)
  await instance.run({ count: 3 })
  t.strictSame(seen, bodies.map((body) => [versionOf(body), body, 1, [body]]), 'each was in processing, alone and unchanged, while it was handled')
  t.strictSame(await contents(redis), NOTHING)
  t.match(instance.stats, { taken: 3, handled: 3, deadLettered: 0, inHand: 0, running: false, available: true })
})

t.test('R8.1 a failed attempt is repeated after a pause, as the same message, and becomes a dead letter after the last', async (t) => {
  const redis = await startRedis(t)
  const attempts: [number, number, string][] = []
  const { instance, logger } = await consumer(t, redis, {
    handler: (message, { attempt }) => {
      attempts.push([attempt, message.retry_count, message.message_id])
      throw new TypeError('no such metric')
    }
  })
  const body = envelope('1')
  await push(redis, body)
  void instance.run()
  await until(() => instance.stats.deadLettered === 1)
  const id = JSON.parse(body).message_id
  t.strictSame(attempts, [[1, 0, id], [2, 1, id], [3, 2, id], [4, 3, id]], 'max_retries of the envelope, plus one')
  const [letter] = await lettersOf(redis)
  t.strictSame(Object.keys(letter), ['original_message', 'error', 'failed_at', 'original_queue'])
  t.strictSame(JSON.parse(letter.original_message), { ...JSON.parse(body), retry_count: 3 })
  t.equal(letter.error, 'TypeError: no such metric')
  t.match(letter.failed_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/)
  t.equal(letter.original_queue, QUEUE)
  t.strictSame(logger.of('warn'), ['message could not be handled, it becomes a dead letter'])
  t.match(instance.stats, { handled: 0, retried: 3, deadLettered: 1 })
  t.strictSame((await contents(redis)).others, [])
})

t.test('R8.1 pauses grow exponentially with full jitter, up to their cap', async (t) => {
  const redis = await startRedis(t)
  const { instance } = await consumer(t, redis, { handler: () => { throw new Error('bad') }, backoffBaseMs: 1000, random: () => 0.5 })
  const pauses = [[0, 500], [3, 4000], [20, 300_000]]
  for (const [retries, pauseMs] of pauses) {
    await push(redis, envelope('1', 'a', { retry_count: retries, max_retries: 100 }))
    await instance.run({ count: 1 })
    const [member, dueAt] = await redis.cli('zrange', slot('delayed'), 0, 0, 'WITHSCORES')
    t.equal(JSON.parse(member.slice(member.indexOf(':') + 1)).retry_count, retries! + 1)
    t.ok(Math.abs(Number(dueAt) - Date.now() - pauseMs!) < 200, `about ${pauseMs} ms after ${retries} retries`)
    await redis.cli('del', slot('delayed'))
  }
})

t.test('a handler can end the attempts, or put the message off without losing one', async (t) => {
  const redis = await startRedis(t)
  let postponed = 0
  const { instance } = await consumer(t, redis, {
    maxAttempts: 2,
    handler: (message, { attempt }) => {
      if (message.payload.model_version === 'hopeless') throw new MessageUnrecoverable('its model is gone')
      t.equal(attempt, 1)
      if (postponed++ < 3) throw new PostponeMessage([20, NaN, -1][postponed - 1]!)
    }
  })
  await push(redis, envelope('hopeless'), envelope('early'))
  void instance.run()
  await until(() => instance.stats.handled === 1)
  t.match((await lettersOf(redis))[0].error, /its model is gone/)
  t.match(instance.stats, { deadLettered: 1, postponed: 3, retried: 0 })
})

t.test('R5.5 what is no envelope becomes a dead letter at once that names every problem, and the rest flows', async (t) => {
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
  await push(redis, ...wrong.map(([body]) => body), envelope('2'))
  const { instance, handled } = await consumer(t, redis)
  await instance.run({ count: wrong.length + 1 })
  t.strictSame(handled, ['2'])
  const letters = await lettersOf(redis)
  t.strictSame(letters.map((letter) => letter.original_message), wrong.map(([body]) => body))
  for (const [index, [, reason]] of wrong.entries()) t.match(letters[index].error, reason)
})

t.test('anything can be thrown, and bytes that are no UTF-8 are kept as they are', async (t) => {
  t.equal(JSON.parse(deadLetter(Buffer.from('x'), 'too old', QUEUE).toString()).error, 'too old')
  const redis = await startRedis(t)
  const bytes = Buffer.from(envelope('\xff'), 'latin1')
  const other = await connection(t, redis.port)
  await other.lpush(QUEUE, bytes)
  const { instance, handled } = await consumer(t, redis)
  await instance.run({ untilEmpty: true })
  t.strictSame(handled, [])
  t.strictSame(await other.lindexBuffer(DEAD_LETTERS, 0), bytes)
  t.equal(await other.llen(PROCESSING), 0, 'the exact bytes were removed')
})

t.test('a retry changes nothing in the text but the count', async (t) => {
  const text = '{"message_id":"a","message_type":"t","payload":{"retry_count":7,"big":12345678901234567890,"float":1.0,"text":"\\"retry_count\\":1"},' +
    '"timestamp":"x", "retry_count" : 0 ,"max_retries":3}'
  t.equal(withRetryCount(text, 1), text.replace('"retry_count" : 0', '"retry_count" : 1'))
  const escaped = text.replace('"retry_count" :', '"retry\\u005fcount":')
  t.equal(JSON.parse(withRetryCount(escaped, 1)).retry_count, 1)
})

t.test('R8.1 concurrency: so many at the same time, but messages of one key one after another and in order', async (t) => {
  const redis = await startRedis(t)
  const random = new Random(8)
  const running = new Map<string, number>()
  const order = new Map<string, number[]>()
  let most = 0
  const { instance } = await consumer(t, redis, {
    concurrency: 8,
    handler: async ({ payload }) => {
      const key = payload.model_name as string
      running.set(key, (running.get(key) ?? 0) + 1)
      t.equal(running.get(key), 1, 'alone')
      most = Math.max(most, [...running.values()].reduce((a, b) => a + b))
      order.set(key, [...order.get(key) ?? [], Number(payload.model_version)])
      await delay(random.below(8))
      running.set(key, 0)
    }
  })
  const messages = Array.from({ length: 120 }, (_, index) => envelope(String(index), `model-${random.below(12)}`))
  await (await connection(t, redis.port)).lpush(QUEUE, ...messages)
  await instance.run({ untilEmpty: true })
  t.equal(instance.stats.handled, 120)
  t.ok(most > 2 && most <= 8, `${most} at the same time`)
  for (const numbers of order.values()) t.strictSame(numbers, numbers.toSorted((a, b) => a - b))
})

t.test('later messages of a key go on while an earlier one waits for its next attempt; without a key nothing waits', async (t) => {
  const redis = await startRedis(t)
  const { instance, handled } = await consumer(t, redis, {
    concurrency: 2,
    backoffBaseMs: 200,
    handler: (message, { attempt }) => {
      if (message.payload.model_version === '1' && attempt === 1) throw new Error('bad')
      handled.push(message.payload.model_version as string)
    }
  })
  await push(redis, envelope('1'), envelope('2'))
  void instance.run()
  await until(() => handled.length === 2)
  t.strictSame(handled, ['2', '1'])

  const { begun, handler, end } = gate()
  const { instance: free } = await consumer(t, redis, { handler, concurrency: 2, keyOf: () => { throw new Error('no key') } })
  await instance.stop()
  await push(redis, envelope('3'), envelope('4'))
  void free.run()
  await until(() => begun.length === 2)
  end('3')
  end('4')
})

t.test('R8.1 a lease is renewed as long as the handler works', async (t) => {
  const redis = await startRedis(t)
  const { begun, handler, end } = gate()
  const first = await consumer(t, redis, { handler }, { visibilityMs: 150 })
  const second = await consumer(t, redis, {}, { visibilityMs: 150 })
  await push(redis, envelope('1'))
  void first.instance.run()
  await until(() => begun.length === 1)
  void second.instance.run()
  await delay(600)
  end('1')
  await until(() => first.instance.stats.handled === 1)
  t.strictSame(second.handled, [])
  t.strictSame(await contents(redis), NOTHING)
})

t.test('R8.1 what a dead consumer had is handled by another', async (t) => {
  const redis = await startRedis(t)
  await push(redis, envelope('1'), envelope('2'))
  await (await listSource(t, redis, { visibilityMs: 200 })).take(2, 0)
  const { instance, handled, logger } = await consumer(t, redis, {}, { visibilityMs: 200 })
  void instance.run()
  await until(() => handled.length === 2)
  t.strictSame(handled, ['1', '2'])
  t.match(logger.of('info'), ['messages of dead consumers are back in the queue'])
  t.equal(instance.stats.recovered, 2)
})

t.test('R8.1 a message whose lease is lost is not acknowledged, and its handler is told', async (t) => {
  const redis = await startRedis(t)
  let reason: any
  const { instance } = await consumer(t, redis, {
    handler: async (_message, { signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      reason = signal.reason
    }
  }, { visibilityMs: 150 })
  await push(redis, envelope('1'))
  const run = instance.run({ count: 1 })
  await until(async () => await redis.cli('llen', PROCESSING) === 1)
  await (await listSource(t, redis)).seize()
  await run
  t.equal(reason.code, 'FST_BRK_MESSAGE_TAKEN_AWAY')
  t.match(instance.stats, { leasesLost: 1, handled: 0 })
  t.strictSame(await contents(redis), { ...NOTHING, queue: ['1'] })
})

t.test('R8.1 a handler that heeds its signal when the time is up has failed one attempt', async (t) => {
  const redis = await startRedis(t)
  const { instance } = await consumer(t, redis, {
    timeoutMs: 30,
    maxAttempts: 1,
    handler: async (_message, { signal }) => { await delay(5000, undefined, { signal }).catch(() => {}) }
  })
  await push(redis, envelope('1'))
  await instance.run({ count: 1 })
  t.match(instance.stats, { handled: 0, deadLettered: 1, ignored: 0 }, 'it returned early, which is no success')
  t.match((await lettersOf(redis))[0].error, /not handled within 30 ms/)
})

t.test('R8.1 a handler that ignores its signal does not wedge the consumer: its message comes again by its lease, its key after that', async (t) => {
  const redis = await startRedis(t)
  const begun: string[] = []
  const never = new Promise(() => {})
  const { instance, logger } = await consumer(t, redis, {
    timeoutMs: 30,
    handler: async (message) => {
      const version = message.payload.model_version as string
      begun.push(version)
      if (version === 'stuck' && begun.filter((other) => other === 'stuck').length === 1) await never
    }
  }, { visibilityMs: 400 })
  await push(redis, envelope('stuck', 'a'), envelope('other', 'b'), envelope('same', 'a'))
  const startedAt = performance.now()
  void instance.run()
  await until(() => begun.includes('other'))
  t.ok(performance.now() - startedAt < 350, 'other keys go on at once')
  await until(() => instance.stats.handled === 3)
  t.ok(performance.now() - startedAt >= 400)
  t.match(instance.stats, { ignored: 1, recovered: 1, inHand: 0 })
  t.strictSame(logger.of('error'), ['handler ignores its signal, its message is left to the lease'])
  t.strictSame(await contents(redis), NOTHING)
})

t.test('a timeout may depend on the message', async (t) => {
  const redis = await startRedis(t)
  const { instance } = await consumer(t, redis, {
    timeoutMs: (message) => message.payload.model_version === 'short' ? 20 : 5000,
    maxAttempts: 1,
    handler: async (_message, { signal }) => { await delay(60, undefined, { signal }) }
  })
  await push(redis, envelope('short'), envelope('long'))
  await instance.run({ untilEmpty: true })
  t.match(instance.stats, { handled: 1, deadLettered: 1 })
})

t.test('R8.1 drain: stop() lets running handlers finish, takes nothing new, and hands back what was not begun, in its old order', async (t) => {
  const redis = await startRedis(t)
  const { begun, handler, end } = gate()
  const { instance } = await consumer(t, redis, { handler, concurrency: 4 })
  await push(redis, ...['1', '2', '3', '4', '5'].map((version) => envelope(version)))
  void instance.run()
  await until(() => instance.stats.inHand === 4)
  const stopped = instance.stop()
  end('1')
  await stopped
  t.strictSame(begun, ['1'])
  t.strictSame(await contents(redis), { ...NOTHING, queue: ['2', '3', '4', '5'] })
  t.match(instance.stats, { handled: 1, handedBack: 3, inHand: 0, running: false })
})

t.test('R8.1 drain: what is unfinished when the time is up goes back too, its handler is told, and what it does then is ignored', async (t) => {
  const redis = await startRedis(t)
  const reasons: string[] = []
  const released = Promise.withResolvers<void>()
  const { instance } = await consumer(t, redis, {
    concurrency: 2,
    stopTimeoutMs: 60,
    keyOf: () => null,
    handler: async (_message, { signal }) => {
      signal.addEventListener('abort', () => reasons.push(signal.reason.message))
      await released.promise
    }
  })
  await push(redis, envelope('1'), envelope('2'))
  void instance.run()
  await until(() => instance.stats.inHand === 2)
  const startedAt = performance.now()
  await instance.stop()
  t.ok(performance.now() - startedAt < 500)
  t.match(reasons, [/the consumer stops/, /the consumer stops/])
  t.strictSame(await contents(redis), { ...NOTHING, queue: ['1', '2'] })
  released.resolve()
  await delay(20)
  t.match(instance.stats, { handled: 0, handedBack: 2 })
})

t.test('an idle consumer stops at once; stopping twice, or before it runs, does no harm', async (t) => {
  const redis = await startRedis(t)
  const { instance } = await consumer(t, redis, { waitMs: 20_000 })
  void instance.run()
  await delay(20)
  const startedAt = performance.now()
  await Promise.all([instance.stop(), instance.stop()])
  t.ok(performance.now() - startedAt < 300)
  const { instance: other, handled } = await consumer(t, redis)
  await other.stop()
  await push(redis, envelope('1'))
  await other.run()
  t.strictSame(handled, [])
})

t.test('R8.1 it keeps running while Redis is killed or frozen, and settles what it had in hand', async (t) => {
  const redis = await startRedis(t, { args: AOF })
  const handled: string[] = []
  let outage: (() => unknown) | null = () => redis.kill()
  const { instance, logger } = await consumer(t, redis, {
    maxAttempts: 1,
    handler: async (message) => {
      handled.push(message.payload.model_version as string)
      await outage?.()
      if (message.payload.model_version === '2') throw new Error('bad')
    }
  })
  await push(redis, envelope('1'), envelope('2'))
  void instance.run()
  await until(() => handled.length === 1)
  await delay(100)
  outage = () => redis.freeze()
  await redis.restart(AOF)
  await until(() => handled.length === 2)
  await delay(300)
  outage = null
  redis.thaw()
  await until(async () => (await contents(redis)).letters.length === 1)
  await push(redis, envelope('3'))
  await until(() => instance.stats.handled === 2)
  t.strictSame(handled, ['1', '2', '3'], 'each was handled once')
  t.strictSame((await contents(redis)).letters, ['Error: bad'], 'a repeated dead letter is written once')
  t.strictSame(logger.lines.filter(({ level, message }) => level !== 'debug' && message.startsWith('queue')).map(({ message }) => message), [
    'queue is not available, trying again', 'queue is back', 'queue is not available, trying again', 'queue is back'
  ], 'one line per transition')
})

t.test('R8.1 an outage while it waits for a message is waited out', async (t) => {
  const redis = await startRedis(t)
  const { instance, handled, logger } = await consumer(t, redis)
  void instance.run()
  await redis.kill()
  await until(() => logger.of('warn').length === 1)
  t.equal(instance.stats.available, false)
  await redis.restart()
  await push(redis, envelope('1'))
  await until(() => handled.length === 1)
})

t.test('I7 stop() ends in time when Redis does not come back, and the message stays in processing', async (t) => {
  const redis = await startRedis(t)
  const { instance, handled, logger } = await consumer(t, redis, {
    handler: (message) => {
      handled.push(message.payload.model_version as string)
      redis.freeze()
    }
  })
  await push(redis, envelope('1'))
  void instance.run()
  await until(() => handled.length === 1)
  const startedAt = performance.now()
  await instance.stop()
  t.ok(performance.now() - startedAt < 1000)
  t.equal(instance.stats.handled, 0)
  await until(() => logger.of('warn').length === 2)
  t.strictSame(logger.of('warn'), ['queue is not available, trying again', 'stopped during an outage: a message that is done with stays in processing'])
  redis.thaw()

  const idle = await consumer(t, redis)
  void idle.instance.run()
  await delay(50)
  redis.freeze()
  const idleAt = performance.now()
  await idle.instance.stop()
  t.ok(performance.now() - idleAt < 500, 'an idle consumer does not wait for the answer to its last take')
})

t.test('R8.1 a lease is kept through an outage that is shorter', async (t) => {
  const redis = await startRedis(t)
  const { begun, handler, end } = gate()
  const first = await consumer(t, redis, { handler }, { visibilityMs: 3000 })
  const second = await consumer(t, redis, {}, { visibilityMs: 3000 })
  await push(redis, envelope('1'))
  void first.instance.run()
  await until(() => begun.length === 1)
  void second.instance.run()
  redis.freeze()
  // Longer than the time to the first renewal, much shorter than the lease.
  await delay(1300)
  redis.thaw()
  await delay(2000)
  end('1')
  await until(() => first.instance.stats.handled === 1)
  t.strictSame(second.handled, [])
})

t.test('R8.1 what a take brings after the consumer has stopped goes back', async (t) => {
  const redis = await startRedis(t)
  const list = await listSource(t, redis)
  const late = Promise.withResolvers<void>()
  const handled: string[] = []
  const source: Source = {
    take: async (max) => {
      const taken = await list.take(max, 0)
      await late.promise
      return taken
    },
    renew: (deliveries) => list.renew(deliveries),
    acknowledge: (delivery) => list.acknowledge(delivery),
    retry: (...args) => list.retry(...args),
    bury: (...args) => list.bury(...args),
    handBack: (deliveries) => list.handBack(deliveries),
    recover: () => list.recover()
  }
  const instance = new Consumer({ source, handler: ({ message_id: id }) => { handled.push(id) }, waitMs: 10 })
  await push(redis, envelope('1'))
  void instance.run()
  await until(async () => await redis.cli('llen', PROCESSING) === 1)
  await instance.stop()
  late.resolve()
  await until(async () => await redis.cli('llen', QUEUE) === 1)
  t.strictSame(handled, [])
})

t.test('R8.1 where nothing can be handed back, the leases run out', async (t) => {
  const redis = await startRedis(t)
  const { begun, handler } = gate()
  const { instance, logger } = await consumer(t, redis, { handler, stopTimeoutMs: 20 })
  await push(redis, envelope('1'))
  void instance.run()
  await until(() => begun.length === 1)
  redis.freeze()
  await instance.stop()
  t.match(logger.of('warn').at(-1), /could not be handed back, they come again when their leases run out/)
})

t.test('R8.1 a deduplication store that does not answer holds messages back, and a stop ends that', async (t) => {
  const redis = await startRedis(t)
  let down: 'seen' | 'remember' = 'seen'
  const deduplication = {
    seen: async () => {
      if (down === 'seen') throw new Error('down')
      return false
    },
    remember: async () => { throw new Error('down') }
  }
  const first = await consumer(t, redis, { deduplication, stopTimeoutMs: 50 })
  await push(redis, envelope('1'))
  void first.instance.run()
  await until(() => first.instance.stats.inHand === 1)
  await first.instance.stop()
  t.strictSame(first.handled, [])
  await until(async () => (await contents(redis)).queue.length === 1)
  down = 'remember'
  const second = await consumer(t, redis, { deduplication, stopTimeoutMs: 50 })
  void second.instance.run()
  await until(() => second.handled.length === 1)
  await second.instance.stop()
  t.match(await contents(redis), { queue: [], processing: ['1'] }, 'it was handled, so it is not handed back; and not acknowledged, as nobody would remember it')
})

t.test('what somebody else removed is neither acknowledged nor buried', async (t) => {
  const redis = await startRedis(t)
  const { instance } = await consumer(t, redis, {
    maxAttempts: 1,
    timeoutMs: (message) => {
      if (message.payload.model_version === 'no timeout') throw new Error('bad')
      return 1000
    },
    handler: async (message) => {
      await redis.cli('del', PROCESSING)
      if (message.payload.model_version === '2') throw new Error('bad')
    }
  })
  await push(redis, envelope('1'), envelope('2'), envelope('no timeout'))
  await instance.run({ count: 3 })
  t.match(instance.stats, { leasesLost: 2, handled: 0, deadLettered: 1 })
  t.strictSame(await contents(redis), { ...NOTHING, letters: ['Error: bad'] })
})

t.test('R8.1 deduplication: what was acknowledged and comes again is not handled again', async (t) => {
  const redis = await startRedis(t)
  const deduplication = new RedisDeduplication({ client: await connection(t, redis.port), queue: QUEUE, ttlMs: 60_000 })
  const { instance, handled } = await consumer(t, redis, { deduplication, concurrency: 4, keyOf: () => null })
  const body = envelope('1')
  await push(redis, body, body, envelope('2'))
  await instance.run({ untilEmpty: true })
  t.strictSame(handled, ['1', '2'], 'also when both copies were in hand at the same time')
  await push(redis, JSON.stringify({ ...JSON.parse(body), retry_count: 1 }))
  await instance.run({ untilEmpty: true })
  t.strictSame(handled, ['1', '2'])
  t.match(instance.stats, { handled: 2, duplicates: 2 })
  const { message_id: id } = JSON.parse(body)
  t.ok(await redis.cli('pttl', slot(`deduplication:${id}`)) > 50_000)
  t.match(await contents(redis), { queue: [], processing: [] })
})

t.test('R8.1 deduplication: a message whose acknowledgement was lost is found to be handled', async (t) => {
  const redis = await startRedis(t)
  const proxy = await startFaultProxy(t, redis.port)
  const store = new RedisDeduplication({ client: await connection(t, redis.port), queue: QUEUE })
  const client = await connection(t, proxy.port)
  // The handler succeeds, the id is remembered, and the acknowledgement never arrives.
  const deduplication = {
    seen: (id: string) => store.seen(id),
    remember: async (id: string) => {
      await store.remember(id)
      proxy.fault = 'blackhole'
    }
  }
  const first = await consumer(t, redis, { deduplication, stopTimeoutMs: 50 }, { client, visibilityMs: 200 })
  const second = await consumer(t, redis, { deduplication: store }, { visibilityMs: 200 })
  await push(redis, envelope('1'))
  void first.instance.run()
  await until(() => proxy.fault === 'blackhole')
  await first.instance.stop()
  void second.instance.run()
  await until(() => second.instance.stats.duplicates === 1)
  t.strictSame([first.handled, second.handled], [['1'], []])
  t.match(await contents(redis), { queue: [], processing: [] })
})

t.test('options that cannot work are refused, and a misspelt one is told the nearest name', async (t) => {
  const source = await listSource(t, await startRedis(t))
  const refused = (options: object, message: RegExp) =>
    t.throws(() => new Consumer({ source, handler: () => {}, ...options } as ConsumerOptions), { code: 'FST_BRK_CONSUMER_OPTION', message })
  refused({ handler: undefined }, /"handler" must be a function/)
  refused({ concurency: 2 }, /no option "concurency". Did you mean "concurrency"/)
  refused({ concurrency: 0 }, /"concurrency" must be/)
  refused({ backoffCapMs: 600_001 }, /"backoffCapMs" must be a number from 0 to 600000/)
  refused({ timeoutMs: 0 }, /"timeoutMs"/)
})
