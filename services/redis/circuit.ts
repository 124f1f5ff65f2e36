import { CircuitBreaker } from '../resilience/circuit-breaker.ts'
import type { CircuitBreakerOptions } from '../resilience/circuit-breaker.ts'
import type { Classification } from './classify.ts'
import type { ConnectionSettings } from './bounded-client.ts'
import type { FailureKind } from './errors.ts'
import type { GuardedRedis } from './guarded-client.ts'
import { HealthConnection } from './health-connection.ts'
import { Listeners } from '../resilience/listeners.ts'
import { Recovery } from './recovery.ts'
import type { Admission } from './traffic.ts'

export interface LastError {
  readonly kind: FailureKind
  /** `ECONNREFUSED`, `WRONGPASS`, `TIMEOUT`…: never an address or a secret. */
  readonly code: string
  /** Milliseconds since 1970. */
  readonly at: number
}

export interface CircuitOptions {
  breaker: CircuitBreakerOptions
  health: ConnectionSettings
  commandTimeoutMs: number
}

/**
 * A PING of ours decides, and costs nobody anything: the open time need not grow with each outage, and a Redis that is back after
 * several short ones is used again as soon as after the first.
 */
const MAX_OPEN_MS = 1000

/** What all connections to one target share: the breaker, the way back after an outage, and what is known of the last error. */
export class RedisCircuit implements Admission {
  readonly breaker: CircuitBreaker
  readonly health: HealthConnection
  readonly #recovery: Recovery
  /** Users' commands are let through while the circuit is closed; every probe is ours. */
  #admitting = true
  #lastError: LastError | null = null
  readonly #admittingListeners = new Listeners<void>('A listener of the Redis guard')
  /** Clients that `duplicate()` made; they are closed with the rest. */
  readonly #duplicates = new Set<GuardedRedis>()

  constructor ({ breaker, health, commandTimeoutMs }: CircuitOptions) {
    this.breaker = new CircuitBreaker({
      name: 'redis', maxOpenMs: MAX_OPEN_MS, slowCallMs: commandTimeoutMs * 0.8, probeTimeoutMs: commandTimeoutMs * 2, ...breaker
    })
    this.health = new HealthConnection(health, commandTimeoutMs, (failure) => this.#note(failure))
    this.#recovery = new Recovery({ breaker: this.breaker, health: this.health, random: health.random })
    this.breaker.onTransition(({ to }) => this.#entered(to))
    // The shared error of an open circuit says what opened it.
    Object.defineProperties(this.breaker.openError, {
      kind: { get: () => this.#lastError?.kind ?? 'transport', enumerable: true },
      ambiguous: { value: false, enumerable: true }
    })
  }

  get admitting (): boolean { return this.#admitting }

  get lastError (): LastError | null { return this.#lastError }

  admit (): Error | null {
    return this.#admitting && this.breaker.allow() ? null : this.breaker.openError
  }

  evidence (failure: Classification): void {
    this.#note(failure)
    this.#recovery.attestable = failure.kind !== 'overload' || failure.breaker === 'fatal'
  }

  /** An attempt to connect failed, or a connection broke with an error: that needs no vote. */
  connectionFailed (failure: Classification): void {
    this.#note(failure)
    this.#trip(failure.kind)
  }

  connectionLost (explained: boolean): void {
    if (!explained) this.#note({ kind: 'transport', reason: 'CLOSED' })
    this.#trip('connection-lost')
  }

  /** A connection is there again. */
  connected (): void {
    this.#recovery.nudge()
  }

  onAdmitting (listener: () => void): () => void {
    return this.#admittingListeners.add(listener)
  }

  adopt (client: GuardedRedis): void {
    this.#duplicates.add(client)
    client.once('end', () => this.#duplicates.delete(client))
  }

  stop (): void {
    this.#recovery.stop()
  }

  async close (): Promise<void> {
    const clients = [...this.#duplicates]
    for (const client of clients) client.refuse()
    await Promise.all([this.health.close(), ...clients.map((client) => client.shutDown())])
  }

  #note ({ kind, reason }: Pick<Classification, 'kind' | 'reason'>): void {
    this.#lastError = { kind, code: reason, at: Date.now() }
  }

  #trip (reason: string): void {
    this.#recovery.attestable = true
    this.breaker.trip(reason)
  }

  #entered (state: string): void {
    const admitted = this.#admitting
    this.#admitting = state === 'closed'
    if (this.#admitting && !admitted) this.#admittingListeners.tell()
    if (state === 'open' || state === 'half-open') this.#recovery.start()
  }
}
