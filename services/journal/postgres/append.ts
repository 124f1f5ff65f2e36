import type { JournalEntry, SqlTransaction } from '../journal.ts'
import { BYTEA, TEXT, binaryArray } from './binary-array.ts'
import type { PostgresDatabase } from './database.ts'
import { StatementRejected } from './database.ts'
import { EntryRejected } from './errors.ts'
import { clock } from './schema.ts'

interface Pending {
  entries: JournalEntry[]
  resolve (): void
  reject (reason: Error): void
}

const MAX_GROUP_ROWS = 1024
const MAX_GROUP_BYTES = 8 * 1024 * 1024

/**
 * The accepting side: what arrived while the last INSERT ran is the next one, so that its round trip and its fsync are shared,
 * and entries keep the order in which they were given.
 */
export class PostgresAppend {
  readonly #database: PostgresDatabase
  readonly #fixedNow: (() => number) | null
  #waiting: Pending[] = []
  #running = false

  constructor (database: PostgresDatabase, fixedNow: (() => number) | null) {
    this.#database = database
    this.#fixedNow = fixedNow
  }

  /** Resolves when the entries are committed. @throws {EntryRejected} for an entry that PostgreSQL cannot store, without its neighbours */
  async append (entries: JournalEntry[]): Promise<void> {
    entries.forEach(check)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ entries, resolve, reject })
    void this.#run()
    await promise
  }

  /** Inserts in the caller's transaction. Plain parameters only: the caller's library may encode others in its own way. */
  async insertWithin (entries: JournalEntry[], within: SqlTransaction): Promise<void> {
    entries.forEach(check)
    const list = entries.map(({ key, body }) => ({ key, body: Buffer.from(body).toString('base64') }))
    await within.query(`INSERT INTO ${this.#database.schema}.journal (created_at, size_bytes, key, body)
      SELECT ${clock('$2')}, octet_length(body), key, body FROM (
        SELECT n, item->>'key' AS key, decode(item->>'body', 'base64') AS body
        FROM json_array_elements($1::json) WITH ORDINALITY AS items (item, n)) AS entries ORDER BY n`,
    [JSON.stringify(list), this.#fixedNow?.() ?? null])
  }

  async #run (): Promise<void> {
    if (this.#running) return
    this.#running = true
    // Requests that came in the same turn of the event loop share a group from the start.
    await new Promise(setImmediate)
    while (this.#waiting.length > 0) await this.#insertGroup(this.#takeGroup())
    this.#running = false
  }

  #takeGroup (): Pending[] {
    let rows = 0
    let bytes = 0
    const end = this.#waiting.findIndex(({ entries }) => {
      rows += entries.length
      bytes += entries.reduce((sum, { body }) => sum + body.length, 0)
      return rows > MAX_GROUP_ROWS || bytes > MAX_GROUP_BYTES
    })
    return this.#waiting.splice(0, end === -1 ? this.#waiting.length : Math.max(1, end))
  }

  async #insertGroup (group: Pending[]): Promise<void> {
    try {
      await this.#insert(group.flatMap(({ entries }) => entries))
      for (const { resolve } of group) resolve()
    } catch (err) {
      const blame = err instanceof StatementRejected && group.length > 1
      // Something in one of them: each alone, so that only that one fails.
      if (blame) for (const pending of group) await this.#insertGroup([pending])
      else for (const { reject } of group) reject(err instanceof StatementRejected ? new EntryRejected(err.message) : err as Error)
    }
  }

  async #insert (entries: JournalEntry[]): Promise<void> {
    const keys = binaryArray(TEXT, entries.map(({ key }) => key))
    const bodies = binaryArray(BYTEA, entries.map(({ body }) => body))
    await this.#database.transaction(async (tx) => {
      void tx.query(`INSERT INTO ${this.#database.schema}.journal (created_at, size_bytes, key, body)
        SELECT ${clock('$3')}, octet_length(body), key, body FROM unnest($1::text[], $2::bytea[]) AS entries (key, body)`,
      [keys, bodies, this.#fixedNow?.() ?? null])
    })
  }
}

function check ({ key }: JournalEntry): void {
  if (key.includes('\0')) throw new EntryRejected('its key has a NUL character')
}
