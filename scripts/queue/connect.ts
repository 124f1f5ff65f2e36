import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { QueueAdministration } from '../../services/administration/queue-administration.ts'
import type { Config } from '../../services/config/load.ts'
import { silentLogger } from '../../services/observability/logger.ts'
import { RedisGuard } from '../../services/redis/guard.ts'
import { openStore } from '../../services/registry/store.ts'
import type { Store } from '../../services/registry/store.ts'

export interface Connected {
  administration: QueueAdministration
  /** What could not be opened, for people. */
  notes: string[]
  close (): Promise<void>
}

/** A person waits: longer than a service's own deadlines, and still bounded. */
const TIMEOUT_MS = 5000

/** Opens what the configuration names. A part that cannot be opened is left out and noted. Never rejects. */
export async function connect (config: Config, queueName: string): Promise<Connected> {
  const notes: string[] = []
  const note = (err: unknown) => {
    notes.push((err as Error).message)
    return null
  }
  const [store, guard] = await Promise.all([openJournal(config).catch(note), connectRedis(config).catch(note)])
  const administration = new QueueAdministration({
    queueName,
    journal: store?.journal ?? null,
    redis: guard?.client ?? null,
    cluster: config.redis.resolution.target?.topology === 'cluster',
    transport: config.publisher.transport,
    timeoutMs: TIMEOUT_MS
  })
  return {
    administration,
    notes,
    async close () { await Promise.all([store?.close(), guard?.close()]) }
  }
}

/** A file is shared with the service that runs. One that does not exist is not made: that would only hide a wrong DATABASE_URL. */
async function openJournal ({ database, publisher }: Config): Promise<Store> {
  const { kind, path } = database
  if (kind === 'sqlite' && path === ':memory:') throw new Error('The journal is in the memory of the service: its dead letters are at GET /queue/dead-letters')
  if (kind === 'sqlite' && !existsSync(path)) throw new Error(`There is no journal: DATABASE_URL names the file ${path}, which does not exist`)
  const { maxRows, maxBytes, maxAgeMs, highRatio } = publisher
  return await openStore({ database, limits: { maxRows, maxBytes, maxAgeMs, highRatio }, logger: silentLogger })
}

async function connectRedis ({ redis }: Config): Promise<RedisGuard> {
  const { target } = redis.resolution
  if (target === null) throw new Error('Redis is disabled: set REDIS_URL to see the consumer side')
  const tls = redis.tlsCaFile === null ? {} : { ca: readFileSync(redis.tlsCaFile) }
  const guard = new RedisGuard({ target, name: 'breakwater-queue', commandTimeoutMs: TIMEOUT_MS, connectTimeoutMs: redis.connectTimeoutMs, tls })
  // A connection that fails, or does not come in time, is not waited for: the commands fail at once then and say why.
  const giveUp = new AbortController()
  const settled = new Promise<void>((resolve) => {
    guard.onReady(resolve)
    guard.client.once('error', () => resolve())
  })
  await Promise.race([settled, delay(redis.connectTimeoutMs, undefined, { signal: giveUp.signal }).catch(() => {})])
  giveUp.abort()
  return guard
}
