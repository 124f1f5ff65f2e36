export interface PatienceOptions {
  /** Nobody waits less. Default 5. */
  minMs?: number | undefined
  /** Nobody waits more, nor longer than the origin usually takes. Default 25. */
  maxMs?: number | undefined
  /** Monotonic time in ms. */
  clock?: (() => number) | undefined
  /** Told when suspicion begins and ends. */
  onChange?: ((suspected: boolean) => void) | undefined
}

/** `wait` for the answer, `probe`: ask without waiting, or `skip`. */
export type Stance = 'wait' | 'probe' | 'skip'

const USUAL_GAIN = 1 / 16
/** What is slow for a moment is an outage; what is slow for a minute or two, at one probe a second, is the new normal. */
const LATE_GAIN = 1 / 512
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1000
/** A probe without an answer for so long is forgotten. */
const PROBE_LIMIT_MS = 1000
/** So many answers in time, one after the other, and earlier lapses are forgiven. */
const CALM = 100

/**
 * How long to wait for Redis: a few times what it usually takes, within bounds, and no longer than the origin usually takes. Whoever has waited in vain makes it suspected: then
 * nobody waits, and one caller after a pause asks without waiting, until such a probe is answered in time. It has no timer of its own.
 */
export class Patience {
  readonly #minMs: number
  readonly #maxMs: number
  readonly #clock: () => number
  readonly #onChange: (suspected: boolean) => void
  #meanMs: number
  #deviationMs = 0
  #originMs: number | null = null
  #suspected = false
  #pauseMs = FIRST_PAUSE_MS
  #nextProbeAt = 0
  #probeSentAt = -Infinity
  #calm = 0

  constructor ({ minMs = 5, maxMs = 25, clock = () => performance.now(), onChange = () => {} }: PatienceOptions = {}) {
    this.#maxMs = Math.max(1, maxMs)
    this.#minMs = Math.min(Math.max(1, minMs), this.#maxMs)
    this.#clock = clock
    this.#onChange = onChange
    this.#meanMs = this.#maxMs / 4
  }

  /** Whole milliseconds. */
  get ms (): number {
    const limitMs = Math.min(this.#maxMs, this.#originMs ?? this.#maxMs)
    return Math.ceil(Math.max(this.#minMs, Math.min(limitMs, 4 * (this.#meanMs + this.#deviationMs))))
  }

  get suspected (): boolean { return this.#suspected }

  /** Whoever is told to probe reports with {@link Patience.probed}. */
  stance (): Stance {
    if (!this.#suspected) return 'wait'
    const now = this.#clock()
    if (now < this.#nextProbeAt || now < this.#probeSentAt + PROBE_LIMIT_MS) return 'skip'
    this.#probeSentAt = now
    return 'probe'
  }

  /** Somebody waited and was answered. */
  answered (latencyMs: number): void {
    this.#learn(latencyMs, USUAL_GAIN)
    if (++this.#calm === CALM) this.#pauseMs = FIRST_PAUSE_MS
  }

  /** Somebody waited in vain. */
  lapsed (): void {
    this.#calm = 0
    if (this.#suspected) return
    this.#suspected = true
    this.#postpone()
    this.#onChange(true)
  }

  /** The answer came after nobody waited any more. */
  late (latencyMs: number): void {
    this.#learn(latencyMs, LATE_GAIN)
  }

  /** `latencyMs` null: the probe failed. */
  probed (latencyMs: number | null): void {
    this.#probeSentAt = -Infinity
    if (!this.#suspected) return
    if (latencyMs !== null) this.late(latencyMs)
    if (latencyMs === null || latencyMs > this.ms) return this.#postpone()
    this.#trust()
  }

  /** The origin was called. Who waits longer for the cache than for the origin has lost already. */
  originTook (ms: number): void {
    this.#originMs = this.#originMs === null ? ms : this.#originMs + USUAL_GAIN * (ms - this.#originMs)
  }

  /** Redis is known to be back: worth the longest wait, until it has shown what it usually takes now. */
  forgive (): void {
    this.#meanMs = this.#maxMs / 4
    this.#deviationMs = 0
    this.#pauseMs = FIRST_PAUSE_MS
    this.#probeSentAt = -Infinity
    if (this.#suspected) this.#trust()
  }

  #trust (): void {
    this.#suspected = false
    this.#calm = 0
    this.#onChange(false)
  }

  #postpone (): void {
    this.#nextProbeAt = this.#clock() + this.#pauseMs
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS)
  }

  #learn (latencyMs: number, gain: number): void {
    const error = Math.min(latencyMs, this.#maxMs) - this.#meanMs
    this.#meanMs += gain * error
    this.#deviationMs += gain * (Math.abs(error) - this.#deviationMs)
  }
}
