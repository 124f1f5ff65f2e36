import type { FastifyPluginAsync, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'
import type { TSchema } from '@sinclair/typebox'
import type {} from '../../plugins/auth.ts'
import type {} from '../../plugins/health.ts'
import { HEALTH_JSON_TYPE, healthJson, healthReport } from '../../services/health/report.ts'
import { Health, HealthDetails, InService, Liveness, Readiness } from './schemas.ts'

const RETRY_AFTER_SECONDS = 2

/** Probes must get through when nobody else does, and must not fill the log. */
const exempt = {
  logLevel: 'warn',
  config: { pressureHandler: () => {}, rateLimit: false, otel: false, scope: 'public' }
} as const

/** `/health` and `/health/details`, `/health/live`, `/health/ready`, `/health/alb`. They read a snapshot and do no I/O (I5). */
const routes: FastifyPluginAsync = async (fastify) => {
  const { health } = fastify

  fastify.get('/health', options('Overall state and that of each dependency', Health), async (request, reply) => {
    const { status, checks } = health.snapshot()
    answer(reply, status !== 'unhealthy')
    if (wantsHealthJson(request)) return reply.type(HEALTH_JSON_TYPE).serializer(JSON.stringify).send(healthJson(health.snapshot(), false))
    return { status, checks: Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, check.status])) }
  })

  // Like the summary, but with everything that is known; not for everybody.
  fastify.get('/health/details', { ...options('Everything that is known of each dependency', HealthDetails), config: { ...exempt.config, scope: 'read' } }, async (request, reply) => {
    const snapshot = health.snapshot()
    answer(reply, snapshot.status !== 'unhealthy')
    if (wantsHealthJson(request)) return reply.type(HEALTH_JSON_TYPE).serializer(JSON.stringify).send(healthJson(snapshot, true))
    return healthReport(snapshot)
  })

  // An answer proves the event loop turns, which is all that a restart could repair.
  fastify.get('/health/live', options('The process is alive', Liveness), async (_request, reply) => {
    answer(reply, true)
    return { status: 'ok' }
  })

  fastify.get('/health/ready', options('New work is welcome', Readiness), async (_request, reply) => {
    const { ready, reason } = health.snapshot()
    answer(reply, ready)
    return ready ? { status: 'ready' } : { status: 'not_ready', reason }
  })

  fastify.get('/health/alb', options('A load balancer should keep this target', InService), async (_request, reply) => {
    const { inService } = health.snapshot()
    answer(reply, inService)
    return { status: inService ? 'ok' : 'no' }
  })
}

function wantsHealthJson ({ headers }: FastifyRequest): boolean {
  return headers.accept?.includes(HEALTH_JSON_TYPE) === true
}

function options (summary: string, schema: TSchema): RouteShorthandOptions {
  return { ...exempt, schema: { tags: ['health'], summary, response: { 200: schema, 503: schema } } }
}

function answer (reply: FastifyReply, good: boolean): void {
  void reply.code(good ? 200 : 503).header('cache-control', 'no-store')
  if (!good) void reply.header('retry-after', RETRY_AFTER_SECONDS)
}

export default routes
