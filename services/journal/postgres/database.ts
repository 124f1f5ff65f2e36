import type { QueryResult } from 'pg'
import { Deadlines } from '../../resilience/deadlines.ts'
import type { Logger } from '../../observability/logger.ts'
import { silentLogger } from '../../observability/logger.ts'
import { StoreUnavailable } from '../errors.ts'
import type { SqlTransaction } from '../journal.ts'
import { PostgresClient } from './database/client.ts'
import { FailureTranslator } from './database/failure.ts'
import { applyMigrations } from './database/migrate.ts'
import type { PostgresMigration } from './database/migrate.ts'
import { ConnectionPool } from './database/pool.ts'

export type { PostgresMigration } from './database/migrate.ts'
export { StatementRejected } from './database/failure.ts'

/** Text that shows itself to nobody by accident, such as `Secret` of services/config. */
export interface Revealable { reveal (): string }

export interface PostgresOptions {
  /** `postgres://user:password@host:5432/database`. */
  connection: Revealable | string
  /** Where the tables are. Lower-case letters, digits and `_`. Default `breakwater`. */
  schema?: string
  /** Connections of this process. Default 10. */
  poolMax?: number
  /** How long a call may take, the wait for a connection included. Default 5000 ms. */
  deadlineMs?: number
  /** Applied before the first statement, and again until it has succeeded once. Default none. */
  migrations?: PostgresMigration[]
  logger?: Logger
}

const MIGRATION_DEADLINE_MS = 60_000
const CLOSE_BUDGET_MS = 500

/**
 * A pool of connections on which nothing outlives a transaction, so that a pooler in transaction mode may stand in between.
 * Every call settles within its deadline; a connection that missed it is cut, and so are the idle ones beside it, because
 * they lead to the same dead server.
 */
export class PostgresDatabase {
  readonly schema: string
  readonly deadlineMs: number
  readonly #pool: ConnectionPool
  readonly #failures: FailureTranslator
  readonly #deadlines: Deadlines
  readonly #migrations: PostgresMigration[]
  readonly #underWay = new Set<(reason: Error) => void>()
  #migrating: Promise<void> | null = null
  #migrated: boolean
  #closing: Promise<void> | null = null

  /** @throws FST_BRK_STORE_UNAVAILABLE when the connection is not a URL, TypeError when the schema is not a plain name. */
  constructor (options: PostgresOptions) {
    const { connection, schema = 'breakwater', poolMax = 10, deadlineMs = 5000, migrations = [], logger = silentLogger } = options
    if (!/^[a-z_][a-z0-9_]{0,47}$/.test(schema)) throw new TypeError(`The schema is ${JSON.stringify(schema)}; use lower-case letters, digits and _.`)
    this.schema = schema
    this.deadlineMs = deadlineMs
    this.#migrations = migrations
    this.#migrated = migrations.length === 0
    this.#deadlines = new Deadlines(deadlineMs)
    const connectionString = typeof connection === 'string' ? connection : connection.reveal()
    this.#failures = new FailureTranslator(secretsOf(connectionString))
    this.#pool = new ConnectionPool({ connectionString, max: poolMax, connectTimeoutMs: deadlineMs, failures: this.#failures, logger })
  }

