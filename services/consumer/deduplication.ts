import { slotKey } from '../queue/keys.ts'
import { command } from './redis-script.ts'
import type { RedisCommands } from './redis-script.ts'

/**
 * Remembers the messages that were handled. An id is written after the handler succeeded and before the acknowledgement, so a message
 * that comes again although it was acknowledged, or because its acknowledgement was lost, is found here.
 */
export interface DeduplicationStore {
  /** Whether the message was handled already. */
  seen (messageId: string): Promise<boolean>
  remember (messageId: string): Promise<void>
}

export interface RedisDeduplicationOptions {
  client: RedisCommands
  queue: string
  /** How long an id is remembered. Default 86 400 000 ms, 24 h. */
  ttlMs?: number
  /** Deadline of each command. Default 2000 ms. */
  commandTimeoutMs?: number
}

/** Ids in the Redis and the slot of the queue: about 100 bytes each, until they expire. */
export class RedisDeduplication implements DeduplicationStore {
  readonly #options: Required<RedisDeduplicationOptions>

  constructor (options: RedisDeduplicationOptions) {
    this.#options = { ttlMs: 86_400_000, commandTimeoutMs: 2000, ...options }
  }

  async seen (messageId: string): Promise<boolean> {
    const { client, commandTimeoutMs } = this.#options
    return await command(client, commandTimeoutMs, 'exists', ['exists', this.#key(messageId)]) === 1
  }

  async remember (messageId: string): Promise<void> {
    const { client, commandTimeoutMs, ttlMs } = this.#options
    await command(client, commandTimeoutMs, 'set', ['set', this.#key(messageId), '1', 'PX', ttlMs])
  }

  #key (messageId: string): string {
    return slotKey(this.#options.queue, `deduplication:${messageId}`)
  }
}
