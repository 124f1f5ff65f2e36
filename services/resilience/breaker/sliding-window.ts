/**
 * Counts of the last `windowMs`, in a ring of buckets that is allocated once. Each bucket is tagged with its epoch (the number
 * of the time slice it counts), so an old bucket is recognised when it is looked at and no timer has to rotate the ring.
 */
export class SlidingWindow {
  readonly #bucketMs: number
  readonly #buckets: number
  readonly #epochs: Float64Array
  readonly #counts: Uint32Array // calls, failures, slow of bucket 0, then of bucket 1 …
  #epoch = -Infinity
  #endsAt = -Infinity
  #offset = 0

  /** Results of the last tally(). Fields, not an object, so that a tally allocates nothing. */
  calls = 0
  failures = 0
  slow = 0

  constructor (windowMs: number, buckets: number) {
    this.#bucketMs = windowMs / buckets
    this.#buckets = buckets
    this.#epochs = new Float64Array(buckets).fill(-Infinity)
    this.#counts = new Uint32Array(buckets * 3)
  }

  addSuccess (now: number): void {
    if (now >= this.#endsAt) this.#advance(now)
    this.#counts[this.#offset]!++
  }

  add (now: number, failed: boolean, slow: boolean): void {
    if (now >= this.#endsAt) this.#advance(now)
    this.#counts[this.#offset]!++
    if (failed) this.#counts[this.#offset + 1]!++
    if (slow) this.#counts[this.#offset + 2]!++
  }

  tally (now: number): void {
    // A clock that went back must not bring expired buckets to life.
    const oldest = Math.max(this.#epoch, Math.floor(now / this.#bucketMs)) - this.#buckets
    this.calls = this.failures = this.slow = 0
    for (let bucket = 0; bucket < this.#buckets; bucket++) {
      if (this.#epochs[bucket]! <= oldest) continue
      this.calls += this.#counts[bucket * 3]!
      this.failures += this.#counts[bucket * 3 + 1]!
      this.slow += this.#counts[bucket * 3 + 2]!
    }
  }

  clear (): void {
    this.#epochs.fill(-Infinity)
    this.#counts.fill(0)
    this.#epoch = this.#endsAt = -Infinity
  }

  #advance (now: number): void {
    const epoch = Math.floor(now / this.#bucketMs)
    if (epoch <= this.#epoch) return
    const bucket = epoch - Math.floor(epoch / this.#buckets) * this.#buckets
    this.#epoch = epoch
    this.#endsAt = (epoch + 1) * this.#bucketMs
    this.#epochs[bucket] = epoch
    this.#offset = bucket * 3
    this.#counts.fill(0, this.#offset, this.#offset + 3)
  }
}
