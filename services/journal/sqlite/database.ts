import { mkdirSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { JournalLimits } from '../journal.ts'
import { FileIdentity, saveAside } from './file-identity.ts'
import { executeGroup, failure } from './group.ts'
import type { Executor, Outcome, Request } from './group.ts'
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
  readonly #options: DatabaseOptions
  readonly #modules: StoreModule[]
  readonly #now: () => number
  #database!: DatabaseSync
  #executor!: Executor
  #file!: FileIdentity

  constructor (options: DatabaseOptions, modules: StoreModule[], now: () => number = Date.now) {
    this.#options = options
    this.#modules = modules
    this.#now = now
    this.#open()
  }

  #open (): void {
    const { path, limits } = this.#options
    if (path !== ':memory:') mkdirSync(dirname(path), { recursive: true })
    const database = new DatabaseSync(path, { timeout: 5000 })
    migrate(database, [...journalMigrations, ...this.#modules.flatMap(({ migrations }) => migrations)])
    const { operations, unwritten, context } = createJournalOperations(database, limits, this.#now)
    const all: Operations = Object.assign({}, operations, ...this.#modules.map((module) => module.createOperations(context)))
    this.#database = database
    this.#executor = { database, operations: all, unwritten }
    this.#file = new FileIdentity(path)
  }

  /** @throws when the file was replaced by another: nothing of these requests is acknowledged then, and the handle is closed */
  execute (requests: Request[]): Outcome[] {
    const outcomes = executeGroup(this.#executor, requests.filter(isTransactional))
    try {
      this.#stayAtPath()
    } catch (err) {
      // As long as the handle is open it holds what was accepted, and the next group tries again.
      if (!this.#database.isOpen) throw err
      return requests.map(() => failure(err))
    }
    return requests.map((request) => isTransactional(request) ? outcomes.shift()! : this.#checkpoint())
  }

  /** What was committed must be found at the path, or it must not be acknowledged. */
  #stayAtPath (): void {
    const state = this.#file.state()
    if (state === 'same') return
    const { path } = this.#options
    mkdirSync(dirname(path), { recursive: true })
    const copy = saveAside(this.#database, state === 'deleted' ? `${path}.restored` : `${path}.replaced-${this.#now()}`)
    this.#database.close()
    this.#file.removeFormerLog()
    if (state === 'deleted') {
      renameSync(copy, path)
      this.#open()
      return
    }
    throw new Error(`its file was replaced by another; what the former one held is in ${copy}`)
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
