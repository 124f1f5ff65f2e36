import { readFileSync } from 'node:fs'
import fastifyRedis from '@fastify/redis'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync, FastifyPluginCallback } from 'fastify'
import fp from 'fastify-plugin'
import type { Cluster, Redis } from 'ioredis'
import { resolveRedisTarget } from '../services/config/redis/redis-target.ts'
import type { RedisTarget } from '../services/config/redis/redis-target.ts'
import type { CredentialProvider } from '../services/credentials/provider.ts'
import type { CircuitBreakerOptions } from '../services/resilience/circuit-breaker.ts'
import { RedisGuard } from '../services/redis/guard.ts'
import { optionsOf, targetOf } from '../services/redis/connection/lent-client.ts'
import type { Config } from '../services/config/load.ts'
import type {} from './config.ts'
import { OptionInvalid, parsePluginOptions } from './options.ts'

export { elastiCacheIam } from '../services/credentials/elasticache-iam.ts'
export type { AwsCredentials, ElastiCacheIamOptions } from '../services/credentials/elasticache-iam.ts'
export type { CredentialProvider, Credentials } from '../services/credentials/provider.ts'
export { secretsManager } from '../services/credentials/secrets-manager.ts'
export type { SecretOptions } from '../services/credentials/secrets-manager.ts'
export { Secret } from '../services/config/secret.ts'

// The value import leaves the declaration file, and its augmentation of `fastify.redis` with it: this keeps both.
export type { FastifyRedis } from '@fastify/redis'

declare module 'fastify' {
  interface FastifyInstance {
    /** State and controls of the Redis client; null where Redis is disabled, and then there is no `fastify.redis` either. */
    redisGuard: RedisGuard | null
    /** The guards of the clients with a namespace. */
    redisGuards: Record<string, RedisGuard | null>
  }
}

export const RedisPluginOptionsSchema = Type.Object({
  target: Type.Union([Type.String({ minLength: 1 }), Type.Object({})], {
    description: 'A URL in one of the forms of docs/configuration.md, or a resolved target. Default: `fastify.config.redis`.'
  }),
  client: Type.Object({}, { description: 'An ioredis client to take address and credentials from. It stays yours: it is neither used nor closed.' }),
  namespace: Type.String({ minLength: 1, description: 'Decorates `fastify.redis[namespace]` and `fastify.redisGuards[namespace]` instead.' }),
  bootBudgetMs: Type.Integer({ minimum: 0, description: 'How long the boot waits for Redis; it never fails because of it. 0: not at all. Default: REDIS_BOOT_BUDGET_MS.' }),
  commandTimeoutMs: Type.Integer({ minimum: 1, description: 'Deadline of every command. Default: REDIS_COMMAND_TIMEOUT_MS.' }),
  connectTimeoutMs: Type.Integer({ minimum: 1, description: 'Deadline of every attempt to connect. Default: REDIS_CONNECT_TIMEOUT_MS.' }),
  retries: Type.Integer({ minimum: 0, description: 'Further attempts of a command that failed, within its deadline. Default: REDIS_RETRIES.' }),
  retryAmbiguous: Type.Union([Type.Literal('read'), Type.Literal('idempotent')], {
    description: 'What is repeated although it may have been executed: what changes nothing, or also what leaves the same. Default `read`.'
  }),
  tlsCaFile: Type.String({ minLength: 1, description: 'Certificate authority (PEM file) to trust. Default: REDIS_TLS_CA_FILE.' }),
  credentials: Type.Object({}, { description: 'Where user and password come from: `secretsManager()`, `elastiCacheIam()`, or a provider of your own. Default: what the target says.' }),
  breaker: Type.Object({}, { description: 'Options of the circuit breaker; see docs/circuit-breaker.md.' }),
  redisOptions: Type.Object({}, { description: 'More options of ioredis, such as `keyPrefix`; docs/redis-client.md lists those that are forced.' })
}, { additionalProperties: false })

/** Every option has a default; without the config plugin, that of its variable. */
export type RedisPluginOptions = Partial<Omit<Static<typeof RedisPluginOptionsSchema>, 'target' | 'client' | 'credentials' | 'breaker' | 'redisOptions'>> & {
  target?: string | RedisTarget
  client?: Redis | Cluster
  credentials?: CredentialProvider
  breaker?: CircuitBreakerOptions
  redisOptions?: Redis['options']
}

type RedisConfig = Config['redis']

/**
 * Decorates `fastify.redis` through @fastify/redis with a guarded client, and `fastify.redisGuard`.
 *
 * The boot never fails because Redis is down, slow or wrong, and never waits for it longer than the budget.
 * @throws FST_BRK_OPTION_INVALID
 */
