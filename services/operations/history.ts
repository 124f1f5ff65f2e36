import type { HealthStatus } from '../health/snapshot.ts'
import { Listeners } from '../resilience/listeners.ts'
import { Arrivals } from './arrivals.ts'
import { RateMeter } from './rate-meter.ts'
import type { Rates } from './rate-meter.ts'
import { observe } from './sample.ts'
import type { Figures } from './sample.ts'
import type { OperationsSources } from './sources.ts'

export type Sample = Figures & Rates
/** Sample after sample, one array for each figure: a third of the size of objects, and what charts want. */
export type Columns = { [Name in keyof Sample]: Sample[Name][] }

/** A change of the breaker's state. */
export interface BreakerChange { at: number, from: string, to: string, reason: string }

export interface HistoryOptions {
  sources: OperationsSources
  /** Between two samples. Default 2000. */
  intervalMs?: number | undefined
  /** How far back samples and changes are kept. Default 1 800 000: half an hour. */
  windowMs?: number | undefined
  /** Epoch ms. Default `Date.now`. */
  now?: (() => number) | undefined
}

const LOOK_MS = 200
/** A breaker that flaps must not fill the memory. */
const MAX_CHANGES = 500

/** The last half hour of this process, in about 900 samples. */
export class History {
  readonly intervalMs: number
  readonly windowMs: number
  readonly #sources: OperationsSources
  readonly #now: () => number
  readonly #samples: Sample[] = []
  readonly #changes: BreakerChange[]
  readonly #meter = new RateMeter()
  readonly #listeners = new Listeners<Sample>('A listener of the operations history')
  readonly #arrivals: Arrivals
  #unsubscribe: (() => void) | null = null
  #timers: NodeJS.Timeout[] = []
  #status: HealthStatus | null = null
  #since = 0

  constructor ({ sources, intervalMs = 2000, windowMs = 1_800_000, now = Date.now }: HistoryOptions) {
    this.#sources = sources
    this.intervalMs = intervalMs
    this.windowMs = windowMs
    this.#now = now
    this.#arrivals = new Arrivals(sources)
    this.#changes = sources.redis?.breaker.history.map(toChange) ?? []
  }

  /** Takes a sample now, and one every interval until `stop()`. Keeps no process alive. */
  start (): void {
    if (this.#timers.length > 0) return
    this.#unsubscribe = this.#sources.redis?.breaker.onTransition((transition) => { this.#changed(toChange(transition)) }) ?? null
    this.#timers = [
      setInterval(() => { this.sample() }, this.intervalMs).unref(),
      setInterval(() => { this.#arrivals.look() }, LOOK_MS).unref()
    ]
    this.sample()
  }

  stop (): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
    this.#unsubscribe?.()
    this.#unsubscribe = null
  }

  sample (): Sample {
    const at = this.#now()
    this.#arrivals.look()
    const { figures, counters } = observe(this.#sources, at, this.#arrivals.total)
    const sample = { ...figures, ...this.#meter.add(at, counters) }
    this.#note(sample.status, at)
    this.#samples.push(sample)
    this.#forget(at - this.windowMs)
    this.#listeners.tell(sample)
    return sample
  }

  /** Calls back after each sample. Returns the way out. */
  onSample (listener: (sample: Sample) => void): () => void {
    return this.#listeners.add(listener)
  }

  /** When the overall state became what it is: seen at most one interval late. Epoch ms. */
  since (status: HealthStatus): number {
    return this.#note(status, this.#now())
  }

  /** The breaker's changes within the window, oldest first. */
  get changes (): readonly BreakerChange[] {
    return this.#changes
  }

  columns (): Columns {
    const names = Object.keys(this.#samples[0] ?? {}) as (keyof Sample)[]
    return Object.fromEntries(names.map((name) => [name, this.#samples.map((sample) => sample[name])])) as Columns
  }

  #note (status: HealthStatus, at: number): number {
    if (status !== this.#status) {
      this.#status = status
      this.#since = at
    }
    return this.#since
  }

  #changed (change: BreakerChange): void {
    this.#changes.push(change)
    if (this.#changes.length > MAX_CHANGES) this.#changes.shift()
  }

  /** By time and by number: a clock that is set back must not let the samples pile up. */
  #forget (before: number): void {
    const limit = Math.ceil(this.windowMs / this.intervalMs)
    while (this.#samples.length > limit || (this.#samples[0]?.at ?? Infinity) < before) this.#samples.shift()
    while ((this.#changes[0]?.at ?? Infinity) < before) this.#changes.shift()
  }
}

function toChange ({ time, from, to, reason }: { time: number, from: string, to: string, reason: string }): BreakerChange {
  return { at: time, from, to, reason }
}
