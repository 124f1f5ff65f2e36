import { setTimeout as delay } from 'node:timers/promises'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import config from '../../plugins/config.ts'
import consumer from '../../plugins/consumer.ts'
import type { ConsumerPluginOptions } from '../../plugins/consumer.ts'
import redis from '../../plugins/redis.ts'
import tasks from '../../plugins/tasks.ts'
import { startPostgres } from '../helpers/postgres-server.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'
import { until } from '../helpers/until.ts'
import { NOTHING, PROCESSING, QUEUE, contents, envelope, push } from '../services/consumer/queue-world.ts'

function application (t: Test) {
  const app = Fastify()
  t.teardown(() => app.close())
  return app
}

t.test('R8.1 a consumer runs with the application, on connections of its own, and closing drains it', async (t) => {
  const server = await startRedis(t)
  const app = application(t)
  const handled: unknown[] = []
  let release = () => {}
  await app.register(redis, { target: server.url })
  await app.register(consumer, {
    concurrency: 3,
    handler: async ({ payload }) => {
      if (payload.model_version === '2') await new Promise<void>((resolve) => { release = resolve })
      handled.push(payload.model_version)
    }
  })
  await push(server, ...['1', '2', '3'].map((version) => envelope(version)))
  await delay(50)
  t.strictSame(handled, [], 'not before the application is ready')
  await app.ready()
  await until(() => app.consumers[0]!.stats.inHand === 2)
  t.ok(await app.redis.ping(), 'the shared connection is not blocked')
  const closing = app.close()
  await delay(30)
  release()
  await closing
  t.strictSame(handled, ['1', '2'])
  const { others, ...lists } = await contents(server)
  t.strictSame({ ...lists, others: [] }, { ...NOTHING, queue: ['3'] }, 'handed back while the connection was still there')
})

t.test('R8.1 several consumers; every option is honoured', async (t) => {
  const server = await startRedis(t)
  const app = application(t)
  const handled: string[] = []
  await app.register(redis, { target: server.url })
  const options: ConsumerPluginOptions = {
    handler: ({ payload }, { attempt }) => {
      handled.push(`${payload.model_version} ${attempt}`)
      if (attempt === 1) throw new Error('bad')
    },
    keyOf: () => null,
    timeoutMs: 1000,
    graceMs: 10,
    maxAttempts: 2,
    backoffBaseMs: 1,
    backoffCapMs: 1,
    deduplicationTtlMs: 0,
    visibilityMs: 5000,
    stopTimeoutMs: 100,
    commandTimeoutMs: 300
  }
  await app.register(consumer, { ...options, queueName: 'one' })
  await app.register(consumer, { ...options, queueName: 'two', cluster: true })
  await app.ready()
  await server.cli('lpush', 'one', envelope('1'))
  await server.cli('lpush', 'two', envelope('2'))
  await until(() => app.consumers.every(({ stats }) => stats.handled === 1))
  t.strictSame(handled.toSorted(), ['1 1', '1 2', '2 1', '2 2'])
  t.strictSame(await server.cli('keys', '*'), [], 'without deduplication nothing is left')
})

t.test('I7 closing with a frozen Redis takes less than a second when nothing is in hand', async (t) => {
  const server = await startRedis(t)
  const app = application(t)
  await app.register(redis, { target: server.url })
  await app.register(consumer, { handler: () => {} })
  await app.ready()
  await delay(50)
  server.freeze()
  const startedAt = performance.now()
  await app.close()
  t.ok(performance.now() - startedAt < 1000, `${performance.now() - startedAt} ms`)
})

t.test('without Redis there is nothing to consume, and that is no error', async (t) => {
  const app = application(t)
  await app.register(redis, {})
  await app.register(consumer, { handler: () => {} })
  await app.register(tasks, {})
  await app.ready()
  t.strictSame(app.consumers, [])
  const task = app.tasks
  t.strictSame(task.stats(), { relay: null, worker: null })
})

t.test('options are checked once, at registration', async (t) => {
  const refused = async (plugin: typeof consumer | typeof tasks, options: object, message: RegExp) => {
    const app = application(t)
    await app.register(redis, {})
    await t.rejects(async () => { await app.register(plugin as typeof consumer, options as ConsumerPluginOptions) }, { code: 'FST_BRK_OPTION_INVALID', message })
  }
  await refused(consumer, {}, /option "handler" must be a function/)
  await refused(consumer, { handler: () => {}, concurency: 2 }, /did you mean "concurrency"/)
  await refused(consumer, { handler: () => {}, backoffCapMs: 600_001 }, /option "backoffCapMs"/)
  await refused(tasks, { queue: 'x' }, /did you mean "queueName"/)
  const app = application(t)
  await t.rejects(async () => { await app.register(consumer, { handler: () => {} }) }, { code: 'FST_ERR_PLUGIN_NOT_PRESENT_IN_INSTANCE' })
})

const databases: [engine: string, durability: string, url: (t: Test) => Promise<string>][] = [
  ['SQLite', 'node', async (t) => `sqlite:${await temporaryDirectory(t)}/own.db`],
  ['PostgreSQL', 'cluster', async (t) => (await startPostgres(t)).url]
]

for (const [engine, durability, url] of databases) {
  t.test(`R8.3 tasks of an application on ${engine} survive it: what was enqueued is done by the next`, async (t) => {
    const server = await startRedis(t)
    const env = { REDIS_URL: server.url, DATABASE_URL: await url(t), QUEUE_NAME: QUEUE }
    const schema = Type.Object({ to: Type.String() })
    const start = async (work: boolean, handler: (payload: { to: string }) => void) => {
      const app = application(t)
      await app.register(config, { env })
      await app.register(redis)
      await app.register(tasks, { work, concurrency: 2, backoffBaseMs: 1, stopTimeoutMs: 100 })
      const greet = app.tasks.define('greet', handler, { schema })
      await app.ready()
      return { app, greet }
    }
    await server.kill()
    const first = await start(false, () => t.fail('does not work'))
    t.match(await first.greet.enqueue({ to: 'you' }), { durability })
    t.equal(first.app.tasks.stats().worker, null)
    await t.rejects(first.greet.enqueue({ to: 1 } as unknown as { to: string }), { code: 'FST_BRK_TASK_PAYLOAD_INVALID', statusCode: 400 })
    await first.app.close()
    await server.restart()
    const greeted: string[] = []
    const second = await start(true, ({ to }) => { greeted.push(to) })
    await until(() => second.app.tasks.stats().worker!.handled === 1)
    t.strictSame(greeted, ['you'])
    t.equal(await server.cli('exists', QUEUE, PROCESSING), 0, 'the queue of the models is another one')
  })
}
