import type { DatabaseSync } from 'node:sqlite'
import type { AdvanceRequest, EmptyPolicy, JournalEntry, JournalLimits, Position } from '../journal.ts'
import { SqliteAppend } from './append.ts'
import { SqliteLeadership } from './leadership.ts'
import { SqliteNumbering } from './numbering.ts'
import { SqliteReconcile } from './reconcile.ts'

/** A named piece of work inside a transaction. What it throws undoes it, and it alone. */
export type Operation = (...args: any[]) => unknown
export type Operations = Record<string, Operation>

export interface OperationContext {
  database: DatabaseSync
  append: SqliteAppend
  now: () => number
}

/** What the journal can do, by name, for whoever holds the database: the worker thread, or a test. */
export function createJournalOperations (database: DatabaseSync, limits: JournalLimits, now: () => number) {
  const append = new SqliteAppend(database, limits, now)
  const leadership = new SqliteLeadership(database, now)
  const numbering = new SqliteNumbering(database, leadership, append)
  const reconcile = new SqliteReconcile(database, leadership, numbering)

  const operations = {
    append: (entries: JournalEntry[]) => { append.append(entries) },
    stats: () => append.stats(),
    probe: () => {
      append.touch()
      return append.stats()
    },
    acquireLease: (owner: string, ttlMs: number) => leadership.acquire(owner, ttlMs),
    renewLease: (lease: string, leaseUntil: number) => { leadership.prove(lease, leaseUntil) },
    releaseLease: (lease: string) => { leadership.release(lease) },
    advance: (request: AdvanceRequest) => numbering.advance(request),
    terms: (lease: string) => {
      leadership.prove(lease)
      return leadership.chain().map(({ term }) => term)
    },
    reconcile: (lease: string, watermarks: { term: string, watermark: number | null }[], policy: EmptyPolicy) =>
      reconcile.reconcile(lease, watermarks, policy),
    prune: (lease: string, until: Position, limit: number) => numbering.prune(lease, until, limit),
    retireTerms: (lease: string, before: number) => {
      leadership.prove(lease)
      return leadership.retire(lease, before)
    },
    forgetTerms: (lease: string, terms: string[]) => {
      leadership.prove(lease)
      leadership.forget(terms)
    }
  } satisfies Operations
  return { operations, context: { database, append, now } satisfies OperationContext }
}
