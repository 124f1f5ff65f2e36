import type { BreakerSettings } from './options.ts'
import { SlidingWindow } from './sliding-window.ts'

/** What opens the circuit, or `''` for nothing. */
export type Verdict = '' | 'consecutive-failures' | 'failure-rate' | 'slow-call-rate'

/** The votes of one closed period. Only a failure or a slow call can open the circuit: a quick success never does. */
export class Votes {
  readonly #settings: BreakerSettings
  readonly #window: SlidingWindow
  #consecutive = 0

  constructor (settings: BreakerSettings) {
    this.#settings = settings
    this.#window = new SlidingWindow(settings.windowMs, settings.buckets)
  }

  get consecutiveFailures (): number {
    return this.#consecutive
  }

  addSuccess (now: number): void {
    this.#consecutive = 0
    this.#window.addSuccess(now)
  }

  addSlowSuccess (now: number): Verdict {
    this.#consecutive = 0
    this.#window.add(now, false, true)
    return this.#judgeRates(now)
  }

  addFailure (now: number, slow: boolean): Verdict {
    this.#consecutive++
    this.#window.add(now, true, slow)
    return this.#consecutive >= this.#settings.consecutiveFailures ? 'consecutive-failures' : this.#judgeRates(now)
  }

  clear (): void {
    this.#consecutive = 0
    this.#window.clear()
  }

  tally (now: number): { calls: number, failures: number, slow: number } {
    this.#window.tally(now)
    const { calls, failures, slow } = this.#window
    return { calls, failures, slow }
  }

  #judgeRates (now: number): Verdict {
    const window = this.#window
    window.tally(now)
    if (window.calls < this.#settings.minimumCalls) return ''
    if (window.failures / window.calls >= this.#settings.failureRate) return 'failure-rate'
    return window.slow / window.calls >= this.#settings.slowCallRate ? 'slow-call-rate' : ''
  }
}
