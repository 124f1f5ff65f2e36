import { slotKey } from '../../queue/keys.ts'

/** A list of dead letters and what lies beside it, all in one slot of a cluster. */
export interface DeadLetterPlace {
  list: string
  /** Prefix of the records that make a request safe to repeat. */
  settled: string
  /** Hash, token → element: letters on their way to a queue in another slot. */
  moving: string
  /** Sorted set of tokens by time: moves that are over. */
  moved: string
}

export type QueueTransport = 'list' | 'stream'

export interface QueueKeys {
  transport: QueueTransport
  queue: string
  /** Where a replayed message goes: the list or the stream. */
  target: string
  stream: string
  processing: string[]
  /** Sorted set of what waits for its next attempt; each transport has its own. */
  delayed: string
  /** Sorted set of tokens by time: letters from another slot that the queue has. */
  arrived: string
  places: DeadLetterPlace[]
}

/** Every key that belongs to a queue (PROTOCOL.md, "Keys"): the untagged lists of existing consumers, and those in the queue's slot. */
export function queueKeys (queue: string, transport: QueueTransport = 'list'): QueueKeys {
  const stream = slotKey(queue, 'stream')
  const both = (suffix: string) => [...new Set([`${queue}:${suffix}`, slotKey(queue, suffix)])]
  return {
    transport,
    queue,
    target: transport === 'stream' ? stream : queue,
    stream,
    processing: both('processing'),
    delayed: slotKey(queue, transport === 'stream' ? 'stream-delayed' : 'delayed'),
    arrived: slotKey(queue, 'replayed'),
    places: both('dlq').map((list) => ({
      list,
      settled: slotKey(list, 'settled'),
      moving: slotKey(list, 'moving'),
      moved: slotKey(list, 'moved')
    }))
  }
}

/** Whether one script may touch both keys in a cluster, as far as hash tags tell. */
export function sameSlot (a: string, b: string): boolean {
  return hashed(a) === hashed(b)
}

/** The part of a key that decides its slot: between the first brace and the next closing one, unless empty. */
function hashed (key: string): string {
  return /^[^{]*\{([^}]+)\}/.exec(key)?.[1] ?? key
}
