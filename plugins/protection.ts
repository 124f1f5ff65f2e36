import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { errorCodes } from 'fastify'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { RateExceeded } from '../services/access/errors.ts'
import { RateCounter } from '../services/access/rate-counter.ts'
import { EXPOSED_HEADERS } from '../services/http/contract/headers.ts'
import { loadPeer } from '../services/peers/load-peer.ts'
import type {} from './auth.ts'
import { parsePluginOptions } from './options.ts'
import type {} from './redis.ts'
import { addSecurityHeaders } from './security-headers.ts'

export const ProtectionOptionsSchema = Type.Object({
  rateLimitMax: Type.Integer({ minimum: 0, description: 'Requests of one caller in one window. 0: no limit. Default: RATE_LIMIT_MAX.' }),
  rateLimitWindowMs: Type.Integer({ minimum: 1000, description: 'Default: RATE_LIMIT_WINDOW_MS.' }),
  handlerTimeoutMs: Type.Integer({ minimum: 0, description: 'How long a route may take to answer, after which it is 503. 0: for ever. Default: HANDLER_TIMEOUT_MS.' }),
  corsOrigins: Type.Array(Type.String({ minLength: 1 }), { description: 'Origins whose pages may call the API. Default: CORS_ORIGINS.' })
}, { additionalProperties: false })

export type ProtectionOptions = Partial<Static<typeof ProtectionOptionsSchema>>

const FEATURE = 'Plugin "protection"'

/**
 * Security headers, the pages that may call, a limit for each caller, and one for the time of each answer. Register it after auth and Redis, before the routes.
 * @throws FST_BRK_PEER_MISSING, FST_BRK_OPTION_INVALID. It needs @fastify/helmet; with origins @fastify/cors, with a limit @fastify/rate-limit
 */
const plugin: FastifyPluginAsync<ProtectionOptions> = async (fastify, options) => {
  const given = parsePluginOptions('protection', ProtectionOptionsSchema, options)
  const config = fastify.hasDecorator('config') ? fastify.config.access : null
  limitHandlers(fastify, given.handlerTimeoutMs ?? (fastify.hasDecorator('config') ? fastify.config.process.handlerTimeoutMs : 0))
  await addSecurityHeaders(fastify, FEATURE)
  const origins = given.corsOrigins ?? config?.corsOrigins ?? []
  if (origins.length > 0) await allowOrigins(fastify, origins)
  const max = given.rateLimitMax ?? config?.rateLimitMax ?? 0
  if (max > 0) await limitRates(fastify, max, given.rateLimitWindowMs ?? config?.rateLimitWindowMs ?? 60_000)
}

async function allowOrigins (fastify: FastifyInstance, origins: readonly string[]): Promise<void> {
  const { default: cors } = await loadPeer('@fastify/cors', FEATURE, () => import('@fastify/cors'))
  await fastify.register(cors, { origin: [...origins], exposedHeaders: EXPOSED_HEADERS })
}

/**
 * Fastify's own `handlerTimeout` ends with the request's `close` event, which comes as soon as its body is read: behind a body it never strikes (5.12.8).
 * What was begun goes on, and its result is thrown away.
 * @see https://github.com/fastify/fastify/pull/6725
 */
function limitHandlers (fastify: FastifyInstance, timeoutMs: number): void {
  if (timeoutMs === 0) return
  fastify.addHook('onRequest', (request, reply, done) => {
    const timer = setTimeout(() => {
      if (reply.sent || reply.raw.headersSent) return
      void reply.send(new errorCodes.FST_ERR_HANDLER_TIMEOUT(timeoutMs, request.routeOptions.url))
    }, timeoutMs).unref()
    reply.raw.once('close', () => { clearTimeout(timer) })
    done()
  })
}

async function limitRates (fastify: FastifyInstance, max: number, windowMs: number): Promise<void> {
  const { default: rateLimit } = await loadPeer('@fastify/rate-limit', FEATURE, () => import('@fastify/rate-limit'))
  const guard = fastify.hasDecorator('redisGuard') ? fastify.redisGuard : null
  const counter = new RateCounter({ windowMs, client: guard?.client ?? null, available: () => guard?.isHealthy() ?? false })
  fastify.addHook('onClose', async () => { counter.stop() })
  await fastify.register(rateLimit, {
    max,
    timeWindow: windowMs,
    // A key belongs to one caller; without keys an address has to do.
    keyGenerator: ({ caller, ip }: FastifyRequest) => caller === null ? `ip:${ip}` : `key:${caller.name}`,
    store: storeOn(counter),
    errorResponseBuilder: () => new RateExceeded(max, windowMs / 1000)
  })
}

/** The plugin makes its stores itself, from a class; all of them count together. */
function storeOn (counter: RateCounter) {
  return class SharedStore {
    incr (caller: string, callback: (error: Error | null, result?: { current: number, ttl: number }) => void): void {
      callback(null, counter.add(caller))
    }

    child (): SharedStore { return this }
  }
}

export default fp(plugin, { name: 'breakwater-protection', fastify: '5.x' })
