import type { Redis } from 'ioredis'
import type { Journal } from '../../../services/journal/journal.ts'
import type { PostgresDatabase } from '../../../services/journal/postgres/database.ts'
import { PostgresJournal } from '../../../services/journal/postgres/journal.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { RedisTransport, watermarkKey } from '../../../services/relay/transport/redis-transport.ts'
import { RelaySession } from '../../../services/relay/session.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { emptyPostgresJournal } from '../../helpers/postgres-journal.ts'
import { LEASE_MS, ModelJournal, ModelQueue, ModelRelay } from './protocol-model.ts'
import type { Sabotage } from './protocol-model.ts'
import type { RelayFactory, World } from './schedule.ts'

export function modelWorld (sabotage?: Sabotage): World {
  const clock = { now: 1_000_000 }
  const journal = new ModelJournal(() => clock.now)
  const queue = new ModelQueue(sabotage)
  let history: { length: number, marks: Map<string, number> }[] = []
  return {
    journal,
    queue,
    clock,
    async add (body) { journal.add(body) },
    async contents () { return queue.list },
    async snapshot () { history.push({ length: queue.list.length, marks: new Map(queue.marks) }) },
    async failover (back) {
      history = history.slice(0, Math.max(1, history.length - back))
      const state = history.at(-1)!
      queue.list.length = state.length
      queue.marks = new Map(state.marks)
    },
    async flush () {
      history = [{ length: 0, marks: new Map() }]
      queue.list = []
      queue.marks.clear()
    }
  }
}

/** The real SQL and the real scripts on a real Redis. A failover is played by cutting the list and the hash back. */
export async function realWorld (client: Redis, queueName: string): Promise<World & { close (): void }> {
  const clock = { now: 1_000_000 }
  const engine = new InlineEngine({ now: () => clock.now })
  const world = await redisWorld(client, queueName, new SqliteJournal(engine, 'none'), clock)
  return { ...world, close: () => engine.close() }
}

/** The same with the journal in PostgreSQL, emptied. */
export async function postgresWorld (client: Redis, queueName: string, database: PostgresDatabase): Promise<World> {
  const clock = { now: 1_000_000 }
  await emptyPostgresJournal(database)
  const journal = new PostgresJournal({ database, limits: { maxRows: 1e6, maxBytes: 1e9 }, listen: false, now: () => clock.now })
  return await redisWorld(client, queueName, journal, clock)
}

async function redisWorld (client: Redis, queueName: string, journal: Journal, clock: { now: number }): Promise<World> {
  const queue = new RedisTransport({ client, connectionEpoch: 1, isHealthy: () => true, onReady: () => () => {} }, queueName)
  const watermarks = watermarkKey(queueName)
  let history: { length: number, marks: Record<string, string> }[] = []
  await client.del(queueName, watermarks)

  const restore = async ({ length, marks }: { length: number, marks: Record<string, string> }) => {
    const transaction = client.multi().del(watermarks)
    if (length === 0) transaction.del(queueName)
    else transaction.ltrim(queueName, -length, -1)
    if (Object.keys(marks).length > 0) transaction.hset(watermarks, marks)
    await transaction.exec()
  }
  return {
    journal,
    queue,
    clock,
    async add (body) { await journal.append([{ key: 'model', body }]) },
    async contents () { return (await client.lrange(queueName, 0, -1)).reverse() },
    async snapshot () {
      const [[, length], [, marks]] = await client.pipeline().llen(queueName).hgetall(watermarks).exec() as [[null, number], [null, Record<string, string>]]
      history.push({ length, marks: { ...marks } })
    },
    async failover (back) {
      history = history.slice(0, Math.max(1, history.length - back))
      await restore(history.at(-1)!)
    },
    async flush () {
      history = [{ length: 0, marks: {} }]
      await restore(history[0]!)
    }
  }
}

export const modelRelay: RelayFactory = (journal, queue, lease, now) => new ModelRelay(journal, queue, lease, now)

export const realRelay: RelayFactory = (journal, transport, lease, now) => new RelaySession({
  journal: journal as any, transport: transport as any, lease, leaseMs: LEASE_MS, emptyPolicy: 'replay', maxRows: 3, now
})
