import type { ReadCheck, SampledCheck } from './check.ts'

const DATABASE_INTERVAL_MS = 2000
/** Half of the usual: its return is what operators wait for, and a PING costs nothing. */
const REDIS_INTERVAL_MS = 1000
const DEPENDENCY_TIMEOUT_MS = 2000

export interface DatabaseProbe { check (): Promise<unknown> }
export interface JournalReader {
  stats (): { pendingRows: number, pendingBytes: number, oldestPendingAgeMs: number, full: boolean }
}
export interface RelayReader {
  stats (): { lastError: { kind: string } | null } | null
}
export interface RedisProbe {
  probe (): Promise<object>
}

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
      const { full, pendingRows, pendingBytes, oldestPendingAgeMs } = journal.stats()
      const details = { pendingRows, pendingBytes, oldestPendingAgeMs }
      return full ? { status: 'failed', kind: 'full', details } : { status: 'ok', details }
    }
  }
}

/** Never critical: registrations are journaled while Redis is out. */
export function redisCheck (redis: RedisProbe): SampledCheck {
  return {
    name: 'redis',
    critical: false,
    check: () => redis.probe(),
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
