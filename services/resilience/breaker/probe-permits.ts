/** Of the probes that expired, so many times the limit are remembered, so that late results still count as evidence. */
const remembered = 4

/**
 * The permits of one half-open period. At most `limit` are out or have succeeded; one that is not settled in time no longer
 * occupies its place, so a lost probe cannot wedge the circuit. Its late result is still heard, as long as the period lasts.
 */
export class ProbePermits {
  readonly #limit: number
  readonly #timeoutMs: number
  readonly #permits: Float64Array // 0: free
  readonly #grantedAt: Float64Array
  /** Probes of this period that proved the dependency alive, and how many of them were slow. */
  succeeded = 0
  slow = 0

  constructor (limit: number, timeoutMs: number) {
    this.#limit = limit
    this.#timeoutMs = timeoutMs
    this.#permits = new Float64Array(limit * remembered)
    this.#grantedAt = new Float64Array(limit * remembered)
  }

  begin (): void {
    this.#permits.fill(0)
    this.succeeded = this.slow = 0
  }

  grant (permit: number, now: number): boolean {
    let occupied = this.succeeded
    let slot = 0
    for (let index = 0; index < this.#permits.length; index++) {
      if (this.#permits[index]! !== 0 && now - this.#grantedAt[index]! < this.#timeoutMs) occupied++
      // Permits grow, and 0 is the smallest: this finds a free place, else the oldest.
      if (this.#permits[index]! < this.#permits[slot]!) slot = index
    }
    if (occupied >= this.#limit) return false
    this.#permits[slot] = permit
    this.#grantedAt[slot] = now
    return true
  }

  /** True once for each permit of this period; false for one of an earlier period, settled already or long forgotten. */
  settle (permit: number): boolean {
    const slot = this.#permits.indexOf(permit)
    if (slot === -1) return false
    this.#permits[slot] = 0
    return true
  }

  /** Counts a probe that proved the dependency alive; returns how many did. */
  answered (slow: boolean): number {
    if (slow) this.slow++
    return ++this.succeeded
  }

  /** Until a permit is certain to be free: 0 when one is, else when the oldest expires. */
  waitMs (now: number): number {
    let occupied = this.succeeded
    let waitMs = Infinity
    for (let index = 0; index < this.#permits.length; index++) {
      const leftMs = this.#permits[index]! === 0 ? 0 : this.#grantedAt[index]! + this.#timeoutMs - now
      if (leftMs <= 0) continue
      occupied++
      waitMs = Math.min(waitMs, leftMs)
    }
    return occupied < this.#limit ? 0 : waitMs
  }
}
