import { CircuitBreaker } from '../../../services/resilience/circuit-breaker.ts'
import type { CircuitBreakerOptions, Outcome } from '../../../services/resilience/circuit-breaker.ts'
import { ManualClock } from './manual-clock.ts'

/** A breaker on a manual clock. `random` is 1 (unless given): open times are exactly 1000, 2000, 4000 … ms. */
export function manualBreaker (options: CircuitBreakerOptions = {}): { breaker: CircuitBreaker, clock: ManualClock } {
  const clock = new ManualClock()
  return { clock, breaker: new CircuitBreaker({ clock: clock.read, random: () => 1, ...options }) }
}

/** Lets one call through and gives its permit. */
export function admitted (breaker: CircuitBreaker): number {
  if (!breaker.allow()) throw new Error('the call was not let through')
  return breaker.permit
}

export function failTimes (breaker: CircuitBreaker, times: number, kind: Outcome = 'failure'): void {
  for (let call = 0; call < times; call++) breaker.fail(kind, 1, admitted(breaker))
}

export function succeedTimes (breaker: CircuitBreaker, times: number, latencyMs = 1): void {
  for (let call = 0; call < times; call++) breaker.succeed(latencyMs, admitted(breaker))
}

export function path (breaker: CircuitBreaker): string[] {
  return breaker.history.map(({ from, to, reason }) => `${from} > ${to}: ${reason}`)
}

/** Tripped, its open time over: the next call is a probe. */
export function halfOpen (options: CircuitBreakerOptions = {}): { breaker: CircuitBreaker, clock: ManualClock } {
  const made = manualBreaker(options)
  made.breaker.trip('test')
  made.clock.pass(made.breaker.retryAfterMs)
  return made
}
