import type { Recovered, Source } from '../source.ts'

export interface RecovererOptions {
  source: Source
  everyMs: number
  available: () => boolean
  onRecovered: (recovered: Recovered) => void
  onError: (err: unknown) => void
  random: () => number
}

/** What comes back in one call is bounded: with some, there may be more. */
const NEXT_MS = 1000

/**
 * Looks for abandoned messages from time to time. Not while Redis is away, and not at once when it is back: whoever lives renews its
 * leases first.
 */
export class Recoverer {
  readonly #options: RecovererOptions
  #timer: NodeJS.Timeout | null = null
  #stopped = false

  constructor (options: RecovererOptions) {
    this.#options = options
  }

  start (): void {
    this.#arm(0)
  }

  stop (): void {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #arm (ms: number): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => { void this.#recover() }, ms)
    this.#timer.unref()
  }

  async #recover (): Promise<void> {
    const { source, everyMs, available, onRecovered, onError, random } = this.#options
    // All consumers of a fleet start together.
    const pauseMs = everyMs * (0.75 + random() / 2)
    if (!available()) return this.#arm(pauseMs)
    try {
      const recovered = await source.recover()
      onRecovered(recovered)
      this.#arm(recovered.abandoned > 0 ? Math.min(NEXT_MS, pauseMs) : pauseMs)
    } catch (err) {
      // A consumer that ends closes its connection under a recovery that is under way.
      if (!this.#stopped) onError(err)
      this.#arm(pauseMs)
    }
  }
}
