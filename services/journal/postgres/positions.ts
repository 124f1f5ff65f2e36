import { idsFrom, parseRanges } from './id-ranges.ts'
import type { Cursor, LeaderTransaction, Term } from './leader-transaction.ts'

/** So many messages at most are numbered together; lookups rely on it to find where to begin. */
export const MAX_BATCH_ROWS = 1000

/** Ids of the rows that have the numbers after `from`, in order, `count` at most. They are still there: `from` is not below the pruned ones. */
export async function idsAfter (leader: LeaderTransaction, term: Term, from: number, count: number): Promise<number[]> {
  // The lower bound keeps the search off the entries of batches that were pruned long ago.
  const batches = await leader.query(`SELECT first_seq, ids::text AS ids FROM {}.journal_batches
    WHERE term_id = $1 AND first_seq > $2 AND last_seq > $3 ORDER BY first_seq LIMIT $4`, [term.id, from - MAX_BATCH_ROWS, from, count])
  const ids: number[] = []
  for (const { first_seq: first, ids: ranges } of batches) {
    const skipped = Math.max(0, from + 1 - first)
    ids.push(...idsFrom(parseRanges(ranges), skipped, count - ids.length))
  }
  return ids
}

/** The cursor that stands at `seq`, between the pruned and the assigned one. */
export async function cursorAt (leader: LeaderTransaction, term: Term, seq: number): Promise<Cursor> {
  const known = [term.assigned, term.published, term.pruned].find((cursor) => cursor.seq === seq)
  if (known !== undefined) return known
  const [batch] = await leader.query(`SELECT last_seq, bytes_to FROM {}.journal_batches
    WHERE term_id = $1 AND first_seq <= $2 ORDER BY first_seq DESC LIMIT 1`, [term.id, seq])
  const rest = await idsAfter(leader, term, seq, batch!.last_seq - seq)
  const [{ bytes } = { bytes: 0 }] = rest.length === 0
    ? []
    : await leader.query('SELECT sum(size_bytes)::bigint AS bytes FROM {}.journal WHERE id = ANY($1::bigint[])', [rest])
  return { seq, bytes: batch!.bytes_to - bytes }
}
