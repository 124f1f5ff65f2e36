import type { Redis } from 'ioredis'
import { slotKey } from '../../../services/queue/keys.ts'
import { StreamTransport } from '../../../services/relay/transport/stream-transport.ts'
import type { World } from './schedule.ts'
import { realWorld } from './worlds.ts'
import type { QueuePlace } from './worlds.ts'

/** Bodies in the stream, oldest first. */
export async function streamBodies (client: Pick<Redis, 'xrange'>, queueName: string): Promise<string[]> {
  const entries = await client.xrange(slotKey(queueName, 'stream'), '-', '+')
  return entries.map(([, fields]) => fields[1]!)
}

/** As the list's world, with the real stream script. */
export async function streamWorld (client: Redis, queueName: string): Promise<World & { close (): void }> {
  return await realWorld(client, queueName, streamPlace(client, queueName))
}

function streamPlace (client: Redis, queueName: string): QueuePlace {
  const key = slotKey(queueName, 'stream')
  return {
    transport: new StreamTransport({ client, connectionEpoch: 1, isHealthy: () => true, onReady: () => () => {} }, queueName),
    key,
    watermarks: slotKey(queueName, 'stream-watermark'),
    length: 'xlen',
    cut: async (transaction, length) => {
      const ids = (await client.xrange(key, '-', '+')).map(([id]) => id).slice(length)
      if (ids.length > 0) transaction.xdel(key, ...ids)
    },
    contents: () => streamBodies(client, queueName)
  }
}
