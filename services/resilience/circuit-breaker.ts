import { parseBreakerOptions } from './breaker/options.ts'
import type { BreakerSettings, CircuitBreakerOptions, Outcome } from './breaker/options.ts'
import { BreakerCounters } from './breaker/snapshot.ts'
import type { BreakerSnapshot } from './breaker/snapshot.ts'
import { Circuit } from './breaker/circuit.ts'
import { callPromise } from './call-promise.ts'
import { CircuitOpenError } from './errors.ts'
import { classifySafely } from './breaker/settlers.ts'
import type { Settlers } from './breaker/settlers.ts'
import { ProbePermits } from './breaker/probe-permits.ts'
import type { BreakerState, Transition, TransitionListener } from './breaker/transition-log.ts'
import { Votes } from './breaker/votes.ts'
import type { Verdict } from './breaker/votes.ts'

export type { CircuitBreakerOptions, Outcome } from './breaker/options.ts'
export type { BreakerSnapshot } from './breaker/snapshot.ts'
export type { BreakerState, Transition, TransitionListener } from './breaker/transition-log.ts'

/**
 * A circuit breaker for any dependency. It owns no timer: whether the open time is over is decided when somebody asks.
 *
 * Around a promise use `run(fn)`. On a hot path use `if (breaker.allow()) { const permit = breaker.permit … }`, then exactly one
 * of `succeed`, `fail`, `release` with that permit. A permit is good for the period it was granted in; results of an earlier
 * period are counted as stale and change nothing. Without a permit a result belongs to the call that was let through last.
 *
 * @throws FST_BRK_BREAKER_OPTION from the constructor.
 */
export class CircuitBreaker {
  readonly name: string
  /** The one error all rejections share: code FST_BRK_CIRCUIT_OPEN, statusCode 503, live `state` and `retryAfterMs`, no stack. */
  readonly openError: CircuitOpenError
  readonly #settings: BreakerSettings
  readonly #clock: () => number
  readonly #slowCallMs: number
  readonly #votes: Votes
  readonly #probes: ProbePermits
  readonly #circuit: Circuit
  readonly #counters = new BreakerCounters()
  #settlers: Settlers

  constructor (options: CircuitBreakerOptions = {}) {
    const settings = parseBreakerOptions(options)
    this.name = settings.name
    this.#settings = settings
    this.#clock = settings.clock
    this.#slowCallMs = settings.slowCallMs
    this.#votes = new Votes(settings)
    this.#probes = new ProbePermits(settings.halfOpenProbes, settings.probeTimeoutMs)
    this.#circuit = new Circuit(settings, () => this.#forgetPeriod())
    this.#settlers = this.#makeSettlers(this.#circuit.permit, NaN)
    this.openError = new CircuitOpenError(this)
  }