const plugin: FastifyPluginAsync<RedisPluginOptions> = async (fastify, options) => {
  const given = parsePluginOptions('redis', RedisPluginOptionsSchema, options) as RedisPluginOptions
  const { namespace, client } = given
  const config = fastify.hasDecorator('config') ? fastify.config.redis : null
  const target = readTarget(given, config)
  refuseSecond(fastify, namespace)
  const guard = target === null
    ? null
    : new RedisGuard({
      target,
      name: namespace === undefined ? 'breakwater' : `breakwater-${namespace}`,
      commandTimeoutMs: given.commandTimeoutMs ?? given.redisOptions?.commandTimeout ?? config?.commandTimeoutMs,
      connectTimeoutMs: given.connectTimeoutMs ?? given.redisOptions?.connectTimeout ?? config?.connectTimeoutMs,
      retries: given.retries ?? config?.retries,
      retryAmbiguous: given.retryAmbiguous,
      tls: { ca: readCertificateAuthority(fastify, given, config) },
      redisOptions: { ...client === undefined ? {} : optionsOf(client), ...given.redisOptions },
      credentials: given.credentials,
      breaker: given.breaker,
      logger: fastify.log.child({ component: 'redis' })
    })
  decorateGuard(fastify, guard, namespace)
  if (guard === null) return
  fastify.addHook('onClose', () => guard.close())
  const budgetMs = given.bootBudgetMs ?? config?.bootBudgetMs ?? 1000
  await fastify.register(fp(withinBudget(guard, budgetMs), { name: '@fastify/redis', fastify: '5.x' }), namespace === undefined ? {} : { namespace })
}

function readTarget ({ target, client }: RedisPluginOptions, config: RedisConfig | null): RedisTarget | null {
  if (typeof target === 'string') {
    const resolution = resolveRedisTarget({ REDIS_URL: target })
    if (resolution.target === null) throw new OptionInvalid('redis', `option "target": ${resolution.errors.map(({ message }) => message).join(' ')}`)
    return resolution.target
  }
  return target ?? (client === undefined ? config?.resolution.target ?? null : targetOf(client))
}

/**
 * An unreadable file must not weaken the check of the server's certificate: then nobody is trusted, and the guard reports a
 * configuration error.
 */
function readCertificateAuthority (fastify: FastifyInstance, given: RedisPluginOptions, config: RedisConfig | null): Buffer | [] | undefined {
  const file = given.tlsCaFile ?? config?.tlsCaFile
  if (file === undefined || file === null) return undefined
  try {
    return readFileSync(file)
  } catch (err) {
    const reason = `the certificate authority file "${file}" cannot be read: ${(err as NodeJS.ErrnoException).code}`
    if (given.tlsCaFile !== undefined || config?.required) throw new OptionInvalid('redis', reason)
    fastify.log.error({ err, component: 'redis' }, `Redis cannot be connected: ${reason}`)
    return []
  }
}

/** Before a guard is made: nobody would close it. */
function refuseSecond (fastify: FastifyInstance, namespace: string | undefined): void {
  const name = namespace ?? 'redisGuard'
  const holder = namespace === undefined ? fastify : fastify.hasDecorator('redisGuards') ? fastify.redisGuards : {}
  if (name in holder) throw new OptionInvalid('redis', `"${name}" is registered already; give each further client a namespace of its own`)
}

/** Without a name the decorator is the guard; with one, an entry beside those of the other names. */
function decorateGuard (fastify: FastifyInstance, guard: RedisGuard | null, namespace: string | undefined): void {
  if (namespace === undefined) {
    fastify.decorate('redisGuard', guard)
    return
  }
  if (!fastify.hasDecorator('redisGuards')) fastify.decorate('redisGuards', Object.create(null))
  fastify.redisGuards[namespace] = guard
}

/**
 * @fastify/redis decorates, and would then wait until Redis answers. It gets the budget, unless it is plain that waiting does not help; what
 * it says after that is ignored. A function of our own goes by its name, because `fp()` on theirs would overwrite its metadata for the whole process.
 */
function withinBudget (guard: RedisGuard, budgetMs: number): FastifyPluginCallback<{ namespace?: string }> {
  const { client } = guard
  return (fastify, { namespace }, done) => {
    const timer = setTimeout(settle, budgetMs)
    const off = guard.onHopeless(() => settle())
    function settle (error?: Error | null): void {
      clearTimeout(timer)
      off()
      done(error ?? undefined)
      done = () => {}
    }
    fastifyRedis(fastify, { client, closeClient: false, ...namespace === undefined ? {} : { namespace } }, (error) => {
      // A client that ended is Redis' trouble; a name registered twice is the programmer's.
      settle(client.status === 'end' ? null : error)
    })
  }
}

export default fp(plugin, { name: 'breakwater-redis', fastify: '5.x' })
