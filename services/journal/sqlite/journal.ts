import { TransactionUnsupported } from '../errors.ts'
import type {
  AdvanceRequest, Batch, DeadLetter, DeadLetterQuery, Durability, EmptyPolicy, Journal, JournalEntry, JournalStats, Position,
  Reconciliation, SqlTransaction
} from '../journal.ts'
import type { SqliteEngine } from './engine.ts'

/** The journal on SQLite: each call is one request to the engine, and shares its transaction with its neighbours. */
export class SqliteJournal implements Journal {
  readonly durability: Durability
  readonly #engine: Pick<SqliteEngine, 'run'>
  readonly #listeners = new Set<() => void>()

  constructor (engine: Pick<SqliteEngine, 'run'>, durability: Durability) {
    this.#engine = engine
    this.durability = durability
  }

  async append (entries: JournalEntry[], within?: SqlTransaction): Promise<void> {
    if (within !== undefined) throw new TransactionUnsupported()
    await this.#engine.run('append', entries.flatMap(({ key, body }) => [key, body]))
    this.notifyAppended()
  }

  /** For operations of other rooms that append within their own transaction. */
  notifyAppended (): void {
    for (const listener of this.#listeners) listener()
  }

  onAppend (listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  acquireLease (owner: string, ttlMs: number): Promise<string | null> {
    return this.#engine.run('acquireLease', owner, ttlMs)
  }

  renewLease (lease: string, leaseUntil: number): Promise<void> {
    return this.#engine.run('renewLease', lease, leaseUntil)
  }

  releaseLease (lease: string): Promise<void> {
    return this.#engine.run('releaseLease', lease)
  }

  advance (request: AdvanceRequest): Promise<Batch | null> {
    return this.#engine.run('advance', request)
  }

  terms (lease: string): Promise<string[]> {
    return this.#engine.run('terms', lease)
  }

  reconcile (lease: string, watermarks: { term: string, watermark: number | null }[], policy: EmptyPolicy): Promise<Reconciliation> {
    return this.#engine.run('reconcile', lease, watermarks, policy)
  }

  prune (lease: string, until: Position, limit: number): Promise<number> {
    return this.#engine.run('prune', lease, until, limit)
  }

  retireTerms (lease: string, before: number): Promise<string[]> {
    return this.#engine.run('retireTerms', lease, before)
  }

  forgetTerms (lease: string, terms: string[]): Promise<void> {
    return this.#engine.run('forgetTerms', lease, terms)
  }

  bury (lease: string, position: Position, reason: string, attempts: number): Promise<void> {
    return this.#engine.run('bury', lease, position, reason, attempts)
  }

  deadLetters (query: DeadLetterQuery): Promise<DeadLetter[]> {
    return this.#engine.run('deadLetters', query)
  }

  async replayDeadLetters (ids: string[]): Promise<string[]> {
    const replayed = await this.#engine.run<string[]>('replayDeadLetters', ids)
    if (replayed.length > 0) this.notifyAppended()
    return replayed
  }

  purgeDeadLetters (ids: string[]): Promise<string[]> {
    return this.#engine.run('purgeDeadLetters', ids)
  }

  checkpoint (): Promise<void> {
    return this.#engine.run('checkpoint')
  }

  stats (): Promise<JournalStats> {
    return this.#engine.run('stats')
  }
}
