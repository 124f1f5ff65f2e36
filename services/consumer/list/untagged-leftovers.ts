import { randomBytes } from 'node:crypto'
import type { QueueKeys } from './keys.ts'
import { HAND_BACK, ACKNOWLEDGE } from './list-scripts.ts'
import { ADOPT, WATCH } from './recover-scripts.ts'
import { command } from '../redis-script.ts'
import type { RedisCommands } from '../redis-script.ts'

interface LeftoversOptions {
  client: RedisCommands
  keys: QueueKeys
  visibilityMs: number
  commandTimeoutMs: number
}

const WINDOW = 50

/**
 * Messages that consumers without hash tags left in the untagged processing list of a cluster. It is in another slot, so no script moves
 * them in one step: each is copied under a claim first and then removed, and given back to whoever acknowledged it in between. Who dies
 * half-way leaves it twice, never nowhere.
 */
export class UntaggedLeftovers {
  readonly #options: LeftoversOptions

  constructor (options: LeftoversOptions) {
    this.#options = options
  }

  /** Moves what was unclaimed for two visibility periods to the queue. Returns how many. */
  async recover (): Promise<number> {
    const { client, keys, visibilityMs, commandTimeoutMs } = this.#options
    const range = ['lrange', keys.untaggedProcessing!, -WINDOW, -1] as const
    // Youngest first, so that the oldest is put back last, to be taken next.
    const bodies = await command(client, commandTimeoutMs, 'lrange', [...range]) as Buffer[]
    if (bodies.length === 0) return 0
    const ripe = await WATCH.run(client, [keys.firstSeen], [visibilityMs, ...bodies], commandTimeoutMs) as number[]
    let moved = 0
    for (const [index, body] of bodies.entries()) {
      if (ripe[index] === 1 && await this.#move(body)) moved++
    }
    return moved
  }

  async #move (body: Buffer): Promise<boolean> {
    const { client, keys, visibilityMs, commandTimeoutMs } = this.#options
    const token = randomBytes(9).toString('base64url')
    const digest = await ADOPT.run(client, [keys.processing, keys.claims, keys.firstSeen], [body, token, visibilityMs], commandTimeoutMs) as Buffer
    const removed = await command(client, commandTimeoutMs, 'lrem', ['lrem', keys.untaggedProcessing!, -1, body])
    if (removed === 1) await HAND_BACK.run(client, [keys.queue, keys.processing, keys.claims], [body, digest, token], commandTimeoutMs)
    else await ACKNOWLEDGE.run(client, [keys.processing, keys.claims, keys.recoveries], [body, digest, token], commandTimeoutMs)
    return removed === 1
  }
}
