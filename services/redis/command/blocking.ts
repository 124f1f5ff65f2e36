import { Redis } from 'ioredis'
import type { Command } from 'ioredis'

/** What makes up most of the traffic, so that it is not looked up at length. */
const COMMON = new Set(['get', 'set', 'mget', 'del', 'incr', 'incrby', 'expire', 'exists', 'hget', 'hset', 'hgetall', 'hmget', 'lpush', 'evalsha', 'publish', 'ping'])

/**
 * How long a command may block on the server, in ms: 0 is for ever, null not at all. ioredis knows where each one keeps its
 * timeout; it does not count these two as blocking.
 */
export function blockingTimeoutMs (command: Command): number | null {
  if (COMMON.has(command.name)) return null
  const name = command.name.toLowerCase()
  if (name === 'wait' || name === 'waitaof') return Number(command.args.at(-1)) || 0
  if (!Redis.Command.checkFlag('BLOCKING_COMMANDS', name)) return null
  const timeoutMs = command.extractBlockingTimeout()
  if (timeoutMs === undefined) return 0
  // XREAD without BLOCK
  return timeoutMs
}
