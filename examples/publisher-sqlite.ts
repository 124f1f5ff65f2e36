// The client and a publisher with a journal of its own in an SQLite file: what is accepted reaches the queue, once, whatever Redis does meanwhile.
import Fastify from 'fastify'
import publisher from 'fastify-breakwater/publisher'
import redis from 'fastify-breakwater/redis'
import store from 'fastify-breakwater/store'

const app = Fastify({ logger: { level: 'warn' } })
await app.register(store, { path: process.env.JOURNAL ?? 'journal.db', maxRows: 100_000 })
await app.register(redis, { target: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' })
await app.register(publisher, { queueName: 'example:models' })

app.post('/models/:name/versions/:version', async (request, reply) => {
  const { name, version } = request.params as { name: string, version: string }
  const published = await app.publisher.publish({
    model_id: `${name}/${version}/hok-${name}`,
    model_name: name,
    model_version: version,
    token_symbol: `hok-${name}`,
    metric_name: 'auc',
    baseline_value: 0.8,
    current_value: 0.86
  }, { correlationId: request.id })
  return await reply.code(202).send(published)
})

process.once('SIGTERM', () => { void app.close() })
console.log(await app.listen({ port: Number(process.env.PORT ?? 3001) }))
