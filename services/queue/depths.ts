import { slotKey } from './keys.ts'

/** Messages in each of the queue's places. */
export interface QueueDepths { waiting: number, processing: number, delayed: number, dead: number }

/** What the look needs of a Redis client. */
export interface DepthClient {
  llen (key: string): Promise<number>
  zcard (key: string): Promise<number>
}

/** Four commands, none of which depends on how many messages there are. */
export async function readDepths (client: DepthClient, queue: string): Promise<QueueDepths> {
  const [waiting, processing, delayed, dead] = await Promise.all([
    client.llen(queue), client.llen(`${queue}:processing`), client.zcard(slotKey(queue, 'delayed')), client.llen(`${queue}:dlq`)
  ])
  return { waiting, processing, delayed, dead }
}
