import { fullJitter } from '../resilience/backoff.ts'

const FIRST_MS = 50
const CAP_MS = 1000
/** Short outages (a restart, a failover) end quickly; only long ones are worth patience. */
const EAGER_FOR_MS = 2000
const EAGER_CAP_MS = 200
const MINIMUM_MS = 10

/**
 * When to try to connect again: full jitter, at most a second from one attempt to the next. It counts from the start of the
 * failed attempt, so that an attempt that hung until its timeout is not followed by a long pause as well.
 */
export class ReconnectBackoff {
  readonly #clock: () => number
  readonly #random: () => number
  #lostAt: number | null = null
  #attemptedAt = 0
  #attempts = 0
  /** The last delay, in ms. */
  delayMs = 0

  constructor (clock: () => number, random: () => number) {
    this.#clock = clock
    this.#random = random
  }

  attempting (): void {
    this.#attemptedAt = this.#clock()
  }

  connected (): void {
    this.#lostAt = null
    this.#attempts = 0
    this.delayMs = 0
  }

  next (): number {
    const now = this.#clock()
    this.#lostAt ??= now
    const capMs = now - this.#lostAt < EAGER_FOR_MS ? EAGER_CAP_MS : CAP_MS
    const intervalMs = fullJitter(this.#attempts, FIRST_MS, capMs, this.#random)
    const spentMs = this.#attempts++ === 0 ? 0 : now - this.#attemptedAt
    this.delayMs = Math.max(MINIMUM_MS, Math.round(intervalMs - spentMs))
    return this.delayMs
  }
}
