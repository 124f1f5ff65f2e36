import { Type } from '@sinclair/typebox'
import t from 'tap'
import type { Test } from 'tap'
import { RedisDeduplication } from '../../../services/consumer/deduplication.ts'
import { ListSource } from '../../../services/consumer/list/list-source.ts'
import { openSqliteStore } from '../../../services/registry/store.ts'
import { RedisTransport } from '../../../services/relay/transport/redis-transport.ts'
import { defineTask } from '../../../services/tasks/define-task.ts'
import type { TaskContext } from '../../../services/tasks/define-task.ts'
import { TaskQueue } from '../../../services/tasks/task-queue.ts'
import type { TaskQueueOptions } from '../../../services/tasks/task-queue.ts'
import { plainConnection } from '../../helpers/plain-connection.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { AOF, connection } from '../consumer/queue-world.ts'

const QUEUE = 'q:tasks'
const Resize = Type.Object({ image: Type.String({ minLength: 1 }), width: Type.Integer({ minimum: 1 }) }, { additionalProperties: false })

async function taskQueue (t: Test, redis: RedisServer, options: Partial<TaskQueueOptions> = {}) {
  const store = await openSqliteStore({ path: ':memory:', limits: { maxRows: 1000, maxBytes: 1_000_000 } })
  t.teardown(() => store.close())
  const client = await connection(t, redis.port)
  const queue = new TaskQueue({
    journal: store.journal,
    transport: new RedisTransport(plainConnection(t, redis.port), QUEUE),
    source: new ListSource({ client, blocking: await connection(t, redis.port), queue: QUEUE, commandTimeoutMs: 300 }),
    worker: { waitMs: 50, stopTimeoutMs: 200, backoffBaseMs: 10, deduplication: new RedisDeduplication({ client, queue: QUEUE }) },
    relay: { idleMs: 50 },
    ...options
  })
  t.teardown(() => queue.stop())
  return { queue, store }
}

const letters = async (redis: RedisServer) => (await redis.cli('lrange', `${QUEUE}:dlq`, 0, -1) as string[]).map((letter) => JSON.parse(letter))

t.test('R8.3 a task is journaled, carried to its own queue, and done with its payload', async (t) => {
  const redis = await startRedis(t)
  const { queue } = await taskQueue(t, redis)
  const done: [unknown, TaskContext][] = []
  const resize = queue.add(defineTask('resize_image', (payload, context) => {
    const { width }: { width: number } = payload
    t.equal(width, 100)
    done.push([payload, context])
  }, { schema: Resize }))
  queue.start()
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const { messageId, durability } = await resize.enqueue({ image: 'a.png', width: 100 }, { origin: { correlationId: 'c-1', traceparent } })
  t.equal(durability, 'none')
  await until(() => queue.stats.worker!.handled === 1)
  const [payload, { signal, logger, ...context }] = done[0]!
  t.strictSame(payload, { image: 'a.png', width: 100 })
  t.strictSame(context, { attempt: 1, messageId, correlationId: 'c-1', traceparent })
  t.equal(signal.aborted, false)
  t.equal(queue.stats.relay!.published, 1)
})

t.test('R8.3 enqueuing needs no Redis: the task is done when it is back', async (t) => {
  const redis = await startRedis(t, { args: AOF })
  const { queue } = await taskQueue(t, redis)
  const done: number[] = []
  const count = queue.add(defineTask('count', (number) => { done.push(number) }, { schema: Type.Integer(), keyOf: () => 'all' }))
  queue.start()
  await redis.kill()
  for (let number = 1; number <= 5; number++) await count.enqueue(number)
  t.strictSame(done, [])
  await redis.restart(AOF)
  await until(() => done.length === 5)
  t.strictSame(done, [1, 2, 3, 4, 5], 'in order, because they have one key')
})

t.test('R8.3 on the wire a task is an envelope of the protocol', async (t) => {
  const redis = await startRedis(t)
  const { queue } = await taskQueue(t, redis, { source: null })
  const resize = queue.add(defineTask('resize_image', () => {}, { schema: Resize, maxAttempts: 2 }))
  queue.start()
  await resize.enqueue({ image: 'a.png', width: 1 }, { origin: { correlationId: 'c' }, delayMs: 1000 })
  const body = JSON.parse(await until(() => redis.cli('lindex', QUEUE, 0)))
  t.strictSame(Object.keys(body), ['message_id', 'message_type', 'payload', 'timestamp', 'retry_count', 'max_retries'])
  t.match(body, { message_type: 'resize_image', retry_count: 0, max_retries: 1, payload: { input: { image: 'a.png', width: 1 }, tags: { correlation_id: 'c' } } })
  t.equal(Date.parse(`${body.payload.not_before}Z`) - Date.parse(`${body.timestamp}Z`), 1000)
})

