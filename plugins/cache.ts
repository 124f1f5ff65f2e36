import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { Cache } from '../services/cache/cache.ts'
import type { Codec } from '../services/cache/cache.ts'
import type { RedisGuard } from '../services/redis/guard.ts'
import { OptionInvalid, parsePluginOptions } from './options.ts'
import type {} from './redis.ts'

export type { Cache, CacheStatistics, Codec, SetOptions, WrapOptions } from '../services/cache/cache.ts'

declare module 'fastify' {
  interface FastifyInstance {
    cache: Cache
  }
}

const YEAR_MS = 365 * 86_400_000
const Milliseconds = (minimum: number, description: string) => Type.Integer({ minimum, maximum: YEAR_MS, description })
const Bytes = (minimum: number, description: string) => Type.Integer({ minimum, description })

export const CacheOptionsSchema = Type.Object({
  namespace: Type.String({ minLength: 1, description: 'The Redis client with this namespace. Default: the one without.' }),
  keyPrefix: Type.String({ minLength: 1, pattern: '^[^#/]+$', description: 'First part of all keys. Default `breakwater:cache`.' }),
  codec: Type.Object({}, { description: '`{ encode (value), decode (text) }`. Default: JSON.' }),
  ttlMs: Milliseconds(1, 'How long a value is fresh. Default 60 000.'),
  staleMs: Milliseconds(0, 'How much longer it may be returned if the origin fails. Default 0.'),
  revalidate: Type.Boolean({ description: 'Whether an expired value is returned at once within `staleMs`, while a new one is fetched. Default false.' }),
  negativeTtlMs: Milliseconds(0, 'How long `null` and `undefined` are kept. 0: not at all. Default 0.'),
  lockMs: Milliseconds(0, 'How long other processes wait for the one that calls the origin. 0: they do not. Default 1000.'),
  jitter: Type.Number({ minimum: 0, maximum: 1, description: 'Lifetimes vary by this share. Default 0.1.' }),
  maxValueBytes: Bytes(1, 'Larger values are not stored. Default 1 MiB.'),
  memoryBytes: Bytes(0, 'What the process may remember for the time that Redis does not answer. 0: nothing. Default 8 MiB.'),
  memoryTtlMs: Milliseconds(0, 'How long it passes for fresh without Redis. Default 30 000.'),
  minPatienceMs: Type.Integer({ minimum: 1, maximum: 10_000, description: 'A lookup waits for Redis at least so long. Default 5.' }),
  maxPatienceMs: Type.Integer({ minimum: 1, maximum: 10_000, description: 'A lookup waits for Redis at most so long. Default 25.' })
}, { additionalProperties: false })

export type CacheOptions = Partial<Omit<Static<typeof CacheOptionsSchema>, 'codec'>> & { codec?: Codec }

/**
 * Decorates `fastify.cache`. Register it after Redis; where that is disabled everything is a miss, and origins are still called once for
 * all who ask at the same time.
 * @throws FST_BRK_OPTION_INVALID
 */
const plugin: FastifyPluginAsync<CacheOptions> = async (fastify, options) => {
  const { namespace, ...given } = parsePluginOptions('cache', CacheOptionsSchema, options) as CacheOptions
  if (fastify.hasDecorator('cache')) throw new OptionInvalid('cache', 'it is registered already; use fastify.cache.namespace(name)')
  if (given.codec !== undefined) checkCodec(given.codec)
  const guard = findGuard(fastify, namespace)
  const cache = new Cache({
    ...given,
    client: guard?.client ?? null,
    available: () => guard?.isHealthy() ?? false,
    onAvailable: (listener) => guard?.onReady(listener) ?? (() => {}),
    logger: fastify.log.child({ component: 'cache' })
  })
  fastify.decorate('cache', cache)
  fastify.addHook('onClose', async () => { cache.close() })
}

function findGuard (fastify: FastifyInstance, namespace: string | undefined): RedisGuard | null {
  if (namespace === undefined) return fastify.hasDecorator('redisGuard') ? fastify.redisGuard : null
  const guard = fastify.hasDecorator('redisGuards') ? fastify.redisGuards[namespace] : undefined
  if (guard === undefined) throw new OptionInvalid('cache', `there is no Redis client with the namespace "${namespace}"; register it first`)
  return guard
}

/** The schema cannot see functions. */
function checkCodec ({ encode, decode }: Codec): void {
  if (typeof encode !== 'function' || typeof decode !== 'function') throw new OptionInvalid('cache', 'option "codec": it needs the functions encode and decode')
}

export default fp(plugin, { name: 'breakwater-cache', fastify: '5.x' })
