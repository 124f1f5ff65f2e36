import { equalJitter, exponential } from '../backoff.ts'
import type { BreakerSettings } from './options.ts'

/** How long the circuit stays open: grows with each opening until a closed period proved stable, and can be cut short. */
export class OpenPeriod {
  readonly #settings: BreakerSettings
  #startedAt = 0
  #retryAt = 0
  #forMs = 0
  #attempt = -1
  #woken = false
  #failedWakes = 0

  constructor (settings: BreakerSettings) {
    this.#settings = settings
  }

  get forMs (): number {
    return this.#forMs
  }

  /** `stable`: the closed period before lasted long enough for the past to be forgiven. */
  start (now: number, stable: boolean): void {
    if (stable) this.forgive()
    if (this.#woken) this.#failedWakes++
    const { openMs, maxOpenMs, random } = this.#settings
    this.#woken = false
    // Half of the time is certain: full jitter may be nothing at all, and an open circuit must give some pause.
    this.#forMs = equalJitter(++this.#attempt, openMs, maxOpenMs, random)
    this.#startedAt = now
    this.#retryAt = now + this.#forMs
  }

  forgive (): void {
    this.#attempt = -1
    this.#woken = false
    this.#failedWakes = 0
  }

  isOver (now: number): boolean {
    return now >= this.#retryAt
  }

  leftMs (now: number): number {
    return Math.max(0, this.#retryAt - now)
  }

  /**
   * Ends the period now, unless earlier wakes were false alarms: after n of those it ends only once openMs × 2^(n − 1) have
   * passed, never later than without the wake. So a dependency that flaps cannot talk its way around the backoff.
   */
  wake (): void {
    const { openMs, maxOpenMs } = this.#settings
    const floorMs = this.#failedWakes === 0 ? 0 : exponential(this.#failedWakes - 1, openMs, maxOpenMs)
    this.#woken = true
    this.#retryAt = Math.min(this.#retryAt, this.#startedAt + floorMs)
  }
}
