import { join } from 'node:path'
import { Queue as JobQueue, RedisStorage } from '@platformatic/job-queue'
import { Queue as BullQueue } from 'bullmq'
import { Redis } from 'ioredis'
import { silentLogger } from '../../../services/observability/logger.ts'
import { openPostgresStore } from '../../../services/registry/postgres-store.ts'
import { openSqliteStore } from '../../../services/registry/store.ts'
import type { Store } from '../../../services/registry/store.ts'
import { startPostgres } from '../../../test/helpers/postgres-server.ts'
import { temporaryDirectory } from '../../../test/helpers/temporary.ts'
import type { Cleanup } from '../service.ts'
import { message } from './measure.ts'

export interface Contender {
  name: string
  durable: boolean
  /** How many messages one call takes. */
  messages: number
  call (): Promise<unknown>
}

const BULK = 100
const limits = { maxRows: 1e7, maxBytes: 1e11 }

/** Our journals: what they accept is on the disk. */
export async function journals (cleanup: Cleanup): Promise<Contender[]> {
  const directory = await temporaryDirectory(cleanup)
  const postgres = await startPostgres(cleanup, { fsync: true })
  const sqlite = await openSqliteStore({ path: join(directory, 'bench.db'), limits })
  cleanup.teardown(() => sqlite.close())
  const shared = await openPostgresStore({ connection: postgres.url, limits, logger: silentLogger })
  cleanup.teardown(() => shared.close())
  return [journal('breakwater, SQLite', sqlite), journal('breakwater, PostgreSQL', shared)]
}

function journal (name: string, store: Store): Contender {
  return {
    name,
    durable: true,
    messages: 1,
    call () {
      const { id, body } = message()
      return store.journal.append([{ key: `model-${Number(id) % 64}`, body }])
    }
  }
}

/** The libraries people use instead, as they come, all on one Redis. */
export async function peers (cleanup: Cleanup, url: string, suffix = '', durable = false): Promise<Contender[]> {
  const connection = { host: '127.0.0.1', port: Number(new URL(url).port) }
  const bull = new BullQueue('bench', { connection })
  await bull.waitUntilReady()
  cleanup.teardown(() => bull.close())
  const storage = new RedisStorage({ url })
  const jobs = new JobQueue<{ body: string }, unknown>({ storage })
  await storage.connect()
  cleanup.teardown(() => storage.disconnect())
  const redis = new Redis(url)
  cleanup.teardown(() => redis.disconnect())
  const named = (name: string, messages: number, call: () => Promise<unknown>): Contender => ({ name: `${name}${suffix}`, durable, messages, call })
  return [
    named('BullMQ add', 1, () => bull.add('event', { body: message().body })),
    named(`BullMQ addBulk(${BULK})`, BULK, () => bull.addBulk(Array.from({ length: BULK }, () => ({ name: 'event', data: { body: message().body } })))),
    named('platformatic job-queue enqueue', 1, () => {
      const { id, body } = message()
      return jobs.enqueue(id, { body })
    }),
    named('bare LPUSH', 1, () => redis.lpush('bench:list', message().body))
  ]
}
