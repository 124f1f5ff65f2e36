import type { BreakerState } from './transition-log.ts'

/** Counted since the breaker was made; nothing resets them, so that they can be exported as counters. */
export class BreakerCounters {
  /** Calls that ended in the period they were let through in. */
  calls = 0
  /** Of every kind but neutral; `timeouts` are among them. */
  failures = 0
  timeouts = 0
  neutral = 0
  slow = 0
  rejected = 0
  /** Results of an earlier period, or of a permit settled before. They changed nothing. */
  stale = 0
}

export interface BreakerSnapshot extends Readonly<BreakerCounters> {
  readonly name: string
  readonly state: BreakerState
  /** When this state began, by the breaker's clock. */
  readonly since: number
  /** How often the circuit opened. */
  readonly opened: number
  readonly retryAfterMs: number
  readonly consecutiveFailures: number
  readonly window: { readonly calls: number, readonly failures: number, readonly slow: number }
  /** Exceptions thrown by listeners and ignored. */
  readonly listenerErrors: number
}
