import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { HealthRegistry } from '../services/health/health-registry.ts'
import { EmbeddedMetricFormat } from '../services/observability/metrics/embedded-metric-format.ts'
import type { MetricsRegistry, PrometheusMetrics } from '../services/observability/metrics/prometheus.ts'
import type { JournalFigures, MetricSources, QueueFigures, RedisSource, RelayFigures } from '../services/observability/metrics/sources.ts'
import { loadPeer } from '../services/peers/load-peer.ts'
import type { RedisGuard } from '../services/redis/guard.ts'
import { parsePluginOptions } from './options.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** What `/metrics` shows; null where metrics go elsewhere or nowhere. */
    metrics: PrometheusMetrics | null
  }
}

export const MetricsOptionsSchema = Type.Object({
  mode: Type.Union([Type.Literal('prometheus'), Type.Literal('emf'), Type.Literal('none')], {
    description: 'For a scraper, as CloudWatch log lines, or not at all. Default: METRICS.'
  }),
  registry: Type.Object({}, { description: 'A registry of @prometheus-io/client that the application scrapes already. Default: a new one.' }),
  intervalMs: Type.Integer({ minimum: 1000, description: 'Between two sets of CloudWatch log lines. Default 60 000.' })
}, { additionalProperties: false })

export type MetricsOptions = Partial<Omit<Static<typeof MetricsOptionsSchema>, 'registry'>> & { registry?: MetricsRegistry }

/** What other plugins may have decorated. Looked up, not required. */
interface Neighbours {
  redisGuard?: RedisGuard | null
  redisGuards?: Record<string, RedisGuard | null>
  store?: { stats (): JournalFigures }
  publisher?: { stats (): RelayFigures | null }
  health?: HealthRegistry
}

/**
 * Decorates `fastify.metrics`. Register it after the plugins that it tells of, and before the routes whose requests it times.
 * @throws FST_BRK_PEER_MISSING, FST_BRK_OPTION_INVALID. For scrapers it needs @prometheus-io/client
 */
const plugin: FastifyPluginAsync<MetricsOptions> = async (fastify, options) => {
  const given = parsePluginOptions('metrics', MetricsOptionsSchema, options) as MetricsOptions
  const mode = given.mode ?? (fastify.hasDecorator('config') ? fastify.config.metrics.mode : 'prometheus')
  if (mode === 'none') {
    fastify.decorate('metrics', null)
    return
  }
  const sources = findSources(fastify)
  if (mode === 'emf') {
    fastify.decorate('metrics', null)
    return writeLines(fastify, sources, given.intervalMs ?? 60_000)
  }
  const load = () => import('../services/observability/metrics/prometheus.ts')
  const { PrometheusMetrics } = await loadPeer('@prometheus-io/client', 'Plugin "metrics"', load)
  const metrics = new PrometheusMetrics(sources, given.registry)
  fastify.decorate('metrics', metrics)
  fastify.addHook('onResponse', (request, reply, done) => {
    const { config, url } = request.routeOptions
    done()
    // Who asks how the service is would drown those who use it, and cost more than the answer.
    if (config.probe !== undefined) return
    // A stream lasts as long as its reader stays, which says nothing about the service.
    if (String(reply.getHeader('content-type')).startsWith('text/event-stream')) return
    metrics.observeRequest({
      method: request.method,
      route: url ?? 'none',
      statusCode: reply.statusCode,
      seconds: reply.elapsedTime / 1000
    })
  })
}

function writeLines (fastify: FastifyInstance, sources: MetricSources, intervalMs: number): void {
  const format = new EmbeddedMetricFormat(sources, { service: 'breakwater' })
  const timer = setInterval(() => {
    for (const line of format.lines()) fastify.log.info(line, 'metrics')
  }, intervalMs).unref()
  fastify.addHook('onClose', async () => { clearInterval(timer) })
}

function findSources (fastify: FastifyInstance): MetricSources {
  const { redisGuard, redisGuards = {}, store, publisher, health } = fastify as Neighbours
  const guards = Object.entries({ ...redisGuard === undefined ? {} : { default: redisGuard }, ...redisGuards })
  return {
    redis: Object.fromEntries(guards.flatMap(([name, guard]) => guard === null ? [] : [[name, redisSource(guard)]])),
    journal: store === undefined ? null : () => store.stats(),
    relay: publisher === undefined ? null : () => publisher.stats(),
    // Looked at in the background by a health check, never because somebody scrapes.
    queue: health === undefined ? null : () => queueFigures(health),
    health: health === undefined ? null : () => health.snapshot()
  }
}

function queueFigures (health: HealthRegistry): QueueFigures | null {
  const { queue } = health.snapshot().checks
  return queue?.status === 'ok' ? queue.details as unknown as QueueFigures : null
}

function redisSource (guard: RedisGuard): RedisSource {
  const transitions: Record<string, number> = {}
  guard.breaker.onTransition(({ to }) => { transitions[to] = (transitions[to] ?? 0) + 1 })
  return { state: () => guard.state, figures: () => guard.stats(), transitions: () => transitions }
}

export default fp(plugin, { name: 'breakwater-metrics', fastify: '5.x' })
