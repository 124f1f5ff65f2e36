import { slotKey } from './keys.ts'

/** Messages in each of the queue's places. */
export interface QueueDepths { waiting: number, processing: number, delayed: number, dead: number }

/** What the look needs of a Redis client. */
export interface DepthClient {
  llen (key: string): Promise<number>
  zcard (key: string): Promise<number>
  xlen (key: string): Promise<number>
  xinfo (subcommand: 'GROUPS', key: string): Promise<unknown>
}

/** A few commands, none of which depends on how many messages there are. */
export async function readDepths (client: DepthClient, queue: string, transport: 'list' | 'stream' = 'list'): Promise<QueueDepths> {
  return transport === 'list' ? await readList(client, queue) : await readStream(client, queue)
}

async function readList (client: DepthClient, queue: string): Promise<QueueDepths> {
  const [waiting, processing, delayed, dead] = await Promise.all([
    client.llen(queue), client.llen(`${queue}:processing`), client.zcard(slotKey(queue, 'delayed')), client.llen(`${queue}:dlq`)
  ])
  return { waiting, processing, delayed, dead }
}

/** `waiting` are all entries, read ones that were not trimmed yet included; `processing` are those in hand, in all groups. */
async function readStream (client: DepthClient, queue: string): Promise<QueueDepths> {
  const stream = slotKey(queue, 'stream')
  const [waiting, groups, delayed, dead] = await Promise.all([
    client.xlen(stream), client.xinfo('GROUPS', stream).catch(noStream), client.zcard(slotKey(queue, 'stream-delayed')), client.llen(`${queue}:dlq`)
  ])
  return { waiting, processing: pending(groups as unknown[][]), delayed, dead }
}

/** Before the first message there is no stream to ask. */
function noStream (err: Error): unknown[] {
  if (/no such key/.test(err.message)) return []
  throw err
}

function pending (groups: unknown[][]): number {
  return groups.reduce((sum, fields) => sum + Number(fields[fields.indexOf('pending') + 1]), 0)
}
