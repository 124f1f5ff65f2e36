import type { JournalStats } from '../journal/journal.ts'
import { answered, reasonOf } from './consumer-side/client.ts'
import type { QueueClient } from './consumer-side/client.ts'
import type { DeadLetterJournal } from './journal-source.ts'
import type { QueueKeys } from './consumer-side/keys.ts'

/** Null: not known now; `unavailable` says why. */
export interface Overview {
  queue: string
  /** Messages in the list. */
  waiting: number | null
  /** Entries of the stream, for the stream transport; those that are read included. */
  stream: number | null
  processing: number | null
  /** Messages that wait for their next attempt. */
  delayed: number | null
  dead_letters: {
    publish: number | null
    consume: number | null
    /** Replays across slots of a cluster that were interrupted; the next replay or purge finishes them. */
    interrupted: number | null
  }
  journal: {
    pending_rows: number
    pending_bytes: number
    oldest_pending_age_ms: number
    retained_rows: number
    retained_bytes: number
    pressure: JournalStats['pressure']
  } | null
  unavailable: { part: string, reason: string }[]
}

export interface OverviewSources {
  queue: string
  keys: QueueKeys
  journal: DeadLetterJournal | null
  redis: QueueClient | null
  timeoutMs: number
}

/** Every part is asked at once and has a deadline of its own; one that fails leaves the others. Never rejects. */
export async function readOverview ({ queue, keys, journal, redis, timeoutMs }: OverviewSources): Promise<Overview> {
  const unavailable: Overview['unavailable'] = []
  const read = async <T>(part: string, call: () => Promise<T>): Promise<T | null> => {
    try {
      return await answered(call(), timeoutMs)
    } catch (err) {
      unavailable.push({ part, reason: reasonOf(err) })
      return null
    }
  }
  const count = async (part: string, call: (client: QueueClient) => Promise<number>[]): Promise<number | null> => {
    if (redis === null) {
      unavailable.push({ part, reason: 'Redis is disabled' })
      return null
    }
    return await read(part, async () => (await Promise.all(call(redis))).reduce((sum, one) => sum + one, 0))
  }
  const [stats, waiting, stream, processing, delayed, consume, interrupted] = await Promise.all([
    journal === null ? null : read('journal', () => journal.stats()),
    count('waiting', (client) => [client.llen(keys.queue)]),
    count('stream', (client) => [client.xlen(keys.stream)]),
    count('processing', (client) => keys.processing.map((key) => client.llen(key))),
    count('delayed', (client) => [client.zcard(keys.delayed)]),
    count('dead_letters.consume', (client) => keys.places.map(({ list }) => client.llen(list))),
    count('dead_letters.interrupted', (client) => keys.places.map(({ moving }) => client.hlen(moving)))
  ])
  if (journal === null) unavailable.push({ part: 'journal', reason: 'There is no journal at hand' })
  return {
    queue, waiting, stream, processing, delayed, dead_letters: { publish: stats?.deadRows ?? null, consume, interrupted }, journal: journalPart(stats), unavailable
  }
}

function journalPart (stats: JournalStats | null): Overview['journal'] {
  if (stats === null) return null
  return {
    pending_rows: stats.pendingRows,
    pending_bytes: stats.pendingBytes,
    oldest_pending_age_ms: stats.oldestPendingAgeMs,
    retained_rows: stats.retainedRows,
    retained_bytes: stats.retainedBytes,
    pressure: stats.pressure
  }
}
