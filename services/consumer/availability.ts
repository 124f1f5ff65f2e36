import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '../observability/logger.ts'
import { fullJitter } from '../resilience/backoff.ts'

const BACKOFF_BASE_MS = 50
const BACKOFF_CAP_MS = 1000

/** Whether the source answers: one log line when it stops, one when it is back, and growing pauses in between. */
export class Availability {
  readonly #logger: Logger
  readonly #random: () => number
  #failures = 0

  constructor (logger: Logger, random: () => number) {
    this.#logger = logger
    this.#random = random
  }

  get available (): boolean { return this.#failures === 0 }

  /** For what proves that messages flow again; that something else still works, or works again, proves nothing. */
  succeeded (): void {
    if (this.#failures > 0) this.#logger.info({ failures: this.#failures }, 'queue is back')
    this.#failures = 0
  }

  failed (err: unknown): void {
    if (this.#failures++ === 0) this.#logger.warn({ err }, 'queue is not available, trying again')
    else this.#logger.debug({ err }, 'queue is still not available')
  }

  /** Before the next try. Ends early when the signal is aborted; never rejects. */
  async pause (signal?: AbortSignal): Promise<void> {
    const pauseMs = fullJitter(this.#failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS, this.#random)
    await delay(Math.max(5, pauseMs), undefined, signal === undefined ? {} : { signal }).catch(() => {})
  }
}
