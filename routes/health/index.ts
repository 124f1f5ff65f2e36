import type { FastifyPluginAsync, FastifyReply, RouteShorthandOptions } from 'fastify'
import type { TSchema } from '@sinclair/typebox'
import type {} from '../../plugins/health.ts'
import { Health, InService, Liveness, Readiness } from './schemas.ts'

const RETRY_AFTER_SECONDS = 2

/** Probes must get through when nobody else does, and must not fill the log. */
const exempt = {
  logLevel: 'warn',
  config: { pressureHandler: () => {}, rateLimit: false, otel: false }
} as const

/** `/health`, `/health/live`, `/health/ready`, `/health/alb`. They read a snapshot and do no I/O (I5). */
const routes: FastifyPluginAsync = async (fastify) => {
  const { health } = fastify

  fastify.get('/health', options(Health), async (_request, reply) => {
    const { status, checks } = health.snapshot()
    answer(reply, status !== 'unhealthy')
    return { status, checks: Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, check.status])) }
  })

  // An answer proves the event loop turns, which is all that a restart could repair.
  fastify.get('/health/live', options(Liveness), async (_request, reply) => {
    answer(reply, true)
    return { status: 'ok' }
  })

  fastify.get('/health/ready', options(Readiness), async (_request, reply) => {
    const { ready, reason } = health.snapshot()
    answer(reply, ready)
    return ready ? { status: 'ready' } : { status: 'not_ready', reason }
  })

  fastify.get('/health/alb', options(InService), async (_request, reply) => {
    const { inService } = health.snapshot()
    answer(reply, inService)
    return { status: inService ? 'ok' : 'no' }
  })
}

function options (schema: TSchema): RouteShorthandOptions {
  return { ...exempt, schema: { response: { 200: schema, 503: schema } } }
}

function answer (reply: FastifyReply, good: boolean): void {
  void reply.code(good ? 200 : 503).header('cache-control', 'no-store')
  if (!good) void reply.header('retry-after', RETRY_AFTER_SECONDS)
}

export default routes
