import type { Journal, Position } from '../journal/journal.ts'

interface Mark { at: number, position: Position }

const MARKS = 64
const PRUNE_BATCH = 500
/** A watermark outlives its rows by this: the longest time after which a frozen process might still send. */
const TERM_RETENTION_MS = 24 * 60 * 60 * 1000

/**
 * Keeps published messages for a while, because a failover may forget them, and then deletes them in small batches.
 * When each was published is remembered as a few marks in memory; after a restart what was published before counts as new.
 */
export class Retention {
  readonly #journal: Journal
  readonly #retentionMs: number
  readonly #now: () => number
  #marks: Mark[] = []

  constructor (journal: Journal, retentionMs: number, now: () => number = Date.now) {
    this.#journal = journal
    this.#retentionMs = retentionMs
    this.#now = now
  }

  /** Remembers that everything up to `position` is in the queue now. */
  mark (position: Position): void {
    const last = this.#marks.at(-1)
    const at = this.#now()
    if (last !== undefined && at - last.at < this.#retentionMs / MARKS) return
    if (last?.position.term === position.term && last.position.seq === position.seq) return
    this.#marks.push({ at, position })
  }

  /** Deletes one small batch of what was old enough at `asOf` (epoch ms). Returns how many messages went; 0: nothing is due. */
  async prune (lease: string, asOf: number): Promise<number> {
    const due = this.#marks.findLast(({ at }) => at <= asOf - this.#retentionMs)
    if (due === undefined) return 0
    const count = await this.#journal.prune(lease, due.position, PRUNE_BATCH)
    if (count < PRUNE_BATCH) this.#marks = this.#marks.filter(({ at }) => at > due.at)
    return count
  }

  /** Drops the watermarks of terms that ended long ago, first in the queue, then in the journal. */
  async retireTerms (lease: string, forget: (terms: string[]) => Promise<void>): Promise<void> {
    const retired = await this.#journal.retireTerms(lease, this.#now() - TERM_RETENTION_MS)
    if (retired.length === 0) return
    await forget(retired)
    await this.#journal.forgetTerms(lease, retired)
  }
}
