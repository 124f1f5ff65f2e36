import Fastify, { LogController } from 'fastify'
import type { FastifyBaseLogger, FastifyInstance, FastifyServerOptions } from 'fastify'
import auth from './plugins/auth.ts'
import config from './plugins/config.ts'
import errors, { problemServerOptions } from './plugins/errors.ts'
import health, { answerProbes } from './plugins/health.ts'
import metrics from './plugins/metrics.ts'
import openapi from './plugins/openapi.ts'
import pressure from './plugins/pressure.ts'
import protection from './plugins/protection.ts'
import publisher from './plugins/publisher.ts'
import redis from './plugins/redis.ts'
import store from './plugins/store.ts'
import tracing from './plugins/tracing.ts'
import healthRoutes from './routes/health/index.ts'
import metricsRoutes from './routes/metrics/index.ts'
import modelRoutes from './routes/models/index.ts'
import operationsRoutes from './routes/ops/index.ts'
import queueRoutes from './routes/queue/index.ts'
import { loadConfig } from './services/config/load.ts'
import type { Config, LoadedConfig } from './services/config/load.ts'
import { followConnections } from './services/http/unused-connections.ts'

export interface AppOptions {
  /** Where the configuration comes from. Default `process.env`. */
  env?: NodeJS.ProcessEnv
  /** What was read from there already. Default: it is read here, once. */
  loaded?: LoadedConfig
  /** Fastify's own option; default: none. */
  logger?: FastifyServerOptions['logger']
  loggerInstance?: FastifyBaseLogger
}

/**
 * The model-registration service, ready to listen. The order below is the order of dependence, and in reverse the order of closing.
 * @throws FST_BRK_CONFIG_INVALID, FST_BRK_STORE_UNAVAILABLE. Never because of Redis.
 */
export async function buildApp ({ env = process.env, loaded = loadConfig(env), ...logging }: AppOptions = {}): Promise<FastifyInstance> {
  const app = Fastify({
    ...logging,
    ...problemServerOptions,
    ...connectionOptions(loaded.config),
    // Two lines for each request would cost a third of the throughput; what fails is logged by plugins/errors.ts.
    logController: new LogController({ disableRequestLogging: true })
  })
  const dropUnusedConnections = followConnections(app.server)
  app.addHook('preClose', async () => dropUnusedConnections())
  app.addHook('onRequest', answerProbes)
  try {
    await app.register(config, { loaded })
    await app.register(errors)
    await app.register(tracing)
    await app.register(auth)
    await app.register(store)
    await app.register(redis)
    await app.register(publisher)
    await app.register(health)
    await app.register(pressure)
    await app.register(protection)
    await app.register(openapi)
    await app.register(metrics)
    await app.register(healthRoutes)
    await app.register(metricsRoutes)
    await app.register(modelRoutes)
    await app.register(queueRoutes)
    await app.register(operationsRoutes, { env })
    return app
  } catch (err) {
    // What was opened before the failure must not keep the process alive.
    await app.close().catch(() => {})
    throw err
  }
}

/** Only the server's constructor can be told these. An invalid configuration reads as its defaults here; the config plugin refuses it. */
function connectionOptions ({ process: { requestTimeoutMs, handlerTimeoutMs }, access: { trustProxy } }: Config) {
  return {
    // Longer than a load balancer's idle timeout (60 s), or it sends requests into connections that are closing.
    keepAliveTimeout: 72_000,
    requestTimeout: requestTimeoutMs,
    // Node looks at its connections every 30 s by default, and gives headers a minute whatever the request may take.
    http: { headersTimeout: requestTimeoutMs, requestTimeout: requestTimeoutMs, connectionsCheckingInterval: Math.min(1000, Math.floor(requestTimeoutMs / 4)) },
    // Nothing passes, in neither direction: a caller that does not read its answer. A handler at work is no silence.
    connectionTimeout: handlerTimeoutMs === 0 ? 0 : requestTimeoutMs + handlerTimeoutMs,
    // Fastify ignores a bare number, because it says nothing of who the next peer is; here the operator said so (docs/configuration.md).
    trustProxy: typeof trustProxy === 'number' ? (_address: string, hop: number) => hop < trustProxy : trustProxy as boolean | string[]
  }
}