  /** O(1). Reading it in an open circuit whose time is over moves it to half-open. */
  get state (): BreakerState {
    if (this.#circuit.state === 'open') this.#circuit.endOpenPeriod(this.#clock())
    return this.#circuit.state
  }

  /** The token of the call that allow() let through last. */
  get permit (): number {
    return this.#circuit.permit
  }

  /** Ms until a call may be let through; 0 when one would be now. An isolated circuit answers maxOpenMs: nobody knows. */
  get retryAfterMs (): number {
    switch (this.#circuit.state) {
      case 'closed': return 0
      case 'open': return this.#circuit.openPeriod.leftMs(this.#clock())
      case 'half-open': return this.#probes.waitMs(this.#clock())
      case 'isolated': return this.#settings.maxOpenMs
    }
  }

  /** The last 32 transitions, oldest first. */
  get history (): readonly Transition[] {
    return this.#circuit.log.history
  }

  get lastTransition (): Transition | null {
    return this.#circuit.log.last
  }

  /** Calls the listener after each transition, in order; what it throws is counted, not passed on. Returns the way out. */
  onTransition (listener: TransitionListener): () => void {
    return this.#circuit.log.listeners.add(listener)
  }

  /** Whether a call may be made now. Allocates nothing, and reads no clock while closed. */
  allow (): boolean {
    return this.#circuit.state === 'closed' || this.#admit()
  }

  succeed (latencyMs: number, permit: number = this.#circuit.permit): void {
    this.#succeedAt(this.#clock(), latencyMs, permit)
  }

  fail (kind: Outcome, latencyMs: number, permit: number = this.#circuit.permit): void {
    this.#failAt(this.#clock(), kind, latencyMs, permit)
  }

  /** Gives a permit back unused: the call was not made, or its caller gave up. No vote. */
  release (permit: number = this.#circuit.permit): void {
    if (this.#circuit.state === 'half-open') this.#probes.settle(permit)
  }

  /** Calls `fn` if the circuit lets it through and counts how it ended; else rejects with `openError`. Never throws. */
  run<T> (fn: () => Promise<T>): Promise<T> {
    if (!this.allow()) return Promise.reject(this.openError)
    // Without slow calls to watch, all calls of a closed period settle alike and share one pair of functions.
    const settlers = this.#circuit.state === 'closed' && this.#slowCallMs === Infinity
      ? this.#settlers
      : this.#makeSettlers(this.#circuit.permit, this.#clock())
    return callPromise(fn).then(settlers.fulfilled, settlers.rejected)
  }

  /** The dependency says it is back: an open circuit goes half-open now, or soon if such news was false before. */
  wake (): void {
    if (this.#circuit.state !== 'open') return
    this.#circuit.openPeriod.wake()
    this.#circuit.endOpenPeriod(this.#clock(), 'woken')
  }

  /** Opens a closed or half-open circuit at once, without a vote. */
  trip (reason: string): void {
    const state = this.state
    if (state === 'closed' || state === 'half-open') this.#circuit.open(reason, this.#clock())
  }

  /** Lets nothing through until every holder has disposed of what this returns; then probes decide. */
  isolate (): Disposable {
    return this.#circuit.isolate()
  }

  /** Closes the circuit by hand, isolated or not, with an empty window. The open time keeps growing until the peace lasts. */
  close (): void {
    this.#circuit.close('closed-by-hand')
  }

  /** As new: closed, empty window, no backoff, calls under way forgotten. Counters and history stay. */
  reset (): void {
    this.#circuit.openPeriod.forgive()
    this.#circuit.beginPeriod()
    this.#circuit.close('reset')
  }

  /** Everything at a glance; allocates, for health and metrics. */
  snapshot (): BreakerSnapshot {
    const { name, state, retryAfterMs } = this
    return {
      name,
      state,
      since: this.#circuit.since,
      retryAfterMs,
      consecutiveFailures: this.#votes.consecutiveFailures,
      window: this.#votes.tally(this.#clock()),
      ...Object.assign({}, this.#counters),
      opened: this.#circuit.opened,
      listenerErrors: this.#circuit.log.listeners.errors
    }
  }

  #admit (): boolean {
    const circuit = this.#circuit
    const now = this.#clock()
    if (circuit.state === 'open') circuit.endOpenPeriod(now)
    // A listener of that transition may have moved the circuit on: look again.
    if (this.#circuit.state === 'closed') return true
    if (this.#circuit.state === 'half-open' && this.#probes.grant(circuit.nextPermit, now)) {
      circuit.usePermit()
      return true
    }
    this.#counters.rejected++
    return false
  }

  #succeedAt (now: number, latencyMs: number, permit: number): void {
    if (!this.#settle(permit)) return
    const slow = latencyMs >= this.#slowCallMs
    if (slow) this.#counters.slow++
    if (this.#circuit.state === 'half-open') return this.#probeAnswered(slow, now)
    if (slow) return this.#obey(this.#votes.addSlowSuccess(now), now)
    this.#votes.addSuccess(now)
  }

  #failAt (now: number, kind: Outcome, latencyMs: number, permit: number): void {
    if (!this.#settle(permit)) return
    const probing = this.#circuit.state === 'half-open'
    if (kind === 'neutral') {
      this.#counters.neutral++
      if (probing) this.#probeAnswered(false, now)
      return
    }
    const slow = latencyMs >= this.#slowCallMs
    this.#counters.failures++
    if (kind === 'timeout') this.#counters.timeouts++
    if (slow) this.#counters.slow++
    if (kind === 'fatal') return this.#circuit.open('fatal', now)
    if (probing) return this.#circuit.open('probe-failed', now)
    this.#obey(this.#votes.addFailure(now, slow), now)
  }

  /** Whether a result belongs to the period the circuit is in; a probe's permit is used up by it. */
  #settle (permit: number): boolean {
    const { state } = this.#circuit
    const current = state === 'half-open' ? this.#probes.settle(permit) : state === 'closed' && permit === this.#circuit.permit
    if (current) this.#counters.calls++
    else this.#counters.stale++
    return current
  }

  #probeAnswered (slow: boolean, now: number): void {
    const { halfOpenProbes, slowCallRate } = this.#settings
    if (this.#probes.answered(slow) < halfOpenProbes) return
    // A dependency that answers, but as slowly as when it was given up, would only be given up again.
    if (this.#probes.slow / halfOpenProbes >= slowCallRate) this.#circuit.open('slow-call-rate', now)
    else this.#circuit.enter('closed', 'probes-succeeded', now)
  }

  #obey (verdict: Verdict, now: number): void {
    if (verdict !== '') this.#circuit.open(verdict, now)
  }

  #forgetPeriod (): void {
    this.#votes.clear()
    this.#probes.begin()
    this.#settlers = this.#makeSettlers(this.#circuit.permit, NaN)
  }

  #makeSettlers (permit: number, startedAt: number): Settlers {
    return {
      fulfilled: value => {
        const now = this.#clock()
        this.#succeedAt(now, now - startedAt, permit)
        return value
      },
      rejected: error => {
        const now = this.#clock()
        const outcome = classifySafely(this.#settings.classify, error)
        if (outcome === null) this.release(permit)
        else this.#failAt(now, outcome, now - startedAt, permit)
        throw error
      }
    }
  }
}
