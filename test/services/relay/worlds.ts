import type { Redis } from 'ioredis'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { RedisTransport, watermarkKey } from '../../../services/relay/redis-transport.ts'
import { RelaySession } from '../../../services/relay/session.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
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
  const journal = new SqliteJournal(engine, 'none')
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
    },
    close: () => engine.close()
  }
}

export const modelRelay: RelayFactory = (journal, queue, lease, now) => new ModelRelay(journal, queue, lease, now)

export const realRelay: RelayFactory = (journal, transport, lease, now) => new RelaySession({
  journal: journal as any, transport: transport as any, lease, leaseMs: LEASE_MS, emptyPolicy: 'replay', maxRows: 3, now
})
