import type { Command } from 'ioredis'
import { CircuitBreaker } from '../resilience/circuit-breaker.ts'
import type { BreakerState, CircuitBreakerOptions, Transition } from '../resilience/circuit-breaker.ts'
import type { Classification } from './classify.ts'
import type { Attestation } from './connection/health-connection.ts'
import { Recovery } from './recovery.ts'
import { isWrite, needsMemory } from './retry/category.ts'

/** What Redis answers to writes only: it is alive, and serves reads. */
const REFUSALS = new Set(['OOM', 'READONLY', 'MISCONF', 'NOREPLICAS'])

export function concernsWrites ({ reason }: Pick<Classification, 'reason'>): boolean {
  return REFUSALS.has(reason)
}

export interface WriteSideOptions {
  breaker: CircuitBreakerOptions
  /** Whether a write would be taken; null where Redis does not tell. */
  attest: ((by: Attestation) => Promise<boolean | null>) | undefined
  random: () => number
  /** Of the last refusal. */
  reason: () => string | null
  /** Writes are let through that were refused before. */
  onAdmitting: () => void
}

/** How long successes count after a failure, in ms; before, nobody needs them, and counting costs. */
const TENSE_MS = 10_000

/**
 * The circuit of the commands that write. It opens while Redis refuses them, and questions of ours close it, which write nothing; where Redis
 * does not answer these, some of the users' writes find out.
 */
export class WriteSide {
  readonly breaker: CircuitBreaker
  /** Results of writes are worth reporting. */
  tense = false
  readonly #recovery: Recovery
  readonly #onAdmitting: () => void
  readonly #reason: () => string | null
  readonly #attest: WriteSideOptions['attest']
  #admitting = true
  #byUsers = false
  #lastFailureAt = 0

  constructor ({ breaker, attest, random, reason, onAdmitting }: WriteSideOptions) {
    this.breaker = new CircuitBreaker({ maxOpenMs: 1000, ...breaker, name: `${breaker.name ?? 'redis'} writes`, slowCallMs: undefined })
    this.#attest = attest
    this.#reason = reason
    this.#onAdmitting = onAdmitting
    this.#recovery = new Recovery({ breaker: this.breaker, random, health: { ping: () => this.#ask(), renew: () => {}, close: async () => {} } })
    this.breaker.onTransition((transition) => this.#entered(transition))
    Object.defineProperties(this.breaker.openError, {
      kind: { value: 'overload', enumerable: true },
      ambiguous: { value: false, enumerable: true },
      side: { value: 'writes', enumerable: true },
      reason: { get: reason, enumerable: true }
    })
  }

  get admitting (): boolean { return this.#admitting }

  get state (): BreakerState { return this.breaker.state }

  get permit (): number { return this.breaker.permit }

  /** The refusal is about such a command too. A transaction is one thing, and counts as a write. */
  concerns (command: Command): boolean {
    return command.inTransaction || (this.#reason() === 'OOM' ? needsMemory(command) : isWrite(command))
  }

  admit (): Error | null {
    return this.#admitting || (this.#byUsers && this.breaker.allow()) ? null : this.breaker.openError
  }

  refused (permit: number): void {
    this.tense = true
    this.#lastFailureAt = performance.now()
    this.breaker.fail('failure', 0, permit)
  }

  /** It is certain, and needs no vote. */
  trip (reason: string): void {
    this.breaker.trip(reason)
  }

  succeeded (permit: number): void {
    this.breaker.succeed(0, permit)
    if (this.#admitting && performance.now() - this.#lastFailureAt > TENSE_MS) this.tense = false
  }

  /** A write ended without a word about the server. */
  released (permit: number): void {
    this.breaker.release(permit)
  }

  /** There is a new connection, perhaps with another server. */
  nudge (): void {
    this.#recovery.nudge()
  }

  stop (): void {
    this.#recovery.stop()
  }

  /** In the manner of a PING. */
  async #ask (): Promise<number> {
    const taken = await this.#attest?.('write') ?? null
    this.#byUsers = taken === null
    if (taken !== true) throw new Error('writes are still refused')
    return 0
  }

  #entered ({ to }: Transition): void {
    const admitted = this.#admitting
    this.#admitting = to === 'closed'
    this.tense = true
    if (this.#admitting && !admitted) {
      this.#byUsers = false
      this.#onAdmitting()
    }
    if (to === 'open') this.#recovery.start()
  }
}

/** A command was refused alone, and not because there is no connection or no server. */
export function isWriteRefusal (error: Error | null): boolean {
  return (error as { side?: unknown } | null)?.side === 'writes'
}
