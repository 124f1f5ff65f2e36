import { randomUUID } from 'node:crypto'
import Fastify, { LogController } from 'fastify'
import config from '../../plugins/config.ts'
import errors, { problemServerOptions } from '../../plugins/errors.ts'
import publisher from '../../plugins/publisher.ts'
import redis from '../../plugins/redis.ts'
import store from '../../plugins/store.ts'
import modelRoutes from '../../routes/models/index.ts'
import { modelOf, poisonOf, writerOf } from './models.ts'

/** The service as `app.ts` builds it, with a lease short enough that many takeovers fit into a minute, and routes for the harness. */
const app = Fastify({
  ...problemServerOptions,
  logger: { level: 'info' },
  logController: new LogController({ disableRequestLogging: true }),
  forceCloseConnections: true
})
await app.register(config, {})
await app.register(errors)
await app.register(store)
await app.register(redis)
await app.register(publisher, { leaseMs: Number(process.env.CHAOS_LEASE_MS ?? 1000), commandTimeoutMs: 300 })
await app.register(modelRoutes)

interface BatchRequest { versions: [writer: number, version: number][], poison?: boolean }

/** Registers each as `POST /models` would, in a transaction of its own. Answers with message ids, or the code of what went wrong. */
app.post('/batch', async (request) => {
  const { versions, poison = false } = request.body as BatchRequest
  return await Promise.all(versions.map(async ([writer, version]) => {
    try {
      const model = poison ? poisonOf(writer, version) : modelOf(writer, version)
      const { event } = await app.store.registry.register(model, { correlationId: randomUUID() })
      return { id: event.message_id }
    } catch (err) {
      return { code: (err as { code?: string }).code ?? String(err) }
    }
  }))
})

app.get('/journal', async () => {
  const { pendingRows, deadRows } = await app.store.journal.stats()
  const { leader = false, published = 0, rewound = 0, lost = 0 } = app.publisher.stats() ?? {}
  return { pendingRows, deadRows, leader, published, rewound, lost }
})

/** Who is in the dead letters of the journal: `w1/2`, and so on. */
app.get('/buried', async () => {
  const letters = await app.store.journal.deadLetters({ limit: 1000 })
  return letters.map(({ body }) => {
    const { payload } = JSON.parse(body)
    return writerOf(payload.model_name) === null ? payload.model_name : `${payload.model_name}/${payload.model_version}`
  })
})

/** After a collection, so that it says what is kept and not what has not been thrown away yet. */
app.get('/memory', async () => {
  globalThis.gc?.()
  return { heapBytes: process.memoryUsage().heapUsed }
})

process.once('SIGTERM', () => { void app.close().then(() => process.exit(0)) })
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
