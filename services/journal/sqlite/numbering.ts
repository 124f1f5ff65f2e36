import type { DatabaseSync } from 'node:sqlite'
import type { AdvanceRequest, Batch, Position } from '../journal.ts'
import type { SqliteLeadership, Term } from './leadership.ts'
import type { SqlitePressure } from './pressure.ts'
import type { SqliteTotals } from './totals.ts'

interface Row { id: number, body: string, size_bytes: number }

/**
 * The relay's side of the journal: numbers what is new, in insert order, and hands out batches (I4).
 * SQLite has one writer at a time, so ids are dense in the order in which commits became visible: a term owns a range of ids, and
 * numbering is moving the end of that range.
 */
export class SqliteNumbering {
  readonly #leadership: SqliteLeadership
  readonly #totals: SqliteTotals
  readonly #pressure: SqlitePressure
  readonly #rows
  readonly #range

  constructor (database: DatabaseSync, leadership: SqliteLeadership, totals: SqliteTotals, pressure: SqlitePressure) {
    this.#leadership = leadership
    this.#totals = totals
    this.#pressure = pressure
    this.#rows = database.prepare('SELECT id, body, size_bytes FROM journal WHERE id > ? AND id <= ? ORDER BY id LIMIT ?')
    this.#range = database.prepare('SELECT count(*) AS rows, coalesce(sum(size_bytes), 0) AS bytes FROM journal WHERE id > ? AND id <= ?')
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

  /** Moves a term's published cursor, forwards or back, and keeps the sums true. Returns over how many messages. */
  movePublished (term: Term, seq: number): number {
    const [low, high] = [Math.min(term.published_seq, seq), Math.max(term.published_seq, seq)]
    const moved = this.#range.get(term.base_id + low, term.base_id + high) as { rows: number, bytes: number }
    const sign = seq > term.published_seq ? -1 : 1
    this.#totals.add({ pending_rows: sign * moved.rows, pending_bytes: sign * moved.bytes })
    this.#pressure.forget()
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
      const rows = take(this.#rows.iterate(term.base_id + from, term.base_id + term.assigned_seq, maxRows), maxBytes)
      if (rows.length > 0) return toBatch(term, rows, chain[index - 1])
    }
    return null
  }

  #numberNew ({ lease, maxRows, maxBytes }: AdvanceRequest): Batch | null {
    const { last_numbered_id: lastNumbered } = this.#totals.read()
    const rows = take(this.#rows.iterate(lastNumbered, Number.MAX_SAFE_INTEGER, maxRows), maxBytes)
    if (rows.length === 0) return null
    const term = this.#leadership.find(lease)!
    if (term.assigned_seq === 0) term.base_id = lastNumbered
    const lastId = rows.at(-1)!.id
    term.assigned_seq = lastId - term.base_id
    this.#leadership.setCursors(term)
    this.#totals.add({ last_numbered_id: lastId - lastNumbered })
    const chain = this.#leadership.chain()
    return toBatch(term, rows, chain[chain.findIndex(({ id }) => id === term.id) - 1])
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
function toBatch (term: Term, rows: Row[], previous: Term | undefined): Batch {
  const first = rows[0]!.id
  const gap = rows.findIndex(({ id }, index) => id !== first + index)
  const consecutive = gap === -1 ? rows : rows.slice(0, gap)
  return {
    term: term.term,
    first: first - term.base_id,
    last: first - term.base_id + consecutive.length - 1,
    bodies: consecutive.map(({ body }) => body),
    previous: previous === undefined ? null : { term: previous.term, seq: previous.assigned_seq }
  }
}