  /** One statement, in a transaction of its own. @throws {StoreUnavailable} or {StatementRejected} */
  async query<T = Record<string, any>> (text: string, values: unknown[] = []): Promise<T[]> {
    if (!this.#migrated) await this.#migrateOnce()
    return await this.#lend(this.#deadlines, async (client) => (await this.#execute(client, text, values)).rows as T[])
  }

  /**
   * Commits what `work` did, or undoes it when `work` rejects, and rejects with the same error. Statements that `work` sends
   * without waiting share a round trip, the first also with the BEGIN. READ COMMITTED: each sees what is committed by then.
   */
  async transaction<T> (work: (tx: SqlTransaction) => Promise<T>): Promise<T> {
    if (!this.#migrated) await this.#migrateOnce()
    return await this.#transaction(this.#deadlines, work)
  }

  /** Brings the database to this version; processes of other versions may be at work in it. @throws {StoreUnavailable} */
  async migrate (migrations: PostgresMigration[]): Promise<void> {
    const deadlines = new Deadlines(MIGRATION_DEADLINE_MS)
    await applyMigrations(this.schema, migrations, {
      quick: (work) => this.#transaction(this.#deadlines, work),
      patient: (work) => this.#transaction(deadlines, work)
    })
  }

  /** A connection outside the pool, for `LISTEN`. The caller ends it. @throws {StoreUnavailable} */
  async connect (): Promise<PostgresClient> {
    if (this.#closing !== null) throw new StoreUnavailable('it is closed')
    return await this.#pool.connect()
  }

  /** Lets what is under way finish, for half a second, and cuts every connection. Never rejects. */
  close (): Promise<void> {
    this.#closing ??= (async () => {
      const { promise: patience, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, CLOSE_BUDGET_MS)
      await Promise.race([this.#pool.end(), patience])
      clearTimeout(timer)
      for (const reject of this.#underWay) reject(new StoreUnavailable('it is closed'))
      this.#pool.cutAll()
    })()
    return this.#closing
  }

  /** Nothing is asked of the database before its tables are there; one that was down at the start gets them later. */
  async #migrateOnce (): Promise<void> {
    this.#migrating ??= this.migrate(this.#migrations).then(() => { this.#migrated = true }).finally(() => { this.#migrating = null })
    await this.#within(this.#deadlines, 'its tables are not ready in time', (expired) => Promise.race([this.#migrating, expired]))
  }

  async #transaction<T> (deadlines: Deadlines, work: (tx: SqlTransaction) => Promise<T>): Promise<T> {
    const { timeoutMs } = deadlines
    return await this.#lend(deadlines, async (client) => {
      const sent: Promise<QueryResult>[] = []
      const send = (text: string, values?: unknown[]) => {
        const result = this.#execute(client, text, values)
        result.catch(() => {})
        sent.push(result)
        return result
      }
      try {
        void send(`BEGIN; SET LOCAL statement_timeout = ${timeoutMs}; SET LOCAL idle_in_transaction_session_timeout = ${timeoutMs}`)
        const result = await work({ query: send })
        const { command } = await send('COMMIT')
        if (command === 'COMMIT') return result
        // A statement that nobody waited for has failed: the COMMIT was obeyed as a ROLLBACK.
        await Promise.all(sent)
        throw new StoreUnavailable('the transaction was rolled back')
      } catch (err) {
        await this.#execute(client, 'ROLLBACK').catch(() => client.destroy())
        throw err
      }
    })
  }

  async #execute (client: PostgresClient, text: string, values?: unknown[]): Promise<QueryResult> {
    try {
      return await client.query(text, values)
    } catch (err) {
      if (this.#failures.endsConnection(err)) client.destroy()
      throw this.#failures.translate(err)
    }
  }

  /** Lends a connection to `work` until the deadline, which counts from now. */
  async #lend<T> (deadlines: Deadlines, work: (client: PostgresClient) => Promise<T>): Promise<T> {
    if (this.#closing !== null) throw new StoreUnavailable('it is closed')
    return await this.#within(deadlines, 'it did not answer in time', async (expired) => {
      const client = await this.#pool.acquire(expired)
      let waiting = true
      expired.catch(() => { if (waiting) this.#pool.cut(client) })
      try {
        return await Promise.race([work(client), expired])
      } finally {
        waiting = false
        client.release(!client.open)
      }
    })
  }

  async #within<T> (deadlines: Deadlines, reason: string, work: (expired: Promise<never>) => Promise<T>): Promise<T> {
    const { promise: expired, reject } = Promise.withResolvers<never>()
    expired.catch(() => {})
    const deadline = deadlines.add(() => reject(new StoreUnavailable(reason)))
    this.#underWay.add(reject)
    try {
      return await work(expired)
    } finally {
      deadline.cancel()
      this.#underWay.delete(reject)
    }
  }
}

/** Whatever of the connection must not be read in a message, in each of its spellings. */
function secretsOf (connectionString: string): string[] {
  try {
    const { password } = new PostgresClient({ connectionString }) as { password?: string | null }
    return typeof password === 'string' && password !== '' ? [connectionString, password, encodeURIComponent(password)] : [connectionString]
  } catch {
    // The driver's own error shows the text it could not read.
    throw new StoreUnavailable('its address is not a PostgreSQL URL')
  }
}
