import { hasFlag, list } from '@ioredis/commands'

/**
 * What a second execution of a command would do.
 *
 * - `read`: changes nothing.
 * - `idempotent`: twice leaves the same as once, unless somebody else wrote in between.
 * - `write`: adds, takes, or asks first; twice is not once. Scripts and functions too, because nobody knows.
 * - `never`: is about the connection, blocks, or administers the server.
 */
export type Category = 'read' | 'idempotent' | 'write' | 'never'

/** The last one wins, or there is nothing left to do. `SET` only without NX, XX and GET. */
const idempotent = [
  'set', 'mset', 'msetex', 'setex', 'psetex', 'setrange', 'setbit', 'del', 'unlink', 'expire', 'expireat', 'pexpire', 'pexpireat', 'persist',
  'hset', 'hmset', 'hdel', 'hexpire', 'hexpireat', 'hpexpire', 'hpexpireat', 'hpersist', 'sadd', 'srem', 'zadd', 'zrem', 'geoadd',
  'zremrangebylex', 'zremrangebyscore', 'pfadd', 'pfmerge', 'lset', 'sdiffstore', 'sinterstore', 'sunionstore', 'zdiffstore',
  'zinterstore', 'zunionstore', 'zrangestore', 'geosearchstore', 'bitop', 'xack', 'xdel', 'xtrim'
]
/** Answered by a server without a look at the data, or about itself. */
const alsoRead = ['ping', 'echo', 'time', 'info', 'role', 'lastsave', 'memory', 'object', 'xinfo', 'pubsub']
const alsoWrite = ['eval', 'evalsha', 'fcall', 'publish', 'spublish', 'sort', 'xgroup']
/** They may wait on the server. */
const blocking = ['blmove', 'blmovem', 'blmpop', 'blpop', 'brpop', 'brpoplpush', 'bzmpop', 'bzpopmax', 'bzpopmin', 'xread', 'xreadgroup']
/** The whole database at once, or between servers: whoever does that looks at the answer himself. */
const drastic = ['flushall', 'flushdb', 'swapdb', 'migrate', 'restore-asking', 'trimslots', 'pfdebug']

const categories = new Map<string, Category>()
for (const name of list) categories.set(name, hasFlag(name, 'readonly') ? 'read' : hasFlag(name, 'write') ? 'write' : 'never')
for (const name of idempotent) categories.set(name, 'idempotent')
for (const name of alsoRead) categories.set(name, 'read')
for (const name of alsoWrite) categories.set(name, 'write')
for (const name of [...blocking, ...drastic]) categories.set(name, 'never')

/** Words that make an idempotent command ask first, count, or answer with what was there; and where they can begin. */
const conditions: Readonly<Record<string, { from: number, words: ReadonlySet<string> }>> = {
  set: { from: 2, words: new Set(['nx', 'xx', 'get', 'ifeq', 'ifne', 'ifdeq', 'ifdne']) },
  msetex: { from: 1, words: new Set(['nx', 'xx']) },
  zadd: { from: 1, words: new Set(['nx', 'incr', 'ch']) }
}

/** Of a command as ioredis holds it. A command that Redis got later than our list is never repeated. */
export function categoryOf ({ name, args }: { name: string, args: readonly unknown[] }): Category {
  const known = categories.has(name) ? name : name.toLowerCase()
  const category = categories.get(known) ?? 'never'
  const condition = category === 'idempotent' ? conditions[known] : undefined
  return condition !== undefined && args.slice(condition.from).some((word) => condition.words.has(String(word).toLowerCase())) ? 'write' : category
}

/** What Redis refuses where it refuses writes: a full memory, a replica, a failed save, too few replicas. Scripts may write, so they count. */
const writes = new Set([...list.filter((name) => hasFlag(name, 'write')), 'eval', 'evalsha', 'fcall', 'multi', 'exec', 'xgroup'])

export function isWrite ({ name }: { name: string }): boolean {
  return writes.has(name) || (!categories.has(name) && writes.has(name.toLowerCase()))
}

/** What a full memory refuses. Deleting and taking away goes on, which is what makes room; scripts are asked command by command, transactions not at all. */
const growing = new Set([...list.filter((name) => hasFlag(name, 'denyoom')), 'multi', 'exec'])

export function needsMemory ({ name }: { name: string }): boolean {
  return growing.has(name) || (!categories.has(name) && growing.has(name.toLowerCase()))
}
