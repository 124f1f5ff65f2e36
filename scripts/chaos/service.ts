import Fastify, { LogController } from 'fastify'
import config from '../../plugins/config.ts'
import errors, { problemServerOptions } from '../../plugins/errors.ts'
import publisher from '../../plugins/publisher.ts'
import redis from '../../plugins/redis.ts'
import store from '../../plugins/store.ts'
import modelRoutes from '../../routes/models/index.ts'

/** The service as `app.ts` builds it, but with a lease short enough that many takeovers fit into a minute. */
const app = Fastify({ ...problemServerOptions, logController: new LogController({ disableRequestLogging: true }) })
await app.register(config, {})
await app.register(errors)
await app.register(store)
await app.register(redis)
await app.register(publisher, { leaseMs: 300, commandTimeoutMs: 300 })
await app.register(modelRoutes)
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
