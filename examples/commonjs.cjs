// CommonJS: Node 24 can require() an ES module. A plugin is its `default`.
const Fastify = require('fastify')
const { default: cache } = require('fastify-breakwater/cache')
const { default: redis } = require('fastify-breakwater/redis')

async function start () {
  const app = Fastify()
  await app.register(redis, { target: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' })
  await app.register(cache, { ttlMs: 60_000, staleMs: 600_000 })

  let calls = 0
  const slow = async () => ({ price: 42, calls: ++calls })
  // During an outage the cache is a miss, never an error and never a wait.
  app.get('/price', async () => await app.cache.wrap('price', {}, slow))

  process.once('SIGTERM', () => { void app.close() })
  console.log(await app.listen({ port: Number(process.env.PORT ?? 3001) }))
}

void start()
