import { Type } from '@sinclair/typebox'

const CheckStatus = Type.Union(['ok', 'failed', 'unknown', 'disabled'].map(status => Type.Literal(status)))

/** Statuses only: hosts, errors and figures are for authorised callers. */
export const Health = Type.Object({
  status: Type.Union(['healthy', 'degraded', 'unhealthy'].map(status => Type.Literal(status))),
  checks: Type.Unsafe<Record<string, string>>({ type: 'object', additionalProperties: CheckStatus })
}, { description: '503 where the status is unhealthy.' })

export const Liveness = Type.Object({ status: Type.Literal('ok') }, { description: 'The event loop turns.' })

export const Readiness = Type.Object({
  status: Type.Union([Type.Literal('ready'), Type.Literal('not_ready')]),
  reason: Type.Optional(Type.String())
}, { description: '503 while starting, draining, unhealthy or overloaded.' })

/** As short and as constant as a body can be: a load balancer reads the status code. */
export const InService = Type.Object({ status: Type.Union([Type.Literal('ok'), Type.Literal('no')]) }, { description: '503 while starting, draining or unhealthy.' })

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
}, { description: '503 where the status is unhealthy.' })
