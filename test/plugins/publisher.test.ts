import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import config from '../../plugins/config.ts'
import publisher from '../../plugins/publisher.ts'
import type { PublisherOptions } from '../../plugins/publisher.ts'
import redis from '../../plugins/redis.ts'
import store from '../../plugins/store.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'
import { until } from '../helpers/until.ts'

const message = {
  model_id: 'a/1/b', token_symbol: 'b', metric_name: 'auc', baseline_value: 1, current_value: 2, model_name: 'a', model_version: '1'
}

t.test('R5.1 siblings register single plugins, without the configuration of the service', async (t) => {
  const server = await startRedis(t)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(store)
  await app.register(redis, { target: server.url })
  await app.register(publisher)
  t.match(await app.publisher.publish(message), { durability: 'none' }, 'memory, unless a path is given')
  await until(async () => await server.cli('llen', 'hokusai:model_ready_queue') === 1)
})

t.test('every option of store and publisher is honoured', async (t) => {
  const server = await startRedis(t)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(store, { path: `${await temporaryDirectory(t)}/own.db`, maxRows: 1, maxBytes: 10_000 })
  await app.register(redis, { target: server.url })
  await app.register(publisher, {
    queueName: 'own',
    retentionMs: 0,
    emptyRedisPolicy: 'ignore',
    leaseMs: 200,
    commandTimeoutMs: 500,
    chain: ['journal'],
    logAcknowledges: false,
    deadlineMs: 1000,
    transport: 'list',
    streamMaxLength: 0,
    minReplicas: 0,
    replicaTimeoutMs: 100
  })
  t.match(await app.publisher.publish(message), { durability: 'node' })
  await until(async () => await server.cli('llen', 'own') === 1)
  await until(async () => (await app.store.journal.stats()).retainedRows === 0)
  server.freeze()
  await app.publisher.publish(message)
  await t.rejects(app.publisher.publish(message), { code: 'FST_BRK_JOURNAL_FULL', statusCode: 503, retryAfterMs: 5000 })
})

t.test('options are checked once, at registration, and a misspelt one is told the nearest name', async (t) => {
  const failure = (plugin: typeof store | typeof publisher, options: object) => t.rejects(async () => {
    await Fastify().register(plugin as typeof store, options)
  }, { code: 'FST_BRK_OPTION_INVALID' })
  await failure(store, { maxRow: 1 })
  await failure(store, { maxRows: 0 })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(store)
  await app.register(redis, {})
  await t.rejects(async () => { await app.register(publisher, { queueNam: 'x' } as object) }, {
    code: 'FST_BRK_OPTION_INVALID', message: /no option "queueNam", did you mean "queueName"/
  })
})

t.test('without store or Redis plugin the publisher says what is missing', async (t) => {
  const incomplete = async (prepare: (app: FastifyInstance) => unknown, options: PublisherOptions, message: RegExp) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await prepare(app)
    await t.rejects(async () => { await app.register(publisher, options) }, { code: 'FST_BRK_PUBLISHER_INCOMPLETE', message })
  }
  await incomplete(() => {}, {}, /there is no store; register the store plugin first/)
  await incomplete((app) => app.register(store), {}, /no Redis client; register the Redis plugin first/)
  await incomplete((app) => app.register(redis, {}), { chain: ['queue', 'journal'] }, /there is no store/)
  await incomplete(() => {}, { chain: ['queue'] }, /there is no Redis client/)
})

t.test('R5.7 a sibling without any database: straight into the queue, or into the log', async (t) => {
  const server = await startRedis(t)
  const lines: any[] = []
  const app = Fastify({ logger: { level: 'warn', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } } })
  t.teardown(() => app.close())
  await app.register(redis, { target: server.url, commandTimeoutMs: 200 })
  await app.register(publisher, { chain: ['queue', 'log'], logAcknowledges: true, queueName: 'own', deadlineMs: 500 })
  t.equal(app.publisher.stats(), null, 'nothing to relay')
  t.match(await app.publisher.publish(message), { durability: 'none', via: 'queue' })
  await server.kill()
  await until(() => !app.redisGuard!.isHealthy())
  const logged = await app.publisher.publish(message)
  t.match(logged, { durability: 'none', via: 'log' })
  const record = lines.find(({ event }) => event === 'message_not_queued')
  t.match(record, { component: 'publisher', messageId: logged.messageId, queue: 'own', possiblyQueued: false })
  await server.restart()
  await server.cli('lpush', record.queue, record.envelope)
  const [element] = await server.cli('lrange', 'own', 0, -1)
  t.match(JSON.parse(element), { message_id: logged.messageId, payload: { model_id: 'a/1/b' } })
})

t.test('R5.7 a logger that writes nothing acknowledges nothing', async (t) => {
  for (const logger of [false, { level: 'error', stream: { write: () => {} } }]) {
    const app = Fastify({ logger })
    t.teardown(() => app.close())
    await app.register(publisher, { chain: ['log'], logAcknowledges: true })
    await t.rejects(app.publisher.publish(message), { code: 'FST_BRK_ONLY_LOGGED' })
  }
})

t.test('R5.7 the chain comes from the configuration, and the journal is relayed whatever the chain says', async (t) => {
  const server = await startRedis(t)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(config, { env: { REDIS_URL: server.url, DATABASE_URL: 'sqlite::memory:', PUBLISHER: 'queue' } })
  await app.register(store)
  await app.register(redis)
  await app.register(publisher)
  await until(() => app.redisGuard!.isHealthy())
  t.match(await app.publisher.publish(message), { via: 'queue' })
  await app.store.registry.register(
    { model_name: 'a', version: '2', token_id: 'b', metric_name: 'auc', baseline_value: 1 }, { correlationId: 'c' })
  await until(async () => await server.cli('llen', 'hokusai:model_ready_queue') === 2)
})

t.test('the stream takes relayed and direct messages', async (t) => {
  const server = await startRedis(t)
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(store)
  await app.register(redis, { target: server.url })
  await app.register(publisher, { transport: 'stream', streamMaxLength: 100, queueName: 'own' })
  await app.publisher.publish(message)
  await until(async () => await server.cli('xlen', '{own}:stream') === 1)
  t.equal(await server.cli('exists', 'own'), 0)
})

t.test('I7 closing does not wait for a message in doubt', async (t) => {
  const server = await startRedis(t)
  const app = Fastify()
  await app.register(redis, { target: server.url, commandTimeoutMs: 100 })
  await app.register(publisher, { chain: ['queue'], deadlineMs: 60_000 })
  await until(() => app.redisGuard!.isHealthy())
  server.freeze()
  const doubtful = app.publisher.publish(message).catch((err) => err)
  await new Promise((resolve) => { setTimeout(resolve, 20) })
  const startedAt = performance.now()
  await app.close()
  t.ok(performance.now() - startedAt < 1000)
  t.match(await doubtful, { code: 'FST_BRK_POSSIBLY_PUBLISHED', messageId: String })
})
