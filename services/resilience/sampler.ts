import { Attempt } from './attempt.ts'
import { Deadlines } from './deadlines.ts'
import { SamplerHungError, SamplerOptionError, SamplerStoppedError, SamplerTimeoutError } from './errors.ts'
import { Listeners } from './listeners.ts'
import { functionRule, numberRule, parseOptions, stringRule } from './options.ts'

export interface SamplerOptions<T> {
  name: string
  /** Must settle when its signal aborts, at the deadline or when the sampler stops. */
  check: (signal: AbortSignal) => Promise<T>
  /** Pause between two samples in ms. Default 2000. */
  intervalMs?: number | undefined
  /** Deadline of one check in ms. Default 500. */
  timeoutMs?: number | undefined
  /** The pause varies by this share, so that many processes do not check in step. Default 0.1. */
  jitter?: number | undefined
  /** Called after each sample. */
  onResult?: ((sample: Sample<T>) => void) | undefined
  /** Monotonic time in ms. Default `performance.now`. */
  clock?: (() => number) | undefined
  /** In [0, 1). Default `Math.random`. */
  random?: (() => number) | undefined
}

export interface Sample<T> {
  readonly status: 'ok' | 'failed' | 'unknown'
  readonly value: T | null
  readonly error: Error | null
  /** When it was finished, in ms since 1970; 0 before the first. */
  readonly at: number
  readonly latencyMs: number
}

export interface SamplerReading<T> extends Sample<T> {
  /** Infinity before the first sample. */
  readonly ageMs: number
  /** Older than two intervals and a timeout: the sampler does not run, or cannot. The status is then `unknown`. */
  readonly stale: boolean
}

type Settings<T> = { readonly [Name in keyof SamplerOptions<T>]-?: NonNullable<SamplerOptions<T>[Name]> }

const rules = {
  name: stringRule(undefined, 'It names the check in errors.'),
  check: functionRule(undefined, 'It takes an AbortSignal and returns a promise.'),
  intervalMs: numberRule(2000, 1, 86_400_000, 'Give milliseconds, for example 2000.'),
  timeoutMs: numberRule(500, 1, 86_400_000, 'Give milliseconds, for example 500.'),
  jitter: numberRule(0.1, 0, 1, 'Give a share, not per cent: 0.1 is up to a tenth more or less.'),
  onResult: functionRule(() => {}, 'It takes the sample.'),
  clock: functionRule(() => performance.now(), 'It returns milliseconds that never go back, as performance.now does.'),
  random: functionRule(Math.random, 'It returns a number from 0 to below 1, as Math.random does.')
}

/** So many calls that outlived their deadline may hang before further ones are spaced out, ever wider up to 2^10 intervals. */
const hungLimit = 8
const widestGap = 10

/**
 * Calls a check again and again, one call at a time, and keeps the last result. A check that never settles fails at its
 * deadline and is left behind; its late result is ignored. Keeps no process alive.
 *
 * @throws FST_BRK_SAMPLER_OPTION from the constructor.
 */
export class Sampler<T> {
  readonly name: string
  readonly #options: Settings<T>
  readonly #deadlines: Deadlines
  readonly #results: Listeners<Sample<T>>
  readonly #changes: Listeners<Sample<T>>
  #sample: Sample<T> = { status: 'unknown', value: null, error: null, at: 0, latencyMs: 0 }
  #takenAt = -Infinity
  #started = false
  #timer: NodeJS.Timeout | undefined
  #running: Promise<Sample<T>> | null = null
  #attempt: Attempt<T> | null = null
  #hung = 0
  #skipped = 0

  constructor (options: SamplerOptions<T>) {
    this.#options = parseOptions(rules, options, SamplerOptionError, ['name', 'check']) as unknown as Settings<T>
    this.name = this.#options.name
    this.#deadlines = new Deadlines(this.#options.timeoutMs)
    this.#results = new Listeners(`onResult of the sampler "${this.name}"`)
    this.#changes = new Listeners(`A change listener of the sampler "${this.name}"`)
    this.#results.add(this.#options.onResult)
  }

