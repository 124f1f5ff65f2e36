import { randomUUIDv7 } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import { LeaseLost } from '../errors.ts'

/** One row of the chain of terms. */
export interface Term {
  id: number
  term: string
  created_at: number
  assigned_seq: number
  published_seq: number
  retired: number
  /** The id before its first message: a message's number is its id less this. */
  base_id: number
}

/** An expiry further ahead than this was written by a clock that has since been set back. */
const LONGEST_LEASE_MS = 60_000

/**
 * The lease row and the chain of terms. A row, not a lock on a session: it works for a second process on the same file
 * just as it does behind a connection pooler.
 */
export class SqliteLeadership {
  readonly #now: () => number
  readonly #lease
  readonly #setLease
  readonly #addTerm
  readonly #term
  readonly #chain
  readonly #setCursors
  readonly #deleteUnused
  readonly #retire
  readonly #retired
  readonly #forget

  constructor (database: DatabaseSync, now: () => number) {
    this.#now = now
    this.#lease = database.prepare('SELECT term, owner, expires_at FROM lease')
    this.#setLease = database.prepare('UPDATE lease SET term = ?, owner = ?, expires_at = ?')
    this.#addTerm = database.prepare('INSERT INTO terms (term, created_at) VALUES (?, ?)')
    this.#term = database.prepare('SELECT * FROM terms WHERE term = ?')
    this.#chain = database.prepare('SELECT * FROM terms WHERE retired = 0 AND assigned_seq > 0 ORDER BY id')
    this.#setCursors = database.prepare('UPDATE terms SET base_id = ?, assigned_seq = ?, published_seq = ? WHERE id = ?')
    this.#deleteUnused = database.prepare('DELETE FROM terms WHERE assigned_seq = 0')
    this.#retire = database.prepare(`UPDATE terms SET retired = 1 WHERE retired = 0 AND term <> ? AND created_at < ?
      AND published_seq = assigned_seq AND NOT EXISTS (SELECT 1 FROM journal WHERE id > base_id AND id <= base_id + assigned_seq)`)
    this.#retired = database.prepare('SELECT term FROM terms WHERE retired = 1 ORDER BY id')
    this.#forget = database.prepare('DELETE FROM terms WHERE term = ? AND retired = 1')
  }

  acquire (owner: string, ttlMs: number): string | null {
    const now = this.#now()
    const lease = this.#lease.get() as { owner: string | null, expires_at: number }
    const plausible = lease.expires_at <= now + Math.max(ttlMs, LONGEST_LEASE_MS)
    const held = lease.owner !== null && lease.expires_at > now && plausible
    if (held) return null
    const term = randomUUIDv7()
    this.#deleteUnused.run()
    this.#addTerm.run(term, now)
    this.#setLease.run(term, owner, now + ttlMs)
    return term
  }

  /** Proves the lease and extends it, within the caller's transaction. @throws {LeaseLost} */
  prove (term: string, leaseUntil?: number): void {
    const lease = this.#lease.get() as { term: string | null, owner: string | null }
    if (lease.term !== term || lease.owner === null) throw new LeaseLost()
    if (leaseUntil !== undefined) this.#setLease.run(term, lease.owner, leaseUntil)
  }

  release (term: string): void {
    this.prove(term)
    this.#setLease.run(null, null, 0)
  }

  find (term: string): Term | undefined {
    return this.#term.get(term) as unknown as Term | undefined
  }

  /** Terms that have numbered anything, oldest first. */
  chain (): Term[] {
    return this.#chain.all() as unknown as Term[]
  }

  setCursors (term: Term): void {
    this.#setCursors.run(term.base_id, term.assigned_seq, term.published_seq, term.id)
  }

  retire (current: string, before: number): string[] {
    this.#retire.run(current, before)
    return this.#retired.all().map((row) => row.term as string)
  }

  forget (terms: string[]): void {
    for (const term of terms) this.#forget.run(term)
  }
}
