import cors from '@fastify/cors'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { RateExceeded } from '../services/access/errors.ts'
import { RateCounter } from '../services/access/rate-counter.ts'
import type {} from './auth.ts'
import { parsePluginOptions } from './options.ts'
import type {} from './redis.ts'

const ProtectionOptionsSchema = Type.Object({
  rateLimitMax: Type.Integer({ minimum: 0, description: 'Requests of one caller in one window. 0: no limit. Default: RATE_LIMIT_MAX.' }),
  rateLimitWindowMs: Type.Integer({ minimum: 1000, description: 'Default: RATE_LIMIT_WINDOW_MS.' }),
  corsOrigins: Type.Array(Type.String({ minLength: 1 }), { description: 'Origins whose pages may call the API. Default: CORS_ORIGINS.' })
}, { additionalProperties: false })

export type ProtectionOptions = Partial<Static<typeof ProtectionOptionsSchema>>

/** Security headers, the pages that may call, and a limit for each caller. Register it after auth and Redis, before the routes. */
const plugin: FastifyPluginAsync<ProtectionOptions> = async (fastify, options) => {
  const given = parsePluginOptions('protection', ProtectionOptionsSchema, options)
  const config = fastify.hasDecorator('config') ? fastify.config.access : null
  // Answers are data, not pages: nothing in them may be loaded or run.
  await fastify.register(helmet, { contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } } })
  const origins = given.corsOrigins ?? config?.corsOrigins ?? []
  if (origins.length > 0) await fastify.register(cors, { origin: [...origins], exposedHeaders: ['x-request-id', 'retry-after', 'location'] })
  const max = given.rateLimitMax ?? config?.rateLimitMax ?? 0
  if (max > 0) await limitRates(fastify, max, given.rateLimitWindowMs ?? config?.rateLimitWindowMs ?? 60_000)
}

async function limitRates (fastify: FastifyInstance, max: number, windowMs: number): Promise<void> {
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
