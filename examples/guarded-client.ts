// Only the guarded client: every request ends, whatever Redis does.
import Fastify from 'fastify'
import { getOr } from 'fastify-breakwater'
import redis from 'fastify-breakwater/redis'

const app = Fastify()
await app.register(redis, { target: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' })

// Where an answer can do without: a default instead of an error.
app.get('/greeting', async () => ({ greeting: await getOr(app.redis, 'greeting', 'Hello') }))

// Where it cannot: during an outage this is a 503 within half a second, and within microseconds once the breaker is open.
app.post('/visits', async () => ({ visits: await app.redis.incr('visits') }))

app.get('/redis', async () => app.redisGuard!.state)

process.once('SIGTERM', () => { void app.close() })
console.log(await app.listen({ port: Number(process.env.PORT ?? 3001) }))
