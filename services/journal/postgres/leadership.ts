import { randomUUIDv7 } from 'node:crypto'
import { LeaseLost } from '../errors.ts'
import type { SqlTransaction } from '../journal.ts'
import type { PostgresDatabase } from './database.ts'
import { LeaderTransaction } from './leader-transaction.ts'
import type { Term } from './leader-transaction.ts'

/** An expiry further ahead than this was written by a clock that has since been set back. */
const LONGEST_LEASE_MS = 60_000

/** What the caller's clock is compared with: durations are taken from it, points in time are the database's. */
export interface LeadershipClock {
  /** The caller's epoch ms. */
  now (): number
  /** The time to use instead of the database's, in tests. */
  fixed: (() => number) | null
}

/**
 * The lease and the chain of terms. What leadership changes happens one transaction after the other, under a lock that ends
 * with the transaction; each proves the lease, so a holder that was frozen or is late does no harm.
 */
export class PostgresLeadership {
  readonly #database: PostgresDatabase
  readonly #clock: LeadershipClock

  constructor (database: PostgresDatabase, clock: LeadershipClock) {
    this.#database = database
    this.#clock = clock
  }

  async acquire (owner: string, ttlMs: number): Promise<string | null> {
    return await this.#transaction(async (leader) => {
      const { state } = leader
      const plausible = state.expiresAt <= leader.now + Math.max(ttlMs, LONGEST_LEASE_MS)
      if (state.owner !== null && state.expiresAt > leader.now && plausible) return null
      const term = randomUUIDv7()
      leader.changeState({ lease: term, owner, expiresAt: leader.now + ttlMs })
      leader.write('DELETE FROM {}.journal_terms WHERE id = ANY($1::bigint[])', [leader.terms.filter(isUnused).map(({ id }) => id)])
      leader.write('INSERT INTO {}.journal_terms (term, created_at) VALUES ($1, $2)', [term, leader.now])
      return term
    })
  }

  /** Proves the lease, extends it to `leaseUntil` (the caller's epoch ms) if given, and does the work. @throws {LeaseLost} */
  async prove<T> (lease: string, work: (leader: LeaderTransaction) => Promise<T> | T, leaseUntil?: number): Promise<T> {
    return await this.#transaction(async (leader) => {
      const { state } = leader
      if (state.lease !== lease || state.owner === null) throw new LeaseLost()
      if (leaseUntil !== undefined) leader.changeState({ expiresAt: leader.now + leaseUntil - this.#clock.now() })
      return await work(leader)
    })
  }

  async release (lease: string): Promise<void> {
    await this.prove(lease, (leader) => leader.changeState({ lease: null, owner: null, expiresAt: 0 }))
  }

  async retire (lease: string, before: number): Promise<string[]> {
    return await this.prove(lease, async (leader) => {
      const createdBefore = leader.now + before - this.#clock.now()
      const due = leader.terms.filter((term) => term.term !== lease && term.createdAt < createdBefore &&
        term.published.seq === term.assigned.seq && term.pruned.seq === term.assigned.seq)
      if (due.length > 0) leader.write('UPDATE {}.journal_terms SET retired = true WHERE id = ANY($1::bigint[])', [due.map(({ id }) => id)])
      const rows = await leader.query('SELECT term FROM {}.journal_terms WHERE retired ORDER BY id')
      return rows.map(({ term }) => term as string)
    })
  }

  async forget (lease: string, terms: string[]): Promise<void> {
    await this.prove(lease, (leader) => {
      leader.write(`WITH gone AS (DELETE FROM {}.journal_terms WHERE term = ANY($1) AND retired RETURNING id)
        DELETE FROM {}.journal_cursors WHERE term_id IN (SELECT id FROM gone)`, [terms])
    })
  }

  async #transaction<T> (work: (leader: LeaderTransaction) => Promise<T>): Promise<T> {
    return await this.#database.transaction(async (tx: SqlTransaction) => {
      const leader = await LeaderTransaction.begin(tx, this.#database.schema, this.#clock.fixed?.() ?? null)
      const result = await work(leader)
      leader.save()
      return result
    })
  }
}

function isUnused (term: Term): boolean {
  return term.assigned.seq === 0
}
