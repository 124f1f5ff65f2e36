import type { DeadLetter, DeadLetterQuery, Position, SqlTransaction } from '../journal.ts'
import type { PostgresDatabase } from './database.ts'
import type { LeaderTransaction } from './leader-transaction.ts'
import { MAX_BATCH_ROWS, idsAfter } from './positions.ts'

/**
 * Moves a message out of the queue's way: the row stays, empty, so that its number still counts. What is in the queue already,
 * or was buried before, stays as it is.
 */
export async function bury (leader: LeaderTransaction, { term: name, seq }: Position, reason: string, attempts: number): Promise<void> {
  const term = leader.find(name)
  if (term === undefined || seq <= term.published.seq || seq <= term.pruned.seq || seq > term.assigned.seq) return
  const [id] = await idsAfter(leader, term, seq - 1, 1)
  const [dead] = await leader.query(`INSERT INTO {}.journal_dead_letters (key, body, reason, attempts, accepted_at, failed_at)
    SELECT key, body, $2, $3, created_at, $4 FROM {}.journal WHERE id = $1 AND size_bytes > 0 RETURNING octet_length(body) AS bytes`,
  [id, reason.replaceAll('\0', '\uFFFD'), attempts, leader.now])
  if (dead === undefined) return
  leader.write("UPDATE {}.journal SET body = '', size_bytes = 0 WHERE id = $1", [id])
  leader.write('UPDATE {}.journal_batches SET bytes_to = bytes_to - $4 WHERE term_id = $1 AND first_seq > $2 AND last_seq >= $3',
    [term.id, seq - MAX_BATCH_ROWS, seq, dead.bytes])
  leader.move(term, { assigned: { seq: term.assigned.seq, bytes: term.assigned.bytes - dead.bytes } })
}

/** Reading and settling what was buried; no lease is needed for that. */
export class PostgresDeadLetters {
  readonly #database: PostgresDatabase
  readonly #table: string

  constructor (database: PostgresDatabase) {
    this.#database = database
    this.#table = `${database.schema}.journal_dead_letters`
  }

  async list ({ limit, before = null, key = null }: DeadLetterQuery): Promise<DeadLetter[]> {
    if (before !== null && !isId(before)) return []
    const rows = await this.#database.query(`SELECT * FROM ${this.#table} WHERE id < $2 ${key === null ? 'AND $3::text IS NULL' : 'AND key = $3'}
      ORDER BY id DESC LIMIT $1`, [limit, before ?? Number.MAX_SAFE_INTEGER, key])
    return rows.map(toDeadLetter)
  }

  /** Removes them and gives them to `settle`, in one transaction. Returns the ids that were there. */
  async remove (ids: string[], settle: (letters: DeadLetter[], tx: SqlTransaction) => Promise<void> = async () => {}): Promise<string[]> {
    return await this.#database.transaction(async (tx) => {
      const { rows } = await tx.query(`DELETE FROM ${this.#table} WHERE id = ANY($1::bigint[]) RETURNING *`, [ids.filter(isId)])
      const letters = rows.map(toDeadLetter).sort((a, b) => Number(a.id) - Number(b.id))
      if (letters.length > 0) await settle(letters, tx)
      return letters.map(({ id }) => id)
    })
  }
}

function isId (text: string): boolean {
  return /^[1-9]\d{0,14}$/.test(text)
}

function toDeadLetter (row: Record<string, any>): DeadLetter {
  return {
    id: String(row.id),
    key: row.key,
    body: row.body.toString(),
    reason: row.reason,
    attempts: row.attempts,
    acceptedAt: row.accepted_at,
    failedAt: row.failed_at
  }
}
