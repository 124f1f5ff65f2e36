import type { DatabaseSync } from 'node:sqlite'
import type { JournalEntry, JournalLimits, JournalStats } from '../journal.ts'
import { JournalFull } from '../errors.ts'

export interface Totals {
  pending_rows: number
  pending_bytes: number
  total_rows: number
  total_bytes: number
  last_numbered_id: number
}

const PRUNE_AHEAD_ROWS = 500

/** The accepting side of the journal: entries in, sums kept, bounds held. Runs inside the caller's transaction. */
export class SqliteAppend {
  readonly #limits: JournalLimits
  readonly #now: () => number
  readonly #insert
  readonly #totals
  readonly #addTotals
  readonly #oldestPending
  readonly #prunable
  readonly #delete

  constructor (database: DatabaseSync, limits: JournalLimits, now: () => number) {
    this.#limits = limits
    this.#now = now
    this.#insert = database.prepare('INSERT INTO journal (key, body, size_bytes, created_at) VALUES (?, ?, ?, ?)')
    this.#totals = database.prepare('SELECT * FROM journal_totals')
    this.#addTotals = database.prepare(`UPDATE journal_totals SET pending_rows = pending_rows + ?,
      pending_bytes = pending_bytes + ?, total_rows = total_rows + ?, total_bytes = total_bytes + ?`)
    this.#oldestPending = database.prepare(`SELECT min(created_at) AS at FROM (
      SELECT created_at FROM (SELECT j.created_at FROM terms t JOIN journal j ON j.term_id = t.id AND j.seq > t.published_seq
        ORDER BY t.id, j.seq LIMIT 1)
      UNION ALL
      SELECT created_at FROM (SELECT created_at FROM journal WHERE id > (SELECT last_numbered_id FROM journal_totals) ORDER BY id LIMIT 1))`)
    this.#prunable = database.prepare(`SELECT j.id, j.size_bytes FROM terms t
      JOIN journal j ON j.term_id = t.id AND j.seq <= t.published_seq ORDER BY t.id, j.seq LIMIT ?`)
    this.#delete = database.prepare('DELETE FROM journal WHERE id = ?')
  }

  /** @throws {JournalFull} when the entries do not fit below the high-water mark; nothing is stored then. */
  append (entries: JournalEntry[]): void {
    const sizes = entries.map(({ body }) => Buffer.byteLength(body))
    const bytes = sizes.reduce((sum, size) => sum + size, 0)
    this.#makeRoom(entries.length, bytes)
    const now = this.#now()
    entries.forEach(({ key, body }, index) => this.#insert.run(key, body, sizes[index]!, now))
    this.addTotals({ pending_rows: entries.length, pending_bytes: bytes, total_rows: entries.length, total_bytes: bytes })
  }

  #makeRoom (rows: number, bytes: number): void {
    const { maxRows, maxBytes } = this.#limits
    const totals = this.totals()
    if (totals.pending_rows + rows > maxRows || totals.pending_bytes + bytes > maxBytes) {
      throw new JournalFull(totals.pending_rows, totals.pending_bytes)
    }
    let { total_rows: totalRows, total_bytes: totalBytes } = totals
    // Retention gives way before acceptance does: the disk is bounded, and a shorter repair window loses nothing accepted.
    while (totalRows + rows > maxRows || totalBytes + bytes > maxBytes) {
      const freed = this.pruneOldest(Math.max(rows, PRUNE_AHEAD_ROWS))
      if (freed.rows === 0) return
      totalRows -= freed.rows
      totalBytes -= freed.bytes
    }
  }

  /** Deletes the oldest published rows. */
  pruneOldest (limit: number): { rows: number, bytes: number } {
    return this.deleteRows(this.#prunable.all(limit) as unknown as { id: number, size_bytes: number }[])
  }

  deleteRows (rows: { id: number, size_bytes: number }[]): { rows: number, bytes: number } {
    const freed = { rows: rows.length, bytes: 0 }
    for (const row of rows) {
      this.#delete.run(row.id)
      freed.bytes += row.size_bytes
    }
    if (freed.rows > 0) this.addTotals({ total_rows: -freed.rows, total_bytes: -freed.bytes })
    return freed
  }

  totals (): Totals {
    return this.#totals.get() as unknown as Totals
  }

  addTotals (delta: Partial<Totals>): void {
    this.#addTotals.run(delta.pending_rows ?? 0, delta.pending_bytes ?? 0, delta.total_rows ?? 0, delta.total_bytes ?? 0)
  }

  /** A write that changes nothing: that its commit succeeds proves that the next message would be durable. */
  touch (): void {
    this.addTotals({})
  }

  stats (): JournalStats {
    const totals = this.totals()
    const oldest = this.#oldestPending.get() as { at: number | null }
    return {
      pendingRows: totals.pending_rows,
      pendingBytes: totals.pending_bytes,
      retainedRows: totals.total_rows - totals.pending_rows,
      retainedBytes: totals.total_bytes - totals.pending_bytes,
      oldestPendingAgeMs: oldest.at === null ? 0 : Math.max(0, this.#now() - oldest.at),
      full: totals.pending_rows >= this.#limits.maxRows || totals.pending_bytes >= this.#limits.maxBytes
    }
  }
}
