import type { DatabaseSync } from 'node:sqlite'
import type { Position } from '../journal.ts'
import type { SqliteLeadership } from './leadership.ts'
import type { SqliteTotals } from './totals.ts'

/** Deletes published messages, oldest first. They are a prefix of each term's range of ids, so each term takes one statement. */
export class SqlitePruning {
  readonly #leadership: SqliteLeadership
  readonly #totals: SqliteTotals
  readonly #due
  readonly #delete

  constructor (database: DatabaseSync, leadership: SqliteLeadership, totals: SqliteTotals) {
    this.#leadership = leadership
    this.#totals = totals
    this.#due = database.prepare(`SELECT count(*) AS rows, sum(size_bytes) AS bytes, max(id) AS last FROM
      (SELECT id, size_bytes FROM journal WHERE id > ? AND id <= ? ORDER BY id LIMIT ?)`)
    this.#delete = database.prepare('DELETE FROM journal WHERE id > ? AND id <= ?')
  }

  prune (lease: string, until: Position, limit: number): number {
    this.#leadership.prove(lease)
    const last = this.#leadership.find(until.term)
    return last === undefined ? 0 : this.#prune(limit, last.id, until.seq)
  }

  /** Whatever is published, whatever its age. Returns how many messages went. */
  pruneOldest (limit: number): number {
    return this.#prune(limit, Infinity, 0)
  }

  /** Up to the number given of the term given; terms before it as a whole. */
  #prune (limit: number, lastTerm: number, seq: number): number {
    let pruned = 0
    for (const term of this.#leadership.chain()) {
      if (term.id > lastTerm || pruned === limit) break
      const end = term.id === lastTerm ? Math.min(term.published_seq, seq) : term.published_seq
      pruned += this.#pruneRange(term.base_id, term.base_id + end, limit - pruned)
    }
    return pruned
  }

  #pruneRange (after: number, end: number, limit: number): number {
    const { rows, bytes, last } = this.#due.get(after, end, limit) as { rows: number, bytes: number, last: number }
    if (rows === 0) return 0
    this.#delete.run(after, last)
    this.#totals.add({ total_rows: -rows, total_bytes: -bytes })
    return rows
  }
}
