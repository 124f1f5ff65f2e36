import type { PostgresDatabase } from './database.ts'
import { termsQuery, toTerm } from './leader-transaction.ts'
import type { Term } from './leader-transaction.ts'
import { clock } from './schema.ts'

export interface Measurement {
  pendingRows: number
  pendingBytes: number
  retainedRows: number
  retainedBytes: number
  /** Epoch ms by the clock that all tasks share; null when nothing waits. */
  oldestPendingAt: number | null
  now: number
  deadRows: number
}

/** Up to so many messages without a number are counted one by one; of more, these and a sample of the rest. */
const COUNTED_ROWS = 10_000
const SAMPLES = 100
const SAMPLE_IDS = 100
const MAX_DEAD_COUNTED = 100_000

/** What has no number yet. */
const TAIL = `WITH state AS (SELECT high, holes FROM {}.journal_state ORDER BY version DESC LIMIT 1)
  SELECT count(*) AS rows, coalesce(sum(size_bytes), 0)::bigint AS bytes, min(created_at) AS oldest, max(id) AS last, ${clock('$2')} AS now,
    (SELECT count(*) FROM (SELECT FROM {}.journal_dead_letters LIMIT ${MAX_DEAD_COUNTED}) AS dead) AS dead
  FROM (
    (SELECT id, size_bytes, created_at FROM {}.journal WHERE id > (SELECT high FROM state) ORDER BY id LIMIT $1)
    UNION ALL
    (SELECT row.id, row.size_bytes, row.created_at FROM unnest((SELECT holes FROM state)) AS hole CROSS JOIN LATERAL
      (SELECT * FROM {}.journal WHERE id >= lower(hole) AND id < upper(hole) ORDER BY id LIMIT $1) AS row LIMIT $1)) AS unnumbered`

/** What lies beyond the counted part, from windows spread over its ids: some ids have no row, or one that cannot be seen yet. */
const BEYOND = `WITH tail AS (SELECT $1::bigint AS low, max(id) AS high FROM {}.journal WHERE id > $1)
  SELECT tail.high - tail.low AS ids, count(id) AS rows, coalesce(sum(size_bytes), 0)::bigint AS bytes
  FROM tail CROSS JOIN generate_series(0, ${SAMPLES - 1}) AS n LEFT JOIN LATERAL (
    SELECT id, size_bytes FROM {}.journal WHERE id > low + n * (tail.high - low) / ${SAMPLES}
      AND id <= low + n * (tail.high - low) / ${SAMPLES} + ${SAMPLE_IDS}) AS seen ON true GROUP BY tail.high, tail.low`

/** The first numbered message that waits. */
const OLDEST_NUMBERED = `SELECT oldest.created_at FROM {}.journal_batches AS batch CROSS JOIN LATERAL (
    SELECT row.created_at FROM unnest(batch.ids) AS span CROSS JOIN LATERAL
      (SELECT id, created_at FROM {}.journal WHERE id >= lower(span) AND id < upper(span) ORDER BY id) AS row
    ORDER BY row.id OFFSET $2::bigint - greatest(batch.first_seq, $3::bigint) LIMIT 1) AS oldest
  WHERE term_id = $1 AND first_seq <= $2 AND last_seq >= $2 ORDER BY first_seq DESC LIMIT 1`

/** Takes the journal's measure: a few milliseconds, however large the backlog is. Exact while less than 10 000 messages have no number. */
export async function measure (database: PostgresDatabase, fixedNow: number | null): Promise<Measurement> {
  const { schema } = database
  return await database.transaction(async (tx) => {
    const read = async (text: string, values: unknown[] = []) => (await tx.query(text.replaceAll('{}', schema), values)).rows as any[]
    const [termRows, [tail]] = await Promise.all([read(termsQuery(schema)), read(TAIL, [COUNTED_ROWS, fixedNow])])
    const terms = termRows.map(toTerm)
    const waiting = terms.find(({ assigned, published, pruned }) => assigned.seq > Math.max(published.seq, pruned.seq))
    const [[beyond], [oldest]] = await Promise.all([
      tail.rows < COUNTED_ROWS ? [] : read(BEYOND, [tail.last]),
      waiting === undefined ? [] : read(OLDEST_NUMBERED, [waiting.id, Math.max(waiting.published.seq, waiting.pruned.seq) + 1, waiting.pruned.seq + 1])
    ])
    const share = beyond === undefined || beyond.ids === null ? 0 : beyond.ids / Math.min(beyond.ids, SAMPLES * SAMPLE_IDS)
    return {
      ...sumsOf(terms, tail.rows + Math.round((beyond?.rows ?? 0) * share), tail.bytes + Math.round((beyond?.bytes ?? 0) * share)),
      oldestPendingAt: earliest(tail.oldest, oldest?.created_at ?? null),
      now: tail.now,
      deadRows: tail.dead
    }
  })
}

function sumsOf (terms: Term[], pendingRows: number, pendingBytes: number) {
  const sums = { pendingRows, pendingBytes, retainedRows: 0, retainedBytes: 0 }
  for (const { assigned, published, pruned } of terms) {
    const start = published.seq > pruned.seq ? published : pruned
    sums.pendingRows += assigned.seq - start.seq
    sums.pendingBytes += assigned.bytes - start.bytes
    sums.retainedRows += start.seq - pruned.seq
    sums.retainedBytes += start.bytes - pruned.bytes
  }
  return sums
}

function earliest (a: number | null, b: number | null): number | null {
  return a === null || b === null ? a ?? b : Math.min(a, b)
}
