import { Type } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import { headers } from '../../services/http/contract/headers.ts'
import { HEALTH_JSON_TYPE } from '../../services/health/report.ts'

const CheckStatus = Type.Union(['ok', 'failed', 'unknown', 'disabled'].map(status => Type.Literal(status)))

/** Statuses only: hosts, errors and figures are for authorised callers. */
export const Health = Type.Object({
  status: Type.Union(['healthy', 'degraded', 'unhealthy'].map(status => Type.Literal(status))),
  checks: Type.Unsafe<Record<string, string>>({ type: 'object', additionalProperties: CheckStatus })
}, { title: 'Health' })

export const Liveness = Type.Object({ status: Type.Literal('ok') }, { title: 'Liveness' })

export const Readiness = Type.Object({
  status: Type.Union([Type.Literal('ready'), Type.Literal('not_ready')]),
  reason: Type.Optional(Type.String({ description: 'starting, draining, unhealthy or overloaded' }))
}, { title: 'Readiness' })

/** As short and as constant as a body can be: a load balancer reads the status code. */
export const InService = Type.Object({ status: Type.Union([Type.Literal('ok'), Type.Literal('no')]) }, { title: 'InService' })

const nullable = (type: string) => Type.Unsafe<number | string | null>({ type: [type, 'null'] })

/** For authorised callers. `details` differ by check and hold no secrets and no addresses. */
export const HealthDetails = Type.Object({
  status: Health.properties.status,
  ready: Type.Boolean(),
  reason: nullable('string'),
  checks: Type.Unsafe<Record<string, unknown>>({
    type: 'object',
    additionalProperties: Type.Object({
      status: CheckStatus,
      critical: Type.Boolean(),
      kind: nullable('string'),
      age_ms: nullable('number'),
      latency_ms: nullable('number'),
      transitions: Type.Integer(),
      details: Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })
    })
  })
}, { title: 'HealthDetails' })

const verdict = Type.Union(['pass', 'warn', 'fail'].map(status => Type.Literal(status)))

/** The same for tools that read this format. */
const HealthJson = Type.Object({
  status: verdict,
  checks: Type.Unsafe<Record<string, unknown>>({
    type: 'object',
    additionalProperties: Type.Array(Type.Object({
      status: verdict, observedValue: Type.Optional(Type.Number()), observedUnit: Type.Optional(Type.String()), output: Type.Optional(Type.String())
    }))
  })
}, { title: 'HealthJson' })

/** Both statuses of a health route say the same thing in the same form. */
export function healthResponses (schema: TSchema, good: string, bad: string | null) {
  const response = (description: string) => ({ ...schema, description, headers: headers('cache-control') })
  return { 200: response(good), ...bad === null ? {} : { 503: response(bad) } }
}

/** The same for routes that also know `application/health+json`, by content negotiation. */
export function negotiatedResponses (schema: TSchema, good: string, bad: string) {
  const content = { 'application/json': { schema }, [HEALTH_JSON_TYPE]: { schema: HealthJson } }
  const response = (description: string) => ({ description, headers: headers('cache-control'), content })
  return { 200: response(good), 503: response(bad) }
}
