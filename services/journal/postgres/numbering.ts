import type { AdvanceRequest, Batch, Position } from '../journal.ts'
import { formatRanges, rangesOf } from './id-ranges.ts'
import type { LateCommits } from './late-commits.ts'
import type { Cursor, LeaderTransaction, Term } from './leader-transaction.ts'
import { MAX_BATCH_ROWS, cursorAt, idsAfter } from './positions.ts'

interface Row { id: number, body: string, size_bytes: number }

/** Reads rows of `source` (ordered by `n`, with columns of the journal) until `$2` bytes are full; the first always fits. */
const bounded = (source: string) => `SELECT id, body, size_bytes FROM (
    SELECT *, sum(size_bytes) OVER by_n AS running, row_number() OVER by_n AS place FROM (${source}) AS source WINDOW by_n AS (ORDER BY n)) AS sized
  WHERE running <= $2 OR place = 1 ORDER BY n`

/** What has no number, above `$3`. */
export const UNNUMBERED = bounded('SELECT id AS n, * FROM {}.journal WHERE id > $3 ORDER BY id LIMIT $1')

const UNNUMBERED_WITH_HOLES = bounded(`SELECT id AS n, * FROM (
    (SELECT row.* FROM unnest($4::int8multirange) AS hole CROSS JOIN LATERAL
      (SELECT * FROM {}.journal WHERE id >= lower(hole) AND id < upper(hole) ORDER BY id LIMIT $1) AS row ORDER BY row.id LIMIT $1)
    UNION ALL (SELECT * FROM {}.journal WHERE id > $3 ORDER BY id LIMIT $1)) AS found ORDER BY id LIMIT $1`)

const NUMBERED = bounded(`SELECT n, row.* FROM unnest($3::bigint[]) WITH ORDINALITY AS wanted (id, n)
    JOIN {}.journal AS row USING (id) ORDER BY n LIMIT $1`)

export const PRUNE = `WITH gone AS (DELETE FROM {}.journal WHERE id = ANY($1::bigint[]) RETURNING size_bytes)
  SELECT coalesce(sum(size_bytes), 0)::bigint AS bytes FROM gone`

/** The relay's side of the journal: numbers what it can see, in insert order, and hands out batches (I4). */
export class PostgresNumbering {
  readonly #late: LateCommits
  /** Where the last batches ended: the next call says that they are published. */
  #ends: { term: string, cursor: Cursor }[] = []

  constructor (late: LateCommits) {
    this.#late = late
  }

  async advance (leader: LeaderTransaction, request: AdvanceRequest): Promise<Batch | null> {
    if (request.published !== null) await this.#markPublished(leader, request.published)
    return await this.#nextNumbered(leader, request) ?? await this.#numberNew(leader, request)
  }

  async #markPublished (leader: LeaderTransaction, { term: name, seq }: Position): Promise<void> {
    const term = leader.find(name)
    if (term === undefined || seq <= term.published.seq) return
    const target = Math.min(seq, term.assigned.seq)
    const known = this.#ends.find((end) => end.term === name && end.cursor.seq === target)?.cursor
    leader.move(term, { published: known ?? await cursorAt(leader, term, target) })
  }

  /** Rows that have numbers already, this term's or an earlier one's, go first. */
  async #nextNumbered (leader: LeaderTransaction, { after, maxRows, maxBytes }: AdvanceRequest): Promise<Batch | null> {
    const { chain } = leader
    const start = after === null ? 0 : chain.findIndex(({ term }) => term === after.term)
    for (const term of chain.slice(Math.max(start, 0))) {
      const from = Math.max(term.published.seq, term.pruned.seq, after?.term === term.term ? after.seq : 0)
      if (from >= term.assigned.seq) continue
      const ids = await idsAfter(leader, term, from, Math.min(maxRows, MAX_BATCH_ROWS))
      const rows = await leader.query(NUMBERED, [maxRows, maxBytes, ids]) as Row[]
      return toBatch(leader, term, from + 1, rows)
    }
    return null
  }

  async #numberNew (leader: LeaderTransaction, { lease, maxRows, maxBytes }: AdvanceRequest): Promise<Batch | null> {
    const limit = Math.min(maxRows, MAX_BATCH_ROWS)
    const { high } = leader.state
    const holes = await this.#late.due(leader)
    const rows = (holes.length === 0
      ? await leader.query(UNNUMBERED, [limit, maxBytes, high])
      : await leader.query(UNNUMBERED_WITH_HOLES, [limit, maxBytes, high, formatRanges(holes)])) as Row[]
    const ids = rows.map(({ id }) => id)
    this.#late.scanned(leader, ids, rows.length < limit)
    if (rows.length === 0) return null
    const term = leader.find(lease)!
    const first = term.assigned.seq + 1
    const assigned = { seq: term.assigned.seq + rows.length, bytes: term.assigned.bytes + sum(rows) }
    leader.write('INSERT INTO {}.journal_batches VALUES ($1, $2, $3, $4::int8multirange, $5)',
      [term.id, first, assigned.seq, formatRanges(rangesOf(ids)), assigned.bytes])
    leader.move(term, { assigned })
    return this.#remember(term, toBatch(leader, term, first, rows))
  }

  #remember (term: Term, batch: Batch): Batch {
    this.#ends = [...this.#ends.slice(-3), { term: term.term, cursor: term.assigned }]
    return batch
  }

  /** Sums of bytes have changed. */
  forget (): void {
    this.#ends = []
  }

  /** Deletes published rows, oldest first, up to `until` where it is given. */
  async prune (leader: LeaderTransaction, until: Position | null, limit: number): Promise<number> {
    const last = until === null ? leader.terms.at(-1) : leader.find(until.term) ?? await leader.findRetired(until.term)
    if (last === undefined) return 0
    let pruned = 0
    for (const term of leader.chain) {
      if (term.id > last.id || pruned >= limit) break
      const target = term.id === last.id && until !== null ? Math.min(until.seq, term.published.seq) : term.published.seq
      pruned += await this.#pruneTerm(leader, term, Math.min(target - term.pruned.seq, limit - pruned))
    }
    return pruned
  }

  async #pruneTerm (leader: LeaderTransaction, term: Term, count: number): Promise<number> {
    if (count <= 0) return 0
    const { pruned } = term
    const ids = await idsAfter(leader, term, pruned.seq, count)
    const [gone] = await leader.query(PRUNE, [ids])
    const seq = pruned.seq + ids.length
    leader.write('DELETE FROM {}.journal_batches WHERE term_id = $1 AND first_seq > $2 AND first_seq <= $3 AND last_seq <= $3',
      [term.id, pruned.seq - MAX_BATCH_ROWS, seq])
    leader.move(term, { pruned: { seq, bytes: pruned.bytes + gone!.bytes } })
    return ids.length
  }
}

function toBatch (leader: LeaderTransaction, term: Term, first: number, rows: Row[]): Batch {
  const previous = leader.chain.filter(({ id }) => id < term.id).at(-1)
  return {
    term: term.term,
    first,
    last: first + rows.length - 1,
    bodies: rows.map(({ body }) => body.toString()),
    previous: previous === undefined ? null : { term: previous.term, seq: previous.assigned.seq }
  }
}

function sum (rows: Row[]): number {
  return rows.reduce((total, { size_bytes: size }) => total + size, 0)
}
