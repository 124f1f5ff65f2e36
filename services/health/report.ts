import type { CheckSnapshot, HealthSnapshot } from './snapshot.ts'

/** One check as its authorised readers see it. */
export interface CheckReport {
  status: string
  critical: boolean
  kind: string | null
  age_ms: number | null
  latency_ms: number | null
  transitions: number
  details: Record<string, unknown>
}

export interface HealthReport { status: string, ready: boolean, reason: string | null, checks: Record<string, CheckReport> }

/** Everything that is known, for operators. */
export function healthReport ({ status, ready, reason, checks }: HealthSnapshot): HealthReport {
  return { status, ready, reason, checks: mapValues(checks, reportCheck) }
}

function reportCheck ({ status, critical, kind, ageMs, latencyMs, transitions, details }: CheckSnapshot): CheckReport {
  return { status, critical, kind, age_ms: rounded(ageMs), latency_ms: rounded(latencyMs), transitions, details: details ?? {} }
}

export const HEALTH_JSON_TYPE = 'application/health+json'

type HealthJsonStatus = 'pass' | 'warn' | 'fail'
export interface HealthJson { status: HealthJsonStatus, checks: Record<string, { status: HealthJsonStatus, observedValue?: number, observedUnit?: string, output?: string }[]> }

const OVERALL: Record<HealthSnapshot['status'], HealthJsonStatus> = { healthy: 'pass', degraded: 'warn', unhealthy: 'fail' }

/**
 * The same in the format that several monitoring tools read. Without `detailed` it says no more than the public summary.
 * @see https://datatracker.ietf.org/doc/html/draft-inadarei-api-health-check-06
 */
export function healthJson ({ status, checks }: HealthSnapshot, detailed: boolean): HealthJson {
  return { status: OVERALL[status], checks: mapValues(checks, (check) => [standardCheck(check, detailed)]) }
}

function standardCheck ({ status, critical, kind, latencyMs }: CheckSnapshot, detailed: boolean): HealthJson['checks'][string][number] {
  const well = status === 'ok' || status === 'disabled'
  const result = { status: well ? 'pass' : critical && status === 'failed' ? 'fail' : 'warn' } as const
  if (!detailed) return result
  return {
    ...result,
    ...latencyMs === null ? {} : { observedValue: rounded(latencyMs)!, observedUnit: 'ms' },
    ...well ? {} : { output: kind ?? status }
  }
}

function rounded (ms: number | null): number | null {
  return ms === null ? null : Math.round(ms * 10) / 10
}

function mapValues<T, U> (object: Record<string, T>, map: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value)]))
}
