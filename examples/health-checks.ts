// Health routes on a snapshot, with checks of the service's own beside that of Redis. They do no I/O, however often they are asked.
import Fastify from 'fastify'
import health from 'fastify-breakwater/health'
import redis from 'fastify-breakwater/redis'

const app = Fastify()
await app.register(redis, { target: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' })
await app.register(health)

// Runs in the background. It is not critical: without the mailer the service is degraded, and stays in the load balancer.
app.health.register({
  name: 'mailer',
  critical: false,
  intervalMs: 500,
  timeoutMs: 250,
  check: async (signal) => { await fetch(process.env.MAILER_URL ?? 'http://127.0.0.1:9/ping', { signal }) }
})

// Looked at with every snapshot, so it must be synchronous. It is critical: without a licence nothing is answered.
let licensed = true
app.health.register({ name: 'licence', critical: true, read: () => ({ status: licensed ? 'ok' : 'failed', kind: 'expired' }) })
app.delete('/licence', async () => { licensed = false })

app.get('/health', async (request, reply) => {
  const { status, checks } = app.health.snapshot()
  void reply.code(status === 'unhealthy' ? 503 : 200).header('cache-control', 'no-store')
  return { status, checks: Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, check.status])) }
})

process.once('SIGTERM', () => { void app.close() })
console.log(await app.listen({ port: Number(process.env.PORT ?? 3001) }))
