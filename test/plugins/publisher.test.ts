import Fastify from 'fastify'
import t from 'tap'
import publisher from '../../plugins/publisher.ts'
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
  await app.register(publisher, { queueName: 'own', retentionMs: 0, emptyRedisPolicy: 'ignore', leaseMs: 200, commandTimeoutMs: 500 })
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
  await t.rejects(async () => { await Fastify().register(publisher) }, { code: 'FST_ERR_PLUGIN_NOT_PRESENT_IN_INSTANCE' })
})