t.test('R8.3 a payload that breaks its schema is refused, and nothing is stored', async (t) => {
  const redis = await startRedis(t)
  const { queue, store } = await taskQueue(t, redis)
  const resize = queue.add(defineTask('resize_image', () => {}, { schema: Resize }))
  await t.rejects(resize.enqueue({ image: '', width: 0 }), {
    code: 'FST_BRK_TASK_PAYLOAD_INVALID', statusCode: 400, message: /"resize_image" was not accepted: \/image: .*; \/width: /
  })
  await t.rejects(resize.enqueue({ image: 'a', width: 1 }, { delayMs: -1 }), { code: 'FST_BRK_TASK_INVALID' })
  t.equal((await store.journal.stats()).pendingRows, 0)
})

t.test('R8.3 a delayed task is not done before its time, and the wait costs it no attempt', async (t) => {
  const redis = await startRedis(t)
  const { queue } = await taskQueue(t, redis)
  const done: [number, number][] = []
  const later = queue.add(defineTask('later', (_payload, { attempt }) => { done.push([performance.now(), attempt]) }, { schema: Type.Null() }))
  queue.start()
  const startedAt = performance.now()
  await later.enqueue(null, { delayMs: 300 })
  await until(() => done.length === 1)
  t.ok(done[0]![0] - startedAt >= 295)
  t.equal(done[0]![1], 1)
})

t.test('R8.3 what fails is repeated, and is a dead letter after its last attempt', async (t) => {
  const redis = await startRedis(t)
  const { queue } = await taskQueue(t, redis)
  const attempts: number[] = []
  const failing = queue.add(defineTask('failing', (_payload, { attempt }) => {
    attempts.push(attempt)
    throw new RangeError('no')
  }, { schema: Type.Null(), maxAttempts: 2 }))
  const slow = queue.add(defineTask('slow', (_payload, { signal }) => new Promise((resolve) => signal.addEventListener('abort', resolve)), {
    schema: Type.Null(), maxAttempts: 1, timeoutMs: 20
  }))
  queue.start()
  await failing.enqueue(null)
  await until(() => queue.stats.worker!.deadLettered === 1)
  t.strictSame(attempts, [1, 2])
  await slow.enqueue(null)
  await until(() => queue.stats.worker!.deadLettered === 2)
  t.match((await letters(redis)).map(({ error }) => error), [/not handled within 20 ms/, 'RangeError: no'])
})

t.test('R8.3 what the worker does not know, or cannot read any more, is a dead letter that says so', async (t) => {
  const redis = await startRedis(t)
  const old = await taskQueue(t, redis, { source: null })
  const unknown = old.queue.add(defineTask('unknown', () => {}, { schema: Type.Null() }))
  const changed = old.queue.add(defineTask('changed', () => {}, { schema: Type.Null() }))
  old.queue.start()
  await unknown.enqueue(null)
  await changed.enqueue(null)
  await until(async () => await redis.cli('llen', QUEUE) === 2)
  const { queue } = await taskQueue(t, redis, { transport: null })
  queue.add(defineTask('changed', () => {}, { schema: Type.Integer(), keyOf: () => { throw new Error('bad') } }))
  queue.start()
  await until(() => queue.stats.worker!.deadLettered === 2)
  t.match((await letters(redis)).map(({ error }) => error), [/"changed" breaks its schema/, /no task "unknown" is defined/])
})

t.test('a task that makes no sense is refused', async (t) => {
  const { queue } = await taskQueue(t, await startRedis(t))
  const schema = Type.Null()
  queue.add(defineTask('a', () => {}, { schema }))
  for (const define of [
    () => queue.add(defineTask('a', () => {}, { schema })),
    () => defineTask('', () => {}, { schema }),
    () => defineTask('b', () => {}, { schema, timeoutMs: 0 }),
    () => defineTask('b', () => {}, { schema, maxAttempts: 1.5 })
  ]) t.throws(define, { code: 'FST_BRK_TASK_INVALID' })
})
