import type { CheckStatus } from './check.ts'

export type HealthStatus = 'healthy' | 'degraded' | 'unhealthy'

/** One check as last seen. For operators: only `status` is fit for the public. */
export interface CheckSnapshot {
  status: CheckStatus
  critical: boolean
  shedsLoad: boolean
  /** Age of the result; null where there is none yet. */
  ageMs: number | null
  latencyMs: number | null
  kind: string | null
  details: Record<string, unknown> | null
  /** Changes of status since the first result. */
  transitions: number
  notReadyReason: string | null
}

export interface HealthSnapshot {
  status: HealthStatus
  /** Send new work here: for Kubernetes and for deployments. */
  ready: boolean
  /** Keep this target: like `ready`, but overload does not count, because replacing a busy task makes the others busier. */
  inService: boolean
  /** Refuse business requests altogether: a dependency without which none can be answered fails. */
  shedding: boolean
  /** Why it is not ready: `draining`, `unhealthy`, `starting`, or a check's own reason. */
  reason: string | null
  checks: Record<string, CheckSnapshot>
}

/** What the public may know. The same object as long as it is true, so that what is made of it can be kept. */
export interface HealthVerdict extends Pick<HealthSnapshot, 'status' | 'ready' | 'inService' | 'reason'> {
  checks: Readonly<Record<string, CheckStatus>>
}

/** Judges the service by its checks. */
export function summarise (checks: Record<string, CheckSnapshot>, draining: boolean): HealthSnapshot {
  const all = Object.values(checks)
  const unhealthy = all.some(({ critical, status }) => critical && status === 'failed')
  const degraded = all.some(({ status }) => status === 'failed' || status === 'unknown')
  const starting = all.some(({ critical, status, ageMs }) => critical && status === 'unknown' && ageMs === null)
  const hard = draining ? 'draining' : unhealthy ? 'unhealthy' : starting ? 'starting' : null
  const own = all.find(({ status, notReadyReason }) => status === 'failed' && notReadyReason !== null)
  const reason = hard ?? own?.notReadyReason ?? null
  return {
    status: unhealthy ? 'unhealthy' : degraded ? 'degraded' : 'healthy',
    ready: reason === null,
    inService: hard === null,
    shedding: all.some(({ critical, shedsLoad, status }) => critical && shedsLoad && status === 'failed'),
    reason,
    checks
  }
}
