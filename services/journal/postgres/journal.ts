import type { Logger } from '../../observability/logger.ts'
import { silentLogger } from '../../observability/logger.ts'
import type {
  AdvanceRequest, Batch, DeadLetter, DeadLetterQuery, EmptyPolicy, Journal, JournalEntry, JournalLimits, JournalStats, Position,
  Reconciliation, SqlTransaction
} from '../journal.ts'
import { PostgresAppend } from './append.ts'
import type { PostgresDatabase } from './database.ts'
import { PostgresDeadLetters, bury } from './dead-letters.ts'
import { LateCommits } from './late-commits.ts'
import { PostgresLeadership } from './leadership.ts'
import { Notifications } from './notifications.ts'
import { PostgresNumbering } from './numbering.ts'
import { JournalGauge } from './pressure.ts'
import { reconcile } from './reconcile.ts'

export interface PostgresJournalOptions {
  /** Its migrations must contain `journalMigrations`. Not closed by the journal. */
  database: PostgresDatabase
  limits: JournalLimits
  logger?: Logger
  /** Hear of other processes' messages at once, on one more connection. Default true. */
  listen?: boolean
  /** Epoch ms to use instead of the database's clock and of this process', in tests. */
  now?: () => number
}

const MAX_PRUNED_FOR_ROOM = 2000

/** The journal in PostgreSQL, shared by any number of processes. */
export class PostgresJournal implements Journal {
  readonly durability = 'cluster'
  readonly #append: PostgresAppend
  readonly #leadership: PostgresLeadership
  readonly #numbering = new PostgresNumbering(new LateCommits())
  readonly #deadLetters: PostgresDeadLetters
  readonly #gauge: JournalGauge
  readonly #notifications: Notifications
  readonly #listen: boolean
  readonly #listeners = new Set<() => void>()

  constructor ({ database, limits, logger = silentLogger, listen = true, now }: PostgresJournalOptions) {
    const fixed = now ?? null
    this.#append = new PostgresAppend(database, fixed)
    this.#leadership = new PostgresLeadership(database, { now: now ?? Date.now, fixed })
    this.#deadLetters = new PostgresDeadLetters(database)
    this.#gauge = new JournalGauge(database, limits, fixed)
    this.#notifications = new Notifications(database, logger, () => this.#wake())
    this.#listen = listen
  }

  async append (entries: JournalEntry[], within?: SqlTransaction): Promise<void> {
    if (entries.length === 0) return
    if (within === undefined) {
      await this.#gauge.admit(entries, () => this.#append.append(entries))
      this.notifyAppended()
      return
    }
    await this.appendQuietly(entries, within)
    await within.query(...this.#notifications.statement)
  }

  /**
   * Appends in a transaction of ours, which tells nobody: call `notifyAppended` after its commit. Cheaper than `append`
   * within one, because commits that notify wait for each other.
   */
  async appendQuietly (entries: JournalEntry[], within: SqlTransaction): Promise<void> {
    await this.#gauge.admit(entries, () => this.#append.insertWithin(entries, within))
  }

  /**
   * Lets `insert` put the entries into the journal's table as a part of a statement of its own, within the limits. It rejects where
   * nothing was inserted. Call `notifyAppended` after its commit.
   * @throws FST_BRK_JOURNAL_FULL
   */
  async admit (entries: JournalEntry[], insert: () => Promise<void>): Promise<void> {
    await this.#gauge.admit(entries, insert)
  }

  /** Wakes the relay of this process, and those of others. */
  notifyAppended (): void {
    this.#wake()
    this.#notifications.send()
  }

  #wake (): void {
    for (const listener of this.#listeners) listener()
  }

  onAppend (listener: () => void): () => void {
    this.#listeners.add(listener)
    if (this.#listen) this.#notifications.start()
    return () => { this.#listeners.delete(listener) }
  }

  async acquireLease (owner: string, ttlMs: number): Promise<string | null> {
    return await this.#leadership.acquire(owner, ttlMs)
  }

  async renewLease (lease: string, leaseUntil: number): Promise<void> {
    await this.#leadership.prove(lease, () => {}, leaseUntil)
  }

  async releaseLease (lease: string): Promise<void> {
    await this.#leadership.release(lease)
  }

  async advance (request: AdvanceRequest): Promise<Batch | null> {
    const excess = await this.#gauge.excessRows()
    return await this.#leadership.prove(request.lease, async (leader) => {
      const batch = await this.#numbering.advance(leader, request)
      if (request.published !== null) this.#gauge.moved()
      // Retention gives way before acceptance does: the disk is bounded, and a shorter repair window loses nothing accepted.
      if (excess > 0) this.#gauge.pruned(await this.#numbering.prune(leader, null, Math.min(excess, MAX_PRUNED_FOR_ROOM)))
      return batch
    }, request.leaseUntil)
  }

  async terms (lease: string): Promise<string[]> {
    return await this.#leadership.prove(lease, ({ chain }) => chain.map(({ term }) => term))
  }

  async reconcile (lease: string, watermarks: { term: string, watermark: number | null }[], policy: EmptyPolicy): Promise<Reconciliation> {
    this.#gauge.moved()
    return await this.#leadership.prove(lease, (leader) => reconcile(leader, watermarks, policy))
  }

  async prune (lease: string, until: Position, limit: number): Promise<number> {
    const pruned = await this.#leadership.prove(lease, (leader) => this.#numbering.prune(leader, until, limit))
    this.#gauge.pruned(pruned)
    return pruned
  }

  async retireTerms (lease: string, before: number): Promise<string[]> {
    return await this.#leadership.retire(lease, before)
  }

  async forgetTerms (lease: string, terms: string[]): Promise<void> {
    await this.#leadership.forget(lease, terms)
  }

  async bury (lease: string, position: Position, reason: string, attempts: number): Promise<void> {
    this.#numbering.forget()
    await this.#leadership.prove(lease, (leader) => bury(leader, position, reason, attempts))
    this.#numbering.forget()
  }

  async deadLetters (query: DeadLetterQuery): Promise<DeadLetter[]> {
    return await this.#deadLetters.list(query)
  }

  async replayDeadLetters (ids: string[]): Promise<string[]> {
    const replayed = await this.#deadLetters.remove(ids, (letters, tx) => this.appendQuietly(letters, tx))
    if (replayed.length > 0) this.notifyAppended()
    return replayed
  }

  async purgeDeadLetters (ids: string[]): Promise<string[]> {
    return await this.#deadLetters.remove(ids)
  }

  /** PostgreSQL looks after its log by itself. */
  async checkpoint (): Promise<void> {}

  async stats (): Promise<JournalStats> {
    return await this.#gauge.stats()
  }

  /** Stops listening. The database is closed by its owner. */
  close (): void {
    this.#notifications.close()
  }
}
