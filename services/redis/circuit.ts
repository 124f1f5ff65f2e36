import { CircuitBreaker } from '../resilience/circuit-breaker.ts'
import type { CircuitBreakerOptions } from '../resilience/circuit-breaker.ts'
import type { Classification } from './classify.ts'
import type { FailureKind } from './errors.ts'
import type { Attestation, Health } from './connection/health-connection.ts'
import { Listeners } from '../resilience/listeners.ts'
import { Recovery } from './recovery.ts'
import type { Admission } from './command/traffic.ts'
import { WriteSide, concernsWrites } from './write-side.ts'

export interface LastError {
  readonly kind: FailureKind
  /** `ECONNREFUSED`, `WRONGPASS`, `TIMEOUT`…: never an address or a secret. */
  readonly code: string
  /** Milliseconds since 1970. */
  readonly at: number
}

export interface CircuitOptions<H extends Health> {
  breaker: CircuitBreakerOptions
  /** Who answers the questions of ours that close the circuit; it reports its failures. */
  health: (onFailure: (failure: Classification) => void) => H
  commandTimeoutMs: number
  random: () => number
}

/** A client that is closed with the circuit. */
export interface Closable {
  refuse (): void
  shutDown (): Promise<void>
  /** Its connection may be as dead as another one. */
  suspect? (): void
}

/**
 * A PING of ours decides, and costs nobody anything: the open time need not grow with each outage, and a Redis that is back after
 * several short ones is used again as soon as after the first.
 */
const MAX_OPEN_MS = 1000

/** What tells that these are over; the others answer a PING too, and only time tells. */
const attestations: Readonly<Record<string, Attestation>> = {
  BUSY: 'write', UNBLOCKED: 'write', CLUSTERDOWN: 'cluster'
}

/** What all connections to one server share: the breaker, the way back after an outage, and what is known of the last error. */
export class RedisCircuit<H extends Health = Health> implements Admission {
  readonly breaker: CircuitBreaker
  readonly health: H
  /** Refuses writes alone, while Redis does. */
  readonly writes: WriteSide
  readonly #recovery: Recovery
  /** Users' commands are let through while the circuit is closed; every probe is ours. */
  #admitting = true
  #lastError: LastError | null = null
  /** Why writes were refused last. */
  #refusal: string | null = null
  readonly #admittingListeners = new Listeners<void>('A listener of the Redis guard')
  readonly #failureListeners = new Listeners<LastError>('A listener of the Redis guard')
  /** Clients that `duplicate()` made; they are closed with the rest. */
  readonly #duplicates = new Set<Closable>()

  constructor ({ breaker, health, commandTimeoutMs, random }: CircuitOptions<H>) {
    this.breaker = new CircuitBreaker({
      name: 'redis', maxOpenMs: MAX_OPEN_MS, slowCallMs: commandTimeoutMs * 0.8, probeTimeoutMs: commandTimeoutMs * 2, ...breaker
    })
    this.health = health((failure) => this.#noteAnswer(failure))
    this.writes = new WriteSide({
      breaker,
      attest: this.health.attest?.bind(this.health),
      random,
      reason: () => this.#refusal,
      onAdmitting: () => this.#admittingListeners.tell()
    })
    this.#recovery = new Recovery({ breaker: this.breaker, health: this.health, random })
    this.breaker.onTransition(({ to }) => this.#entered(to))
    // The shared error of an open circuit says what opened it.
    Object.defineProperties(this.breaker.openError, {
      kind: { get: () => this.#lastError?.kind ?? 'transport', enumerable: true },
      ambiguous: { value: false, enumerable: true }
    })
  }

  get admitting (): boolean { return this.#admitting }

  /** For reads and for writes. */
  get usable (): boolean { return this.#admitting && this.writes.admitting }

  get lastError (): LastError | null { return this.#lastError }

  admit (): Error | null {
    return this.#admitting && this.breaker.allow() ? null : this.breaker.openError
  }

  evidence (failure: Classification): void {
    this.#note(failure)
    if (concernsWrites(failure)) return
    this.#recovery.attestedBy = failure.kind !== 'overload' || failure.breaker === 'fatal' ? 'ping' : attestations[failure.reason] ?? 'time'
  }

  /** An attempt to connect failed, or a connection broke with an error: that needs no vote. */
  connectionFailed (failure: Classification, attemptedAt = Infinity): void {
    this.#note(failure)
    if (this.#isNews(attemptedAt)) this.trip(failure.kind)
  }

  connectionLost (explained: boolean, attemptedAt = Infinity): void {
    if (!explained) this.#note({ kind: 'transport', reason: 'CLOSED' })
    if (this.#isNews(attemptedAt)) this.trip('connection-lost')
  }

  /**
   * Opens a closed circuit without a vote. A PING may close it again. While it is half open, PINGs decide: an attempt to connect that began
   * in the outage and fails after its end is no news. While it is open, what opened it says who closes it.
   */
  trip (reason: string): void {
    if (this.breaker.state !== 'closed') return
    this.#recovery.attestedBy = 'ping'
    this.breaker.trip(reason)
  }

  /** A connection is there again. */
  connected (): void {
    this.#recovery.nudge()
    this.writes.nudge()
  }

  /** What opened the circuit is over, and somebody else knows; a PING looks now. */
  attest (): void {
    this.#recovery.attestedBy = 'ping'
    this.#recovery.nudge()
  }

  onAdmitting (listener: () => void): () => void {
    return this.#admittingListeners.add(listener)
  }

  adopt (client: Closable & { once (event: 'end', listener: () => void): unknown }): void {
    this.#duplicates.add(client)
    client.once('end', () => this.#duplicates.delete(client))
  }

  /** Who only listens or waits does not notice that its line is dead. */
  suspectDuplicates (): void {
    for (const client of this.#duplicates) client.suspect?.()
  }

  /** An error that is known from elsewhere. */
  learn (error: LastError): void {
    this.#lastError = error
    this.#failureListeners.tell(error)
  }

  /** Told of each error. */
  onFailure (listener: (error: LastError) => void): () => void {
    return this.#failureListeners.add(listener)
  }

  forceClose (): void {
    this.breaker.close()
    this.writes.breaker.close()
  }

  reset (): void {
    this.breaker.reset()
    this.writes.breaker.reset()
  }

  stop (): void {
    this.#recovery.stop()
    this.writes.stop()
  }

  async close (): Promise<void> {
    const clients = [...this.#duplicates]
    for (const client of clients) client.refuse()
    await Promise.all([this.health.close(), ...clients.map((client) => client.shutDown())])
  }

  /** MISCONF is what even a PING is answered with. */
  #noteAnswer (failure: Classification): void {
    this.#note(failure)
    if (concernsWrites(failure)) this.writes.trip(failure.reason)
  }

  /** An attempt that began before the circuit closed has met what is over. */
  #isNews (attemptedAt: number): boolean {
    const { lastTransition } = this.breaker
    return lastTransition?.to !== 'closed' || lastTransition.at <= attemptedAt
  }

  #note ({ kind, reason }: Pick<Classification, 'kind' | 'reason'>): void {
    if (concernsWrites({ reason })) this.#refusal = reason
    this.learn({ kind, code: reason, at: Date.now() })
  }

  #entered (state: string): void {
    const admitted = this.#admitting
    this.#admitting = state === 'closed'
    if (this.#admitting && !admitted) this.#admittingListeners.tell()
    if (state === 'open' || state === 'half-open') this.#recovery.start()
  }
}
