import { queueKeys } from '../../consumer/list/keys.ts'
import { slotKey, watermarkKey } from '../../queue/keys.ts'

/** Who needs it. Without what is `required`, messages stay in the journal. */
export type Purpose = 'publisher' | 'notifications' | 'consumer' | 'health'

export interface Permission {
  command: string
  args: string[]
  purpose: Purpose
  /** The key or channel that it is about, as people read it. */
  subject: string
}

export interface PermissionResult {
  command: string
  subject: string
  purpose: Purpose
  /** Null: it could not be found out without doing it. */
  allowed: boolean | null
}

type Entry = readonly [command: string, subject: string, ...rest: string[]]

/** Everything that publisher and consumers send, on the keys that they send it to; the publisher's scripts run with the caller's rights. */
export function neededPermissions (queue: string, transport: 'list' | 'stream', cluster: boolean): Permission[] {
  const groups = transport === 'list' ? listEntries(queue, cluster) : streamEntries(queue, cluster)
  const watermarks = watermarkKey(queue)
  const common: Entry[] = [['EVALSHA', queue, '0'], ['EVAL', queue, '0'], ['HGET', watermarks, 'term'], ['HSET', watermarks, 'term', '1'], ['HMGET', watermarks, 'term'], ['HDEL', watermarks, 'term']]
  const all: [Purpose, Entry[]][] = [
    ['publisher', [...common, ...groups.publisher]],
    ['notifications', [['PUBLISH', `${queue}:pubsub`, '']]],
    ['health', groups.health],
    ['consumer', [...groups.consumer, ['TIME', ''], ['EXISTS', slotKey(queue, 'deduplication:id')], ['SET', slotKey(queue, 'deduplication:id'), '1', 'PX', '1']]]
  ]
  return all.flatMap(([purpose, entries]) => entries.map((entry) => permission(purpose, entry)))
}

function permission (purpose: Purpose, [command, subject, ...rest]: Entry): Permission {
  if (command === 'EVAL' || command === 'EVALSHA') return { command, subject: '', purpose, args: ['return 1', ...rest] }
  if (command === 'XREADGROUP') return { command, subject, purpose, args: [...rest, subject, '>'] }
  if (command === 'XINFO' || command === 'XGROUP') return { command, subject, purpose, args: [rest[0]!, subject, ...rest.slice(1)] }
  return { command, subject, purpose, args: subject === '' ? [] : [subject, ...rest] }
}

interface Groups { publisher: Entry[], health: Entry[], consumer: Entry[] }

function listEntries (queue: string, cluster: boolean): Groups {
  const { processing, deadLetters, claims, delayed } = queueKeys(queue, cluster)
  return {
    publisher: [['LPUSH', queue, 'x']],
    health: [['LLEN', queue], ['LLEN', processing], ['LLEN', deadLetters], ['ZCARD', delayed]],
    consumer: [
      ['BLMOVE', queue, queue, 'RIGHT', 'RIGHT', '0.01'], ['LMOVE', queue, processing, 'RIGHT', 'LEFT'], ['RPUSH', queue, 'x'],
      ['LRANGE', processing, '0', '0'], ['LREM', processing, '-1', 'x'], ['LPUSH', deadLetters, 'x'],
      ['HGET', claims, 'x'], ['HSET', claims, 'x', 'y'], ['HDEL', claims, 'x'], ['HSCAN', claims, '0'],
      ['ZADD', delayed, '1', 'x'], ['ZREM', delayed, 'x'], ['ZRANGE', delayed, '0', '0'], ['ZRANGEBYSCORE', delayed, '0', '1']
    ]
  }
}

function streamEntries (queue: string, cluster: boolean): Groups {
  const [stream, delayed] = [slotKey(queue, 'stream'), slotKey(queue, 'stream-delayed')]
  const deadLetters = queueKeys(queue, cluster).deadLetters
  return {
    publisher: [['XADD', stream, '*', 'body', 'x'], ['XLEN', stream], ['XTRIM', stream, 'MAXLEN', '1'], ['XINFO', stream, 'GROUPS'], ['XPENDING', stream, 'group'], ['XRANGE', stream, '-', '+']],
    health: [['XLEN', stream], ['ZCARD', delayed], ['LLEN', deadLetters]],
    consumer: [
      ['XGROUP', stream, 'CREATE', 'group', '$'], ['XREADGROUP', stream, 'GROUP', 'group', 'consumer', 'STREAMS'], ['XACK', stream, 'group', '0-1'],
      ['XCLAIM', stream, 'group', 'consumer', '0', '0-1'], ['XAUTOCLAIM', stream, 'group', 'consumer', '0', '0'],
      ['ZADD', delayed, '1', 'x'], ['ZREM', delayed, 'x'], ['ZRANGE', delayed, '0', '0'], ['ZRANGEBYSCORE', delayed, '0', '1'], ['LPUSH', deadLetters, 'x']
    ]
  }
}
