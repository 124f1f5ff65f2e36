import type { DatabaseSync } from 'node:sqlite'
import type { AdvanceRequest, DeadLetterQuery, EmptyPolicy, JournalLimits, Position } from '../journal.ts'
import { SqliteAppend } from './append.ts'
import { SqliteDeadLetters } from './dead-letters.ts'
import { SqliteLeadership } from './leadership.ts'
import { SqliteNumbering } from './numbering.ts'
import { SqlitePruning } from './pruning.ts'
import { SqliteReconcile } from './reconcile.ts'
import { SqliteTotals } from './totals.ts'

/** A named piece of work inside a transaction. What it throws undoes it, and it alone. */
export type Operation = (...args: any[]) => unknown
export type Operations = Record<string, Operation>

/** What is kept in memory during a transaction, and must be written before its commit or forgotten with it. */
export interface Unwritten {
  begin (): void
  /** Writes it all. */
  write (): void
  /** A point to return to when what follows is undone. */
  mark (): () => void
}

export interface OperationContext {
  database: DatabaseSync
  append: SqliteAppend
  now: () => number
}

/** What the journal can do, by name, for whoever holds the database: the worker thread, or a test. */
export function createJournalOperations (database: DatabaseSync, limits: JournalLimits, now: () => number) {
  const totals = new SqliteTotals(database)
  const leadership = new SqliteLeadership(database, now)
  const pruning = new SqlitePruning(database, leadership, totals)
  const append = new SqliteAppend(database, limits, now, totals, pruning)
  const numbering = new SqliteNumbering(database, leadership, totals, append.pressure)
  const reconcile = new SqliteReconcile(database, leadership, numbering)
  const deadLetters = new SqliteDeadLetters(database, leadership, totals, append, now)

  const operations = {
    append: (keysAndBodies: string[]) => { append.append(keysAndBodies) },
    stats: () => append.stats(),
    probe: () => {
      append.touch()
      return append.stats()
    },
    acquireLease: (owner: string, ttlMs: number) => leadership.acquire(owner, ttlMs),
    renewLease: (lease: string, leaseUntil: number) => { leadership.prove(lease, leaseUntil) },
    releaseLease: (lease: string) => { leadership.release(lease) },
    advance: (request: AdvanceRequest) => {
      append.flush()
      return numbering.advance(request)
    },
    terms: (lease: string) => {
      leadership.prove(lease)
      return leadership.chain().map(({ term }) => term)
    },
    reconcile: (lease: string, watermarks: { term: string, watermark: number | null }[], policy: EmptyPolicy) =>
      reconcile.reconcile(lease, watermarks, policy),
    prune: (lease: string, until: Position, limit: number) => pruning.prune(lease, until, limit),
    retireTerms: (lease: string, before: number) => {
      leadership.prove(lease)
      return leadership.retire(lease, before)
    },
    forgetTerms: (lease: string, terms: string[]) => {
      leadership.prove(lease)
      leadership.forget(terms)
    },
    bury: (lease: string, position: Position, reason: string, attempts: number) => { deadLetters.bury(lease, position, reason, attempts) },
    deadLetters: (query: DeadLetterQuery) => deadLetters.list(query),
    replayDeadLetters: (ids: string[]) => deadLetters.replay(ids),
    purgeDeadLetters: (ids: string[]) => deadLetters.purge(ids)
  } satisfies Operations

  const unwritten: Unwritten = {
    begin: () => {
      append.discard()
      totals.begin()
    },
    write: () => {
      append.flush()
      totals.store()
    },
    mark: () => {
      const restore = totals.mark()
      return () => {
        append.discard()
        restore()
      }
    }
  }
  return { operations, unwritten, context: { database, append, now } satisfies OperationContext }
}
