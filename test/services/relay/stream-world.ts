import type { Redis } from 'ioredis'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { slotKey } from '../../../services/queue/keys.ts'
import { StreamTransport } from '../../../services/relay/transport/stream-transport.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import type { World } from './schedule.ts'

type State = { length: number, marks: Record<string, string> }

/** Bodies in the stream, oldest first. */
export async function streamBodies (client: Pick<Redis, 'xrange'>, queueName: string): Promise<string[]> {
  const entries = await client.xrange(slotKey(queueName, 'stream'), '-', '+')
  return entries.map(([, fields]) => fields[1]!)
}

/** The real SQL and the real stream script on a real Redis. A failover is played by cutting the stream and the hash back. */
export async function streamWorld (client: Redis, queueName: string): Promise<World & { close (): void }> {
  const clock = { now: 1_000_000 }
  const engine = new InlineEngine({ now: () => clock.now })
  const journal = new SqliteJournal(engine, 'none')
  const queue = new StreamTransport({ client, connectionEpoch: 1, isHealthy: () => true, onReady: () => () => {} }, queueName)
  const [stream, watermarks] = [slotKey(queueName, 'stream'), slotKey(queueName, 'stream-watermark')]
  let history: State[] = []
  await client.del(stream, watermarks)

  const restore = async ({ length, marks }: State) => {
    const ids = (await client.xrange(stream, '-', '+')).map(([id]) => id).slice(length)
    const transaction = client.multi().del(watermarks)
    if (length === 0) transaction.del(stream)
    else if (ids.length > 0) transaction.xdel(stream, ...ids)
    if (Object.keys(marks).length > 0) transaction.hset(watermarks, marks)
    await transaction.exec()
  }
  return {
    journal,
    queue,
    clock,
    async add (body) { await journal.append([{ key: 'model', body }]) },
    contents: () => streamBodies(client, queueName),
    async snapshot () {
      const [[, length], [, marks]] = await client.pipeline().xlen(stream).hgetall(watermarks).exec() as [[null, number], [null, Record<string, string>]]
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
