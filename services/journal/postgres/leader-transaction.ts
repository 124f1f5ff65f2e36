import type { SqlTransaction } from '../journal.ts'
import { formatRanges, parseRanges } from './id-ranges.ts'
import type { IdRanges } from './id-ranges.ts'
import { clock } from './schema.ts'

/** A place in a term, with the sum of the message sizes up to it. */
export interface Cursor { readonly seq: number, readonly bytes: number }

/** One term of the chain that is not retired. Its rows are those after `pruned`, up to `assigned`. */
export interface Term {
  readonly id: number
  readonly term: string
  readonly createdAt: number
  version: number
  assigned: Cursor
  published: Cursor
  pruned: Cursor
}

export interface RelayState {
  lease: string | null
  owner: string | null
  expiresAt: number
  /** Ids above are not numbered. */
  high: number
  /** Ids up to `high` that are not numbered: their transactions had not committed, or never will. */
  holes: IdRanges
}

type Row = Record<string, any>

/** One transaction under the leadership's lock: what it read, and what it is going to write in the end. */
export class LeaderTransaction {
  readonly state: Readonly<RelayState>
  /** Oldest first, with those that have numbered nothing. */
  readonly terms: Term[]
  /** Epoch ms by the clock that all tasks share. */
  readonly now: number
  readonly #tx: SqlTransaction
  readonly #schema: string
  readonly #version: number
  readonly #moved = new Set<Term>()
  #change: Partial<RelayState> | null = null

  private constructor (tx: SqlTransaction, schema: string, state: Row, terms: Row[]) {
    this.#tx = tx
    this.#schema = schema
    this.#version = state.version
    this.now = state.now
    this.state = { lease: state.lease, owner: state.owner, expiresAt: state.expires_at, high: state.high, holes: parseRanges(state.holes) }
    this.terms = terms.map(toTerm)
  }

  static async begin (tx: SqlTransaction, schema: string, fixedNow: number | null): Promise<LeaderTransaction> {
    const [, state, terms] = await Promise.all([
      // A statement of its own: what follows must see what the transaction before has committed.
      tx.query(`SELECT pg_advisory_xact_lock('${schema}.journal_state'::regclass::oid::bigint)`, []),
      tx.query(`SELECT *, holes::text AS holes, ${clock('$1')} AS now FROM ${schema}.journal_state ORDER BY version DESC LIMIT 1`, [fixedNow]),
      tx.query(termsQuery(schema), [])
    ])
    return new LeaderTransaction(tx, schema, state.rows[0]!, terms.rows)
  }

  /** Terms that have numbered anything, oldest first. */
  get chain (): Term[] {
    return this.terms.filter(({ assigned }) => assigned.seq > 0)
  }

  find (name: string): Term | undefined {
    return this.terms.find(({ term }) => term === name)
  }

  /** A term that has nothing left, but still its place in the order. */
  async findRetired (name: string): Promise<{ id: number } | undefined> {
    const [row] = await this.query('SELECT id FROM {}.journal_terms WHERE term = $1', [name])
    return row as { id: number } | undefined
  }

  /** Reads. `{}` stands for the schema. */
  async query (text: string, values: unknown[] = []): Promise<Row[]> {
    return (await this.#tx.query(text.replaceAll('{}', this.#schema), values)).rows
  }

  /** Writes, without waiting: an error fails the commit. `{}` stands for the schema. */
  write (text: string, values: unknown[]): void {
    this.query(text, values).catch(() => {})
  }

  changeState (change: Partial<RelayState>): void {
    this.#change = { ...this.#change, ...change }
  }

  move (term: Term, cursors: Partial<Pick<Term, 'assigned' | 'published' | 'pruned'>>): void {
    Object.assign(term, cursors)
    this.#moved.add(term)
  }

  /** New versions of what has changed, without waiting. */
  save (): void {
    for (const term of this.#moved) this.#saveTerm(term)
    if (this.#change === null) return
    const { lease, owner, expiresAt, high, holes } = { ...this.state, ...this.#change }
    this.write(`WITH old AS (DELETE FROM {}.journal_state WHERE version = $1)
      INSERT INTO {}.journal_state VALUES ($1::bigint + 1, $2, $3, $4, $5, $6::int8multirange)`,
    [this.#version, lease, owner, expiresAt, high, formatRanges(holes)])
  }

  #saveTerm ({ id, version, assigned, published, pruned }: Term): void {
    this.write(`WITH old AS (DELETE FROM {}.journal_cursors WHERE term_id = $1 AND version = $2)
      INSERT INTO {}.journal_cursors VALUES ($1::bigint, $2::bigint + 1, $3, $4, $5, $6, $7, $8)`,
    [id, version, assigned.seq, assigned.bytes, published.seq, published.bytes, pruned.seq, pruned.bytes])
  }
}

/** Terms that are not retired, each with the newest version of its cursors, oldest first. */
export function termsQuery (schema: string): string {
  return `SELECT t.id, t.term, t.created_at, c.* FROM ${schema}.journal_terms t LEFT JOIN LATERAL (
    SELECT * FROM ${schema}.journal_cursors WHERE term_id = t.id ORDER BY version DESC LIMIT 1) c ON true
    WHERE NOT t.retired ORDER BY t.id`
}

export function toTerm (row: Row): Term {
  return {
    id: row.id,
    term: row.term,
    createdAt: row.created_at,
    version: row.version ?? 0,
    assigned: { seq: row.assigned_seq ?? 0, bytes: row.assigned_bytes ?? 0 },
    published: { seq: row.published_seq ?? 0, bytes: row.published_bytes ?? 0 },
    pruned: { seq: row.pruned_seq ?? 0, bytes: row.pruned_bytes ?? 0 }
  }
}
