import type { FastifyPluginAsync, FastifyRequest, FastifySchema } from 'fastify'
import type {} from '../../plugins/auth.ts'
import type { Probe } from '../../plugins/health.ts'
import { HEALTH_JSON_TYPE, healthJson, healthReport } from '../../services/health/report.ts'
import { RETRY_AFTER_SECONDS, preparedAnswer } from './prepared-answer.ts'
import { Health, HealthDetails, InService, Liveness, Readiness, healthResponses, negotiatedResponses } from './schemas.ts'

/** Probes must get through when nobody else does, and must not fill the log. */
const exempt = {
  logLevel: 'warn',
  config: { pressureHandler: () => {}, rateLimit: false, otel: false, scope: 'public' }
} as const

const ALIVE = { status: 'ok' } as const

/** `/health` and `/health/details`, `/health/live`, `/health/ready`, `/health/alb`. They read what is known and do no I/O (I5). */
const routes: FastifyPluginAsync = async (fastify) => {
  const { health } = fastify
  // One for all: a logger for each request would cost more than the answer.
  const quiet = fastify.log.child({}, { level: exempt.logLevel })
  const verdict = () => health.verdict()
  const probe = (url: string, schema: FastifySchema, answer: Probe) => {
    fastify.get(url, { ...exempt, config: { ...exempt.config, probe: answer }, childLoggerFactory: () => quiet, schema }, (request, reply) => { answer(request, reply) })
  }

  const plain = preparedAnswer(verdict, ({ status, checks }) => ({ good: status !== 'unhealthy', body: { status, checks } }))
  const standard = preparedAnswer(verdict, ({ status }) => (
    { good: status !== 'unhealthy', body: healthJson(health.snapshot(), false), type: HEALTH_JSON_TYPE }
  ))
  probe('/health', schemaOf('getHealth', 'Overall state and that of each dependency', negotiatedResponses(Health, 'Healthy or degraded.', 'Unhealthy.')),
    (request, reply) => { (wantsHealthJson(request) ? standard : plain)(request, reply) })

  // An answer proves the event loop turns, which is all that a restart could repair.
  probe('/health/live', schemaOf('getLiveness', 'The process is alive', healthResponses(Liveness, 'The event loop turns.', null)),
    preparedAnswer(() => ALIVE, (body) => ({ good: true, body })))

  probe('/health/ready', schemaOf('getReadiness', 'New work is welcome', healthResponses(Readiness, 'Ready.', 'Starting, draining, unhealthy or overloaded.')),
    preparedAnswer(verdict, ({ ready, reason }) => ({ good: ready, body: ready ? { status: 'ready' } : { status: 'not_ready', reason } })))

  probe('/health/alb', schemaOf('getInService', 'A load balancer should keep this target', healthResponses(InService, 'In service.', 'Starting, draining or unhealthy.')),
    preparedAnswer(verdict, ({ inService }) => ({ good: inService, body: { status: inService ? 'ok' : 'no' } })))

  // Like the summary, but with everything that is known; not for everybody.
  fastify.get('/health/details', {
    ...exempt,
    config: { ...exempt.config, scope: 'read' },
    schema: schemaOf('getHealthDetails', 'Everything that is known of each dependency', negotiatedResponses(HealthDetails, 'Healthy or degraded.', 'Unhealthy.'))
  }, async (request, reply) => {
    const snapshot = health.snapshot()
    const good = snapshot.status !== 'unhealthy'
    void reply.code(good ? 200 : 503).header('cache-control', 'no-store')
    if (!good) void reply.header('retry-after', RETRY_AFTER_SECONDS)
    if (wantsHealthJson(request)) return reply.type(HEALTH_JSON_TYPE).serializer(JSON.stringify).send(healthJson(snapshot, true))
    return healthReport(snapshot)
  })
}

function wantsHealthJson ({ headers }: FastifyRequest): boolean {
  return headers.accept?.includes(HEALTH_JSON_TYPE) === true
}

function schemaOf (operationId: string, summary: string, response: object): FastifySchema {
  return { operationId, tags: ['health'], summary, response }
}

export default routes
