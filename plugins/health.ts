import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { absentRedisCheck, backlogCheck, databaseCheck, journalCheck, queueCheck, redisCheck, relayCheck } from '../services/health/builtin-checks.ts'
import type { DatabaseProbe, JournalReader, RedisFacts, RedisProbe, RelayReader } from '../services/health/builtin-checks.ts'
import type { HealthCheck } from '../services/health/check.ts'
import { HealthRegistry } from '../services/health/health-registry.ts'
import { readDepths } from '../services/queue/depths.ts'
import type { DepthClient } from '../services/queue/depths.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** How the service's dependencies are; reading it never waits for one. */
    health: HealthRegistry
  }
  interface FastifyContextConfig {
    /** The route's handler, given to {@link answerProbes} as well. */
    probe?: Probe
  }
}

/** Answers from memory, whole and at once: with all its headers, past Fastify's hooks and serialisation. */
export type Probe = (request: FastifyRequest, reply: FastifyReply) => void

/**
 * An onRequest hook that belongs before all others: those cost several times what a probe's answer costs, which needs none of them. So probes are in no
 * metrics and have no handler timeout. What a page of another origin asks goes the long way, on which CORS is decided.
 */
export function answerProbes (request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  const { probe } = request.routeOptions.config
  if (probe === undefined || request.headers.origin !== undefined) done()
  else probe(request, reply)
}

/** What other plugins may have decorated. Looked up, not required: this plugin also serves siblings that use it alone. */
interface Neighbours {
  store?: DatabaseProbe & JournalReader
  redisGuard?: RedisProbe & { client: DepthClient } | null
  publisher?: RelayReader
  config?: {
    redis: { resolution: { state: 'configured' | 'disabled' | 'invalid', target: RedisFacts | null } }
    publisher: { queueName: string, transport: 'list' | 'stream' }
  }
}

/**
 * Decorates `fastify.health`. Register it after the store and Redis plugins: it brings a check for each that is there,
 * and siblings add theirs with `fastify.health.register()`.
 */
const plugin: FastifyPluginAsync = async (fastify) => {
  const health = new HealthRegistry({ logger: fastify.log.child({ component: 'health' }) })
  fastify.decorate('health', health)
  for (const check of builtinChecks(fastify)) health.register(check)
  health.start()
  fastify.addHook('onClose', async () => { health.stop() })
}

function builtinChecks (fastify: FastifyInstance): HealthCheck[] {
  const { store, redisGuard, publisher, config } = fastify as Neighbours
  const checks: HealthCheck[] = []
  if (store !== undefined) checks.push(databaseCheck(store), journalCheck(store), backlogCheck(store))
  if (redisGuard) checks.push(redisCheck(redisGuard, redisFacts(config?.redis.resolution.target ?? null)))
  else if (redisGuard === null) checks.push(absentRedisCheck(config?.redis.resolution.state === 'invalid' ? 'invalid' : 'disabled'))
  if (publisher !== undefined) checks.push(relayCheck(publisher))
  if (publisher !== undefined && redisGuard && config !== undefined) {
    const { queueName, transport } = config.publisher
    checks.push(queueCheck(() => readDepths(redisGuard.client, queueName, transport)))
  }
  return checks
}

function redisFacts (target: RedisFacts | null): RedisFacts | null {
  return target === null ? null : { tls: target.tls, auth: target.auth, topology: target.topology }
}

export default fp(plugin, { name: 'breakwater-health', fastify: '5.x' })
