import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { JournalLimits } from '../journal.ts'
import { executeGroup } from './group.ts'
import type { Outcome, Request } from './group.ts'
import { createJournalOperations } from './operations.ts'
import type { OperationContext, Operations } from './operations.ts'
import { journalMigrations, migrate } from './schema.ts'
import type { Migration } from './schema.ts'

/** Another room's tables and operations in the same database, so that they share the journal's transactions. */
export interface StoreModule {
  migrations: Migration[]
  createOperations (context: OperationContext): Operations
}

export interface DatabaseOptions {
  /** File path, or `:memory:`. Missing folders are created. */
  path: string
  limits: JournalLimits
  /** URLs of modules that export a {@link StoreModule} as `storeModule`. */
  modules: string[]
}

/** The open database with everything it can do; synchronous, for the thread that owns it. */
export class JournalDatabase {
  readonly #database: DatabaseSync
  readonly #operations: Operations

  constructor ({ path, limits }: DatabaseOptions, modules: StoreModule[], now: () => number = Date.now) {
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true })
    this.#database = new DatabaseSync(path, { timeout: 5000 })
    migrate(this.#database, [...journalMigrations, ...modules.flatMap(({ migrations }) => migrations)])
    const { operations, context } = createJournalOperations(this.#database, limits, now)
    this.#operations = Object.assign({}, operations, ...modules.map((module) => module.createOperations(context)))
  }

  execute (requests: Request[]): Outcome[] {
    const outcomes = executeGroup(this.#database, this.#operations, requests.filter(isTransactional))
    return requests.map((request) => isTransactional(request) ? outcomes.shift()! : this.#checkpoint())
  }

  /** Moves the write-ahead log into the database file; outside any transaction, or SQLite refuses. */
  #checkpoint (): Outcome {
    this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)')
    return { ok: true, value: undefined }
  }

  close (): void {
    this.#database.close()
  }
}

function isTransactional ({ operation }: Request): boolean {
  return operation !== 'checkpoint'
}
