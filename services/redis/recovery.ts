import { fullJitter } from '../resilience/backoff.ts'
import type { CircuitBreaker } from '../resilience/circuit-breaker.ts'
import { classify } from './classify.ts'
import type { Attestation, Health } from './connection/health-connection.ts'

const BASE_MS = 100
const CAP_MS = 1000
/** For the first two seconds or so: short outages are the most common ones. */
const EAGER_ATTEMPTS = 16
const EAGER_CAP_MS = 150

export interface RecoveryOptions {
  breaker: CircuitBreaker
  health: Health
  random: () => number
}

/**
 * Closes the circuit after an outage. All probes are PINGs on the health connection, so no user's request is spent to find out.
 * It works only while the circuit is neither closed nor isolated.
 */
export class Recovery {
  readonly #breaker: CircuitBreaker
  readonly #health: Health
  readonly #random: () => number
  #timer: NodeJS.Timeout | undefined
  #attempts = 0
  #running = false
  #nudged = false
  #stopped = false
  /** What shows that the reason is over: a PING; where it cannot (a full memory answers it), something more; or nothing but time. */
  attestedBy: Attestation | 'ping' | 'time' = 'ping'

  constructor ({ breaker, health, random }: RecoveryOptions) {
    this.#breaker = breaker
    this.#health = health
    this.#random = random
  }

  start (): void {
    this.#attempts = 0
    this.#schedule(fullJitter(0, BASE_MS, CAP_MS, this.#random))
  }

  /** Good news from elsewhere, such as a new connection: looks now, and on a new connection too if the old one is stuck. */
  nudge (): void {
    if (!this.#needed()) return
    this.#attempts = 0
    if (this.#running) {
      this.#nudged = true
      // A circuit that is half open has had an answer just now: breaking that line would open it again, and for longer.
      if (this.#breaker.state === 'open') this.#health.renew()
    } else this.#schedule(0)
  }

  stop (): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #needed (): boolean {
    const { state } = this.#breaker
    return !this.#stopped && (state === 'open' || state === 'half-open')
  }

  #schedule (delayMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => { void this.#attempt() }, delayMs)
    this.#timer.unref()
  }

  async #attempt (): Promise<void> {
    if (this.#running || !this.#needed()) return
    this.#running = true
    this.#nudged = false
    const waitMs = await this.#probe()
    this.#running = false
    if (this.#needed()) this.#schedule(this.#nudged ? 0 : waitMs)
  }

  /** Returns how long to wait before the next attempt, in ms. */
  async #probe (): Promise<number> {
    const breaker = this.#breaker
    try {
      const over = breaker.state === 'open' ? await this.#isOver() : true
      if (over === false) return this.#pauseMs()
      if (over === null && breaker.state === 'open') return breaker.retryAfterMs
      const latencyMs = await this.#health.ping()
      if (this.#stopped) return 0
      breaker.wake()
      if (breaker.state !== 'half-open') return breaker.retryAfterMs
      await this.#closeWith(latencyMs)
      return 0
    } catch {
      return this.#pauseMs()
    }
  }

  async #isOver (): Promise<boolean | null> {
    if (this.attestedBy === 'ping') return true
    return this.attestedBy === 'time' ? null : await this.#health.attest?.(this.attestedBy) ?? null
  }

  #pauseMs (): number {
    const capMs = this.#attempts < EAGER_ATTEMPTS ? EAGER_CAP_MS : CAP_MS
    return fullJitter(this.#attempts++, BASE_MS, capMs, this.#random)
  }

  /** Each permit of the half-open circuit is used for one PING, until they suffice. */
  async #closeWith (latencyMs: number): Promise<void> {
    const breaker = this.#breaker
    while (breaker.state === 'half-open' && breaker.allow()) {
      const { permit } = breaker
      try {
        breaker.succeed(await this.#health.ping(), permit)
      } catch (error) {
        breaker.fail(classify(error).breaker, latencyMs, permit)
        throw error
      }
    }
  }
}
