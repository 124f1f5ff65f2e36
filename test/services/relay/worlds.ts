import type { ChainableCommander, Redis } from 'ioredis'
import type { Journal } from '../../../services/journal/journal.ts'
import type { PostgresDatabase } from '../../../services/journal/postgres/database.ts'
import { PostgresJournal } from '../../../services/journal/postgres/journal.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { RedisTransport, watermarkKey } from '../../../services/relay/transport/redis-transport.ts'
import { RelaySession } from '../../../services/relay/session.ts'
import type { Transport } from '../../../services/relay/transport/transport.ts'
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

/** The real SQL and the real scripts on a real Redis. */
export async function realWorld (client: Redis, queueName: string, place = listPlace(client, queueName)): Promise<World & { close (): void }> {
  const clock = { now: 1_000_000 }
  const engine = new InlineEngine({ now: () => clock.now })
  const world = await redisWorld(client, place, new SqliteJournal(engine, 'none'), clock)
  return { ...world, close: () => engine.close() }
}

/** The same with the journal in PostgreSQL, emptied. */
export async function postgresWorld (client: Redis, queueName: string, database: PostgresDatabase): Promise<World> {
  const clock = { now: 1_000_000 }
  await emptyPostgresJournal(database)
  const journal = new PostgresJournal({ database, limits: { maxRows: 1e6, maxBytes: 1e9 }, listen: false, now: () => clock.now })
  return await redisWorld(client, listPlace(client, queueName), journal, clock)
}

/** Where a queue lies in Redis: what it takes to look at it, and to cut it back to its first `length` messages. */
export interface QueuePlace {
  transport: Transport
  key: string
  watermarks: string
  length: 'llen' | 'xlen'
  cut (transaction: ChainableCommander, length: number): void | Promise<void>
  contents (): Promise<string[]>
}

function listPlace (client: Redis, queueName: string): QueuePlace {
  return {
    transport: new RedisTransport({ client, connectionEpoch: 1, isHealthy: () => true, onReady: () => () => {} }, queueName),
    key: queueName,
    watermarks: watermarkKey(queueName),
    length: 'llen',
    cut: (transaction, length) => { transaction.ltrim(queueName, -length, -1) },
    contents: async () => (await client.lrange(queueName, 0, -1)).reverse()
  }
}

/** A failover is played by cutting the queue and its watermarks back. */
export async function redisWorld (client: Redis, place: QueuePlace, journal: Journal, clock: { now: number }): Promise<World> {
  const { transport, key, watermarks, contents } = place
  type State = { length: number, marks: Record<string, string> }
  let history: State[] = []
  await client.del(key, watermarks)

  const restore = async ({ length, marks }: State) => {
    const transaction = client.multi().del(watermarks)
    if (length === 0) transaction.del(key)
    else await place.cut(transaction, length)
    if (Object.keys(marks).length > 0) transaction.hset(watermarks, marks)
    await transaction.exec()
  }
  return {
    journal,
    queue: transport,
    clock,
    contents,
    async add (body) { await journal.append([{ key: 'model', body }]) },
    async snapshot () {
      const [[, length], [, marks]] = await client.pipeline()[place.length](key).hgetall(watermarks).exec() as [[null, number], [null, Record<string, string>]]
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