  /** The last result and its age. No I/O. */
  get current (): SamplerReading<T> {
    const ageMs = this.#options.clock() - this.#takenAt
    const stale = this.#isStale(ageMs)
    return { ...this.#sample, status: stale ? 'unknown' : this.#sample.status, ageMs, stale }
  }

  /** That of {@link Sampler.current} alone, without making anything: for those who ask thousands of times a second. */
  get status (): Sample<T>['status'] {
    return this.#isStale(this.#options.clock() - this.#takenAt) ? 'unknown' : this.#sample.status
  }

  #isStale (ageMs: number): boolean {
    const { intervalMs, timeoutMs } = this.#options
    return ageMs > 2 * intervalMs + timeoutMs
  }

  /** Called when the status of a new sample differs from that of the one before. Returns the way out. */
  onChange (listener: (sample: Sample<T>) => void): () => void {
    return this.#changes.add(listener)
  }

  /** The first sample is taken at once. Does nothing when started. */
  start (): void {
    if (this.#started) return
    this.#started = true
    this.#loop()
  }

  /** Aborts a check under way; its sample is not kept. May be started again. */
  stop (): void {
    this.#started = false
    clearTimeout(this.#timer)
    this.#attempt?.giveUp(new SamplerStoppedError(this.name))
  }

  /** A fresh sample, or the one being taken. Never rejects. */
  sampleNow (): Promise<Sample<T>> {
    if (this.#running !== null) return this.#running
    return this.#isSpacedOut() ? this.#skip() : this.#take()
  }

  #loop (): void {
    void this.sampleNow().then(() => {
      // Stopped and started again meanwhile, there may be a timer already.
      clearTimeout(this.#timer)
      if (this.#started) this.#timer = setTimeout(() => this.#loop(), this.#pauseMs()).unref()
    })
  }

  #take (): Promise<Sample<T>> {
    const { check, clock, timeoutMs } = this.#options
    const { promise, resolve } = Promise.withResolvers<Sample<T>>()
    const startedAt = clock()
    const attempt = new Attempt<T>(this.#deadlines, {
      ended: (value, error) => {
        this.#attempt = this.#running = null
        const sample: Sample<T> = { status: error === null ? 'ok' : 'failed', value, error, at: Date.now(), latencyMs: clock() - startedAt }
        this.#count(error)
        if (!(error instanceof SamplerStoppedError)) this.#keep(sample)
        resolve(sample)
      },
      late: () => { this.#hung = Math.max(0, this.#hung - 1) },
      timeoutError: () => new SamplerTimeoutError(this.name, timeoutMs)
    })
    // Set first: a check may stop the sampler before it returns.
    this.#attempt = attempt
    this.#running = promise
    attempt.start(check)
    return promise
  }

  #count (error: Error | null): void {
    if (error instanceof SamplerTimeoutError || error instanceof SamplerStoppedError) this.#hung++
    else this.#hung = this.#skipped = 0
  }

  #keep (sample: Sample<T>): void {
    const changed = sample.status !== this.#sample.status
    this.#sample = sample
    this.#takenAt = this.#options.clock()
    this.#results.tell(sample)
    if (changed) this.#changes.tell(sample)
  }

  /** Whether to leave the check alone this time. */
  #isSpacedOut (): boolean {
    if (this.#hung < hungLimit) return false
    if (this.#skipped++ < 2 ** Math.min(this.#hung - hungLimit, widestGap)) return true
    this.#skipped = 0
    return false
  }

  #skip (): Promise<Sample<T>> {
    const error = new SamplerHungError(this.name, this.#hung)
    const sample: Sample<T> = { status: 'failed', value: null, error, at: Date.now(), latencyMs: 0 }
    this.#keep(sample)
    return Promise.resolve(sample)
  }

  #pauseMs (): number {
    const { intervalMs, jitter, random } = this.#options
    return intervalMs * (1 + jitter * (2 * random() - 1))
  }
}
