import type { DatabaseSync } from 'node:sqlite'
import type { DeadLetter, DeadLetterQuery, Position } from '../journal.ts'
import type { SqliteAppend } from './append.ts'
import type { SqliteLeadership } from './leadership.ts'
import type { SqliteTotals } from './totals.ts'

interface Row { id: number, key: string, body: string, size_bytes: number, created_at: number }

/** Messages that the queue rejected on their own merits, with the bytes that were accepted. */
export class SqliteDeadLetters {
  readonly #leadership: SqliteLeadership
  readonly #totals: SqliteTotals
  readonly #append: SqliteAppend
  readonly #now: () => number
  readonly #row
  readonly #empty
  readonly #insert
  readonly #list
  readonly #listByKey
  readonly #find
  readonly #delete

  constructor (database: DatabaseSync, leadership: SqliteLeadership, totals: SqliteTotals, append: SqliteAppend, now: () => number) {
    this.#leadership = leadership
    this.#totals = totals
    this.#append = append
    this.#now = now
    const columns = 'id, key, body, reason, attempts, accepted_at, failed_at'
    this.#row = database.prepare('SELECT id, key, body, size_bytes, created_at FROM journal WHERE id = ? AND size_bytes > 0')
    this.#empty = database.prepare("UPDATE journal SET body = '', size_bytes = 0 WHERE id = ?")
    this.#insert = database.prepare(`INSERT INTO dead_letters (key, body, size_bytes, reason, attempts, accepted_at, failed_at)
      VALUES (?, ?, ?, ?, ?, ?, ?)`)
    this.#list = database.prepare(`SELECT ${columns} FROM dead_letters WHERE id < ? ORDER BY id DESC LIMIT ?`)
    this.#listByKey = database.prepare(`SELECT ${columns} FROM dead_letters WHERE id < ? AND key = ? ORDER BY id DESC LIMIT ?`)
    this.#find = database.prepare('SELECT key, body FROM dead_letters WHERE id = ?')
    this.#delete = database.prepare('DELETE FROM dead_letters WHERE id = ?')
  }

  /** What is in the queue already, or was buried before, stays as it is. @throws {LeaseLost} */
  bury (lease: string, position: Position, reason: string, attempts: number): void {
    this.#leadership.prove(lease)
    const term = this.#leadership.find(position.term)
    if (term === undefined || position.seq <= term.published_seq || position.seq > term.assigned_seq) return
    const row = this.#row.get(term.base_id + position.seq) as Row | undefined
    if (row === undefined) return
    this.#insert.run(row.key, row.body, row.size_bytes, reason, attempts, row.created_at, this.#now())
    this.#empty.run(row.id)
    this.#totals.add({ pending_bytes: -row.size_bytes, total_bytes: -row.size_bytes, dead_rows: 1 })
  }

  list ({ limit, before = null, key = null }: DeadLetterQuery): DeadLetter[] {
    const below = before === null ? Number.MAX_SAFE_INTEGER : toId(before)
    if (below === null) return []
    const rows = key === null ? this.#list.all(below, limit) : this.#listByKey.all(below, key, limit)
    return (rows as Record<string, any>[]).map((row) => ({
      id: String(row.id),
      key: row.key,
      body: row.body,
      reason: row.reason,
      attempts: row.attempts,
      acceptedAt: row.accepted_at,
      failedAt: row.failed_at
    }))
  }

  /** In the order in which they failed. @throws {JournalFull} */
  replay (ids: string[]): string[] {
    const found = this.#known(ids)
    this.#append.append(found.flatMap(({ key, body }) => [key, body]))
    return this.#remove(found)
  }

  purge (ids: string[]): string[] {
    return this.#remove(this.#known(ids))
  }

  #known (ids: string[]): { id: number, key: string, body: string }[] {
    const wanted = [...new Set(ids.map(toId))].filter((id) => id !== null).sort((a, b) => a - b)
    return wanted.flatMap((id) => {
      const row = this.#find.get(id) as { key: string, body: string } | undefined
      return row === undefined ? [] : [{ id, key: row.key, body: row.body }]
    })
  }

  #remove (rows: { id: number }[]): string[] {
    for (const { id } of rows) this.#delete.run(id)
    this.#totals.add({ dead_rows: -rows.length })
    return rows.map(({ id }) => String(id))
  }
}

/** Null where it cannot be one of ours. */
function toId (id: string): number | null {
  return /^[1-9]\d{0,14}$/.test(id) ? Number(id) : null
}
