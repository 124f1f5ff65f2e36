import type { DatabaseSync } from 'node:sqlite'
import type { AdvanceRequest, Batch, Position } from '../journal.ts'
import type { SqliteAppend } from './append.ts'
import type { SqliteLeadership, Term } from './leadership.ts'

interface Row { id: number, seq: number, body: string, size_bytes: number }

/**
 * The relay's side of the journal: numbers what is new, in insert order, and hands out batches (I4).
 * SQLite has one writer at a time, so insert order is the order in which commits became visible.
 */
export class SqliteNumbering {
  readonly #leadership: SqliteLeadership
  readonly #append: SqliteAppend
  readonly #numbered
  readonly #unnumbered
  readonly #number
  readonly #setLastNumbered
  readonly #range
  readonly #prunable

  constructor (database: DatabaseSync, leadership: SqliteLeadership, append: SqliteAppend) {
    this.#leadership = leadership
    this.#append = append
    this.#numbered = database.prepare('SELECT id, seq, body, size_bytes FROM journal WHERE term_id = ? AND seq > ? ORDER BY seq LIMIT ?')
    this.#unnumbered = database.prepare('SELECT id, 0 AS seq, body, size_bytes FROM journal WHERE id > ? ORDER BY id LIMIT ?')
    this.#number = database.prepare('UPDATE journal SET term_id = ?, seq = ? WHERE id = ?')
    this.#setLastNumbered = database.prepare('UPDATE journal_totals SET last_numbered_id = ?')
    this.#range = database.prepare(`SELECT count(*) AS rows, coalesce(sum(size_bytes), 0) AS bytes FROM journal
      WHERE term_id = ? AND seq > ? AND seq <= ?`)
    this.#prunable = database.prepare(`SELECT j.id, j.size_bytes FROM terms t JOIN journal j ON j.term_id = t.id AND j.seq <= t.published_seq
      WHERE t.id < ? OR (t.id = ? AND j.seq <= ?) ORDER BY t.id, j.seq LIMIT ?`)
  }

  advance (request: AdvanceRequest): Batch | null {
    this.#leadership.prove(request.lease, request.leaseUntil)
    if (request.published !== null) this.#markPublished(request.published)
    return this.#nextNumbered(request) ?? this.#numberNew(request)
  }

  #markPublished ({ term: name, seq }: Position): void {
    const term = this.#leadership.find(name)
    if (term === undefined || seq <= term.published_seq) return
    this.movePublished(term, Math.min(seq, term.assigned_seq))
  }

  /** Moves a term's published cursor, forwards or back, and keeps the sums true. */
  movePublished (term: Term, seq: number): number {
    const [low, high] = [Math.min(term.published_seq, seq), Math.max(term.published_seq, seq)]
    const moved = this.#range.get(term.id, low, high) as { rows: number, bytes: number }
    const sign = seq > term.published_seq ? -1 : 1
    this.#append.addTotals({ pending_rows: sign * moved.rows, pending_bytes: sign * moved.bytes })
    term.published_seq = seq
    this.#leadership.setCursors(term)
    return moved.rows
  }

  /** Rows that have numbers already, this term's or an earlier one's, go first. */
  #nextNumbered ({ after, maxRows, maxBytes }: AdvanceRequest): Batch | null {
    const chain = this.#leadership.chain()
    const start = after === null ? 0 : chain.findIndex(({ term }) => term === after.term)
    for (let index = Math.max(start, 0); index < chain.length; index++) {
      const term = chain[index]!
      const from = after?.term === term.term ? Math.max(after.seq, term.published_seq) : term.published_seq
      if (from >= term.assigned_seq) continue
      const rows = take(this.#numbered.iterate(term.id, from, maxRows), maxBytes)
      if (rows.length > 0) return toBatch(term.term, rows, chain[index - 1])
    }
    return null
  }

  #numberNew ({ lease, maxRows, maxBytes }: AdvanceRequest): Batch | null {
    const lastNumbered = this.#append.totals().last_numbered_id
    const rows = take(this.#unnumbered.iterate(lastNumbered, maxRows), maxBytes)
    if (rows.length === 0) return null
    const term = this.#leadership.find(lease)!
    for (const row of rows) {
      row.seq = ++term.assigned_seq
      this.#number.run(term.id, row.seq, row.id)
    }
    this.#leadership.setCursors(term)
    this.#setLastNumbered.run(rows.at(-1)!.id)
    const chain = this.#leadership.chain()
    return toBatch(term.term, rows, chain[chain.findIndex(({ id }) => id === term.id) - 1])
  }

  prune (lease: string, until: Position, limit: number): number {
    this.#leadership.prove(lease)
    const term = this.#leadership.find(until.term)
    if (term === undefined) return 0
    const rows = this.#prunable.all(term.id, term.id, until.seq, limit) as unknown as { id: number, size_bytes: number }[]
    return this.#append.deleteRows(rows).rows
  }
}

/** As many rows as fit into `maxBytes`, and always the first. No further row is read (I9). */
function take (rows: Iterable<unknown>, maxBytes: number): Row[] {
  const taken: Row[] = []
  let bytes = 0
  for (const row of rows as Iterable<Row>) {
    bytes += row.size_bytes
    if (bytes > maxBytes && taken.length > 0) break
    taken.push(row)
  }
  return taken
}

/**
 * Consecutive rows as a batch. A number may be missing where retention or a repair removed the row; the batch ends before
 * the gap, so that the queue's watermark never jumps unnoticed.
 */
function toBatch (term: string, rows: Row[], previous: Term | undefined): Batch {
  const first = rows[0]!.seq
  const gap = rows.findIndex((row, index) => row.seq !== first + index)
  const consecutive = gap === -1 ? rows : rows.slice(0, gap)
  return {
    term,
    first,
    last: first + consecutive.length - 1,
    bodies: consecutive.map(({ body }) => body),
    previous: previous === undefined ? null : { term: previous.term, seq: previous.assigned_seq }
  }
}
