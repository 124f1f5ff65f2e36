import { HealthCheckInvalid } from './errors.ts'

/** `unknown`: not looked at yet, or too long ago to say. `disabled`: deliberately not in use, which is well. */
export type CheckStatus = 'ok' | 'failed' | 'unknown' | 'disabled'

/** What a check found. `kind` tells failures apart without telling anything about the installation. */
export interface CheckResult {
  status: CheckStatus
  kind?: string
  error?: Error
  details?: Record<string, unknown>
}

interface CheckOptions {
  /** Lower case, shown in public bodies: no hosts, no secrets. */
  name: string
  /** A failing critical check makes the service unhealthy; any other only degrades it. */
  critical: boolean
  /** Whether a failing critical check stops all business routes. False where those concerned refuse by themselves. Default true. */
  shedsLoad?: boolean
  /** Given, a failure of this check also makes `/health/ready` answer 503, with this reason, critical or not. */
  notReadyReason?: string
}

/** Runs in the background, never because of a request. */
export interface SampledCheck extends CheckOptions {
  /** Fails by rejecting. A `kind` on the error is shown to authorised callers. Should stop when `signal` aborts. */
  check: (signal: AbortSignal) => Promise<unknown>
  /** What is known without asking; beside what the last run returned, whether that succeeded or not. Synchronous, without I/O. */
  describe?: () => Record<string, unknown>
  /** From the end of one run to the start of the next, give or take a tenth. Default 2000. */
  intervalMs?: number
  /** After this the run counts as failed, even where the promise never settles. Default 500. */
  timeoutMs?: number
}

/** Reads what is in memory already. Must be synchronous, quick and free of I/O: it runs on every snapshot. */
export interface ReadCheck extends CheckOptions {
  read: () => CheckResult
}

export type HealthCheck = SampledCheck | ReadCheck

const NAME = /^[a-z][a-z0-9_-]{0,63}$/

/** @throws FST_BRK_HEALTH_CHECK_INVALID */
export function assertUsable (check: HealthCheck): void {
  const { name, check: run, read, intervalMs, timeoutMs } = check as Partial<SampledCheck & ReadCheck>
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new HealthCheckInvalid(String(name), 'a name is lower case letters, digits, "-" and "_", begins with a letter and has at most 64 characters')
  }
  if (typeof check.critical !== 'boolean') throw new HealthCheckInvalid(check.name, 'critical must be true or false')
  if ((typeof run === 'function') === (typeof read === 'function')) {
    throw new HealthCheckInvalid(check.name, 'give either an asynchronous check or a synchronous read')
  }
  for (const [option, value] of Object.entries({ intervalMs, timeoutMs })) {
    if (value !== undefined && !(Number.isFinite(value) && value >= 1)) {
      throw new HealthCheckInvalid(check.name, `${option} must be a number of milliseconds, at least 1`)
    }
  }
}

const KIND = /^[a-z][a-z_-]{0,31}$/

/** The failure kind that an error states; `timeout` or `error` where it states none. */
export function kindOf (error: Error | null): string {
  const { kind, code } = Object(error) as { kind?: unknown, code?: unknown }
  if (typeof kind === 'string' && KIND.test(kind)) return kind
  return /TIMEOUT|HUNG/.test(String(code)) ? 'timeout' : 'error'
}
