import { createHash } from 'node:crypto'
import { ConsumerTimeout } from './errors.ts'

type Argument = string | number | Buffer

/** The part of an ioredis client, or cluster, that consumers use. */
export interface RedisCommands {
  callBuffer (...args: [command: string, ...args: Argument[]]): Promise<unknown>
  disconnect (reconnect?: boolean): void
}

/** A Lua script that is sent as its digest; the text follows only where the server does not know it. */
export class RedisScript {
  readonly name: string
  readonly #lua: string
  readonly #sha: string

  constructor (name: string, lua: string) {
    this.name = name
    this.#lua = lua
    this.#sha = createHash('sha1').update(lua).digest('hex')
  }

  async run (client: RedisCommands, keys: readonly string[], args: readonly Argument[], timeoutMs: number): Promise<unknown> {
    try {
      return await command(client, timeoutMs, this.name, ['evalsha', this.#sha, keys.length, ...keys, ...args])
    } catch (err) {
      // Also after a failover or SCRIPT FLUSH. Redis refused before it ran anything.
      if (!(err as Error).message.startsWith('NOSCRIPT')) throw err
      return await command(client, timeoutMs, this.name, ['eval', this.#lua, keys.length, ...keys, ...args])
    }
  }
}

/**
 * Sends a command and gives it up after `timeoutMs`. No answer in time means a dead line: a new connection is the only way to know.
 * @throws {ConsumerTimeout}
 */
export async function command (client: RedisCommands, timeoutMs: number, name: string, args: [string, ...Argument[]]): Promise<unknown> {
  const answer = client.callBuffer(...args)
  let timer: NodeJS.Timeout | undefined
  const expiry = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      client.disconnect(true)
      reject(new ConsumerTimeout(name, timeoutMs))
    }, timeoutMs)
  })
  try {
    return await Promise.race([answer, expiry])
  } finally {
    clearTimeout(timer)
    // Given up, it may still be rejected.
    answer.catch(() => {})
  }
}
