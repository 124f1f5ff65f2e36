import type { ReadCheck, SampledCheck } from './check.ts'
import { WritesRefused } from './errors.ts'

const DATABASE_INTERVAL_MS = 2000
/** Half of the usual: its return is what operators wait for, and a PING costs nothing. */
const REDIS_INTERVAL_MS = 1000
const QUEUE_INTERVAL_MS = 5000
const DEPENDENCY_TIMEOUT_MS = 2000

export interface DatabaseProbe { check (): Promise<unknown> }
export interface JournalReader {
  /** What an accepted message survives. */
  readonly durability: string
  stats (): { pendingRows: number, pendingBytes: number, oldestPendingAgeMs: number, pressure: 'none' | 'high' | 'full' }
}
export interface RelayReader {
  stats (): { lastError: { kind: string } | null } | null
}
export interface RedisProbe {
  probe (): Promise<object>
  readonly state: { breaker: string, writes?: string, lastError: { kind: string, code: string } | null }
}
/** How Redis is reached, without addresses and secrets. */
export interface RedisFacts { tls: boolean, auth: string, topology: string }

/** Without the database nothing can be accepted. Its deadline leaves room for a disk that is busy, not broken. */
export function databaseCheck (database: DatabaseProbe): SampledCheck {
  return {
    name: 'database',
    critical: true,
    check: () => database.check(),
    intervalMs: DATABASE_INTERVAL_MS,
    timeoutMs: DEPENDENCY_TIMEOUT_MS
  }
}

/** A backlog is what the journal is for; only a full one refuses new messages, and reads go on. */
export function journalCheck (journal: JournalReader): ReadCheck {
  return {
    name: 'journal',
    critical: true,
    shedsLoad: false,
    read: () => {
      const { pressure, pendingRows, pendingBytes, oldestPendingAgeMs } = journal.stats()
      const details = { durability: journal.durability, pendingRows, pendingBytes, oldestPendingAgeMs }
      return pressure === 'full' ? { status: 'failed', kind: 'full', details } : { status: 'ok', details }
    }
  }
}

/** The soft mark before the hard one: operators hear of a backlog while everything is still accepted. */
export function backlogCheck (journal: JournalReader): ReadCheck {
  return {
    name: 'backlog',
    critical: false,
    read: () => journal.stats().pressure === 'none' ? { status: 'ok' } : { status: 'failed', kind: 'high' }
  }
}

/** Never critical: registrations are journaled while Redis is out. A Redis that refuses writes is no queue, though it answers. */
export function redisCheck (redis: RedisProbe, facts: RedisFacts | null = null): SampledCheck {
  return {
    name: 'redis',
    critical: false,
    check: async () => {
      const facts = await redis.probe()
      const { writes = 'closed', lastError } = redis.state
      if (writes !== 'closed') throw new WritesRefused(lastError?.code ?? 'unknown')
      return facts
    },
    describe: () => {
      const { breaker, writes, lastError } = redis.state
      return { ...facts, breaker, ...writes === undefined ? {} : { writes }, lastError: lastError === null ? null : { kind: lastError.kind, code: lastError.code } }
    },
    intervalMs: REDIS_INTERVAL_MS,
    timeoutMs: DEPENDENCY_TIMEOUT_MS
  }
}

/** No client: either nobody asked for one, which is well, or the configuration is wrong, which is not. */
export function absentRedisCheck (state: 'disabled' | 'invalid'): ReadCheck {
  return {
    name: 'redis',
    critical: false,
    read: () => state === 'invalid' ? { status: 'failed', kind: 'configuration' } : { status: 'disabled' }
  }
}

/** How full the queue is. Fails with Redis, and where one of its keys is not what the protocol says. */
export function queueCheck (readDepths: () => Promise<object>): SampledCheck {
  return { name: 'queue', critical: false, check: readDepths, intervalMs: QUEUE_INTERVAL_MS, timeoutMs: DEPENDENCY_TIMEOUT_MS }
}

/** A Redis that answers a PING may still refuse to write: what counts is that messages arrive. */
export function relayCheck (publisher: RelayReader): ReadCheck {
  return {
    name: 'relay',
    critical: false,
    read: () => {
      const stats = publisher.stats()
      if (stats === null) return { status: 'disabled' }
      return stats.lastError === null ? { status: 'ok' } : { status: 'failed', kind: stats.lastError.kind }
    }
  }
}
