import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { openTracing, useTracerProvider } from '../services/observability/tracing/open-tracing.ts'
import type { ExportOptions, TracerSource, TracingSession } from '../services/observability/tracing/open-tracing.ts'
import type { Tracing } from '../services/observability/tracing/tracing.ts'
import { loadPeer } from '../services/peers/load-peer.ts'
import type {} from './config.ts'
import { parsePluginOptions } from './options.ts'

export type { Attributes, SpanStart, Tracing, TracingSpan } from '../services/observability/tracing/tracing.ts'
export { QueueTracing } from '../services/observability/tracing/queue-tracing.ts'
export { openTracing } from '../services/observability/tracing/open-tracing.ts'
export type { ExportOptions, TracerSource, TracingSession } from '../services/observability/tracing/open-tracing.ts'
export { tracedHandler } from '../services/consumer/traced-handler.ts'

export interface FastifyTracing extends Tracing {
  /** W3C trace context of the request's span, for what the request causes. Undefined for routes that are left out. */
  traceparentOf (request: FastifyRequest): string | undefined
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Null where tracing is off. */
    tracing: FastifyTracing | null
  }
}

export const TracingOptionsSchema = Type.Object({
  mode: Type.Union([Type.Literal('none'), Type.Literal('otlp')], { description: 'Default: TRACING.' }),
  url: Type.String({ pattern: '^https?://', description: 'Where the collector takes traces, complete. Default: OTEL_EXPORTER_OTLP_ENDPOINT with `/v1/traces`.' }),
  headers: Type.Record(Type.String(), Type.String(), { description: 'For the collector. Default: OTEL_EXPORTER_OTLP_HEADERS.' }),
  serviceName: Type.String({ minLength: 1, description: 'Default: OTEL_SERVICE_NAME.' }),
  ratio: Type.Number({ minimum: 0, maximum: 1, description: 'Share of new traces that is recorded. Default: OTEL_TRACES_SAMPLER_ARG.' }),
  tracerProvider: Type.Object({}, { description: 'An OpenTelemetry provider that the application has already; then nothing is exported here, and no other option but `ignore` counts.' }),
  ignore: Type.Array(Type.String({ pattern: '^/' }), { description: 'Paths without spans, with everything below them. Default: `/health`, `/metrics`, `/ops`, `/docs`.' })
}, { additionalProperties: false })

export type TracingOptions = Partial<Omit<Static<typeof TracingOptionsSchema>, 'tracerProvider'>> & { tracerProvider?: TracerSource }

/**
 * Decorates `fastify.tracing`. Register it before the routes, and before the plugins of ours that it shall trace.
 * @throws FST_BRK_PEER_MISSING, FST_BRK_OPTION_INVALID
 */
const plugin: FastifyPluginAsync<TracingOptions> = async (fastify, options) => {
  const given = parsePluginOptions('tracing', TracingOptionsSchema, options) as TracingOptions
  const session = await open(fastify, given)
  if (session === null) {
    fastify.decorate('tracing', null)
    return
  }
  fastify.addHook('onClose', () => session.close())
  await traceRequests(fastify, session, given.ignore ?? ['/health', '/metrics', '/ops', '/docs'])
  fastify.decorate('tracing', {
    start: (span) => session.tracing.start(span),
    traceparentOf: (request) => session.traceparentOf((request as Instrumented).opentelemetry().span)
  })
}

/** What @fastify/otel decorates. */
interface Instrumented { opentelemetry (): { span: object | null } }

async function open (fastify: FastifyInstance, given: TracingOptions): Promise<TracingSession | null> {
  const { tracerProvider, mode, headers, ...options } = given
  if (mode !== 'none' && tracerProvider !== undefined) return await useTracerProvider(tracerProvider)
  const config = fastify.hasDecorator('config') ? fastify.config.tracing : null
  if ((mode ?? (config === null ? 'none' : 'otlp')) === 'none') return null
  return await openTracing({
    url: options.url ?? config?.url ?? 'http://localhost:4318/v1/traces',
    headers: headers === undefined ? config?.headers : Object.entries(headers).map(([name, value]) => ({ name, value: { reveal: () => value } })),
    serviceName: options.serviceName ?? config?.serviceName ?? 'breakwater',
    resourceAttributes: config?.resourceAttributes,
    ratio: options.ratio ?? config?.ratio,
    logger: fastify.log.child({ component: 'tracing' })
  } satisfies ExportOptions)
}

/** One span for each request. Spans for each hook and handler would be many times as many, and tell little. */
async function traceRequests (fastify: FastifyInstance, session: TracingSession, ignore: string[]): Promise<void> {
  const { FastifyOtelInstrumentation } = await loadPeer('@fastify/otel', 'Plugin "tracing"', () => import('@fastify/otel'))
  const instrumentation = new FastifyOtelInstrumentation({
    ignorePaths: ({ url }) => ignore.some(path => url.startsWith(path) && ['', '/', '?'].includes(url.charAt(path.length))),
    instrumentHooks: false,
    instrumentHandler: false,
    recordExceptions: false,
    requestHook (span, { method, url, protocol, routeOptions, correlationId }) {
      // The name that is given to it is `request`, and its path has the query in it, which may be anything.
      span.updateName(routeOptions.url === undefined ? method : `${method} ${routeOptions.url}`)
      span.setAttributes({ 'url.path': url.replace(/\?.*$/s, ''), 'url.scheme': protocol, 'breakwater.correlation_id': correlationId })
    }
  })
  instrumentation.setTracerProvider(session.provider)
  fastify.addHook('onRequest', ({ headers: { traceparent, tracestate } }, _reply, done) => {
    session.continueTrace({ traceparent: text(traceparent), tracestate: text(tracestate) }, done)
  })
  await fastify.register(instrumentation.plugin())
}

function text (header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined
}

export default fp(plugin, { name: 'breakwater-tracing', fastify: '5.x' })
