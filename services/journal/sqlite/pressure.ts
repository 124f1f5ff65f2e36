import type { DatabaseSync } from 'node:sqlite'
import type { JournalLimits, JournalPressure } from '../journal.ts'
import type { Totals } from './totals.ts'

const SAMPLE_MS = 1000
const DEFAULT_HIGH_RATIO = 0.8

/** How near the journal is to its limits. The age of the oldest message is looked up at most once a second while the relay rests. */
export class SqlitePressure {
  readonly #limits: JournalLimits
  readonly #now: () => number
  readonly #oldest
  #sample: { at: number, createdAt: number | null } | null = null

  constructor (database: DatabaseSync, limits: JournalLimits, now: () => number) {
    this.#limits = limits
    this.#now = now
    this.#oldest = database.prepare(`SELECT created_at FROM journal WHERE id > coalesce(
      (SELECT base_id + published_seq FROM terms WHERE published_seq < assigned_seq ORDER BY id LIMIT 1), ?) ORDER BY id LIMIT 1`)
  }

  /** Whether messages of this sum would exceed a limit. */
  refuses (totals: Totals, rows: number, bytes: number): boolean {
    const { maxRows, maxBytes } = this.#limits
    return totals.pending_rows + rows > maxRows || totals.pending_bytes + bytes > maxBytes || this.#tooOld(totals)
  }

  #tooOld (totals: Totals): boolean {
    const { maxAgeMs } = this.#limits
    if (maxAgeMs == null) return false
    const now = this.#now()
    const fresh = this.#sample !== null && now >= this.#sample.at && now - this.#sample.at < SAMPLE_MS
    return (fresh ? this.#ageOf(this.#sample!.createdAt) : this.oldestAgeMs(totals)) > maxAgeMs
  }

  /** Looks the oldest pending message up, among the rows that have been written. */
  oldestAgeMs (totals: Totals): number {
    const row = this.#oldest.get(totals.last_numbered_id) as { created_at: number } | undefined
    this.#sample = { at: this.#now(), createdAt: row?.created_at ?? null }
    return this.#ageOf(this.#sample.createdAt)
  }

  #ageOf (createdAt: number | null): number {
    return createdAt === null ? 0 : Math.max(0, this.#now() - createdAt)
  }

  /** The oldest message may be another one now. */
  forget (): void {
    this.#sample = null
  }

  level (totals: Totals, oldestAgeMs: number): JournalPressure {
    const { maxRows, maxBytes, maxAgeMs, highRatio = DEFAULT_HIGH_RATIO } = this.#limits
    const share = Math.max(totals.pending_rows / maxRows, totals.pending_bytes / maxBytes, maxAgeMs == null ? 0 : oldestAgeMs / maxAgeMs)
    if (totals.pending_rows >= maxRows || totals.pending_bytes >= maxBytes || (maxAgeMs != null && oldestAgeMs > maxAgeMs)) return 'full'
    return share >= highRatio ? 'high' : 'none'
  }
}
