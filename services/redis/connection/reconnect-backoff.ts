import { fullJitter } from '../../resilience/backoff.ts'

const FIRST_MS = 50
const CAP_MS = 1000
/** Short outages (a restart, a failover) end quickly; only long ones are worth patience. */
const EAGER_FOR_MS = 2000
const EAGER_CAP_MS = 150
const MINIMUM_MS = 10
/** What an attempt in that time is given, beyond a multiple of what the last good one took. */
const EAGER_ATTEMPT_MS = 150

/**
 * When to try to connect again: full jitter, at most a second from one attempt to the next. It counts from the start of the
 * failed attempt, so that an attempt that hung until its timeout is not followed by a long pause as well.
 */
export class ReconnectBackoff {
  readonly #clock: () => number
  readonly #random: () => number
  #lostAt: number | null = null
  #attempts = 0
  /** When the last attempt began. */
  attemptedAt = 0
  /** Of the last attempt that succeeded; null before it. */
  #usualMs: number | null = null
  /** The last delay, in ms. */
  delayMs = 0

  constructor (clock: () => number, random: () => number) {
    this.#clock = clock
    this.#random = random
  }

  attempting (): void {
    this.attemptedAt = this.#clock()
  }

  connected (): void {
    this.#usualMs = this.#clock() - this.attemptedAt
    this.#lostAt = null
    this.#attempts = 0
    this.delayMs = 0
  }

  /** The connection is gone, or an attempt has failed. */
  lost (): void {
    this.#lostAt ??= this.#clock()
  }

  /**
   * How long an attempt may take: shortly after the loss, not much longer than the last good one did. What was sent into a dead line
   * stays unanswered after the line is good again, and to wait for it is to miss the end of a short outage.
   */
  limitMs (timeoutMs: number): number {
    if (this.#usualMs === null || this.#lostAt === null || this.#clock() - this.#lostAt >= EAGER_FOR_MS) return timeoutMs
    return Math.min(timeoutMs, EAGER_ATTEMPT_MS + 4 * this.#usualMs)
  }

  next (): number {
    const now = this.#clock()
    this.#lostAt ??= now
    const capMs = now - this.#lostAt < EAGER_FOR_MS ? EAGER_CAP_MS : CAP_MS
    const intervalMs = fullJitter(this.#attempts, FIRST_MS, capMs, this.#random)
    const spentMs = this.#attempts++ === 0 ? 0 : now - this.attemptedAt
    this.delayMs = Math.max(MINIMUM_MS, Math.round(intervalMs - spentMs))
    return this.delayMs
  }
}
