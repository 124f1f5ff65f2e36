import type { Journal, Position } from '../journal/journal.ts'
import { Retention } from './retention.ts'
import type { Transport } from './transport/transport.ts'

export interface HousekeepingOptions {
  journal: Journal
  transport: Pick<Transport, 'forget'>
  retentionMs: number
  /** A round of it begins so often. */
  checkMs: number
  now?: () => number
}

/**
 * What the leader does besides publishing: deleting what retention no longer needs, dropping old terms. Every round goes in slices of
 * one small transaction, which fit between two batches, so that a queue which never rests is kept as tidy as an idle one.
 */
export class Housekeeping {
  readonly #options: Required<HousekeepingOptions>
  readonly #retention: Retention
  #next: 'prune' | 'terms' | null = null
  #roundAt: number
  #pruned = 0

  constructor (options: HousekeepingOptions) {
    this.#options = { now: Date.now, ...options }
    this.#retention = new Retention(options.journal, options.retentionMs, this.#options.now)
    this.#roundAt = this.#options.now()
  }

  /** Everything up to `position` is in the queue now. */
  published (position: Position): void {
    this.#retention.mark(position)
  }

  /** Does the next slice of what is due, if anything. Returns whether another one waits. */
  async slice (lease: string): Promise<boolean> {
    const now = this.#options.now()
    if (this.#next === null) {
      if (now - this.#roundAt < this.#options.checkMs) return false
      this.#roundAt = now
      this.#next = 'prune'
    }
    try {
      this.#next = await this.#do(this.#next, lease)
    } catch (err) {
      this.#next = null
      throw err
    }
    return this.#next !== null
  }

  /** For a moment of rest: moves what a round has changed out of the write-ahead log. */
  async settle (): Promise<void> {
    if (this.#pruned === 0) return
    this.#pruned = 0
    await this.#options.journal.checkpoint()
  }

  async #do (what: 'prune' | 'terms', lease: string): Promise<'prune' | 'terms' | null> {
    if (what === 'terms') {
      await this.#retention.retireTerms(lease, (terms) => this.#options.transport.forget(terms))
      return null
    }
    const count = await this.#retention.prune(lease, this.#roundAt)
    this.#pruned += count
    return count > 0 ? 'prune' : 'terms'
  }
}
