import { Type } from '@sinclair/typebox'

const CheckStatus = Type.Union(['ok', 'failed', 'unknown', 'disabled'].map(status => Type.Literal(status)))

/** Statuses only: hosts, errors and figures are for authorised callers. */
export const Health = Type.Object({
  status: Type.Union(['healthy', 'degraded', 'unhealthy'].map(status => Type.Literal(status))),
  checks: Type.Unsafe<Record<string, string>>({ type: 'object', additionalProperties: CheckStatus })
})

export const Liveness = Type.Object({ status: Type.Literal('ok') })

export const Readiness = Type.Object({
  status: Type.Union([Type.Literal('ready'), Type.Literal('not_ready')]),
  reason: Type.Optional(Type.String())
})

/** As short and as constant as a body can be: a load balancer reads the status code. */
export const InService = Type.Object({ status: Type.Union([Type.Literal('ok'), Type.Literal('no')]) })
