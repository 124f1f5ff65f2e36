import type { Redis } from 'ioredis'
import type { Batch } from '../journal/journal.ts'
import { PUBLISH_SCRIPT, REBASE_SCRIPT } from './scripts.ts'
import type { Transport } from './transport.ts'

/** What the transport needs of a guarded connection. */
export interface Connection {
  readonly client: Redis
  readonly connectionEpoch: number
  isHealthy (): boolean
  onReady (listener: () => void): () => void
}

interface Scripts {
  breakwaterPublish (queue: string, watermarks: string, ...args: (string | number)[]): Promise<number>
  breakwaterRebase (watermarks: string, ...args: (string | number)[]): Promise<number>
}

/** Keys of our own live in the slot of the queue, so that one script may touch both in a cluster (PROTOCOL.md). */
export function watermarkKey (queueName: string): string {
  const tagged = /\{[^}]+\}/.test(queueName)
  return tagged ? `${queueName}:watermark` : `{${queueName}}:watermark`
}

/** The list transport: `LPUSH` and watermark in one script on a Redis list. */
export class RedisTransport implements Transport {
  readonly #connection: Connection
  readonly #client: Redis & Scripts
  readonly #queue: string
  readonly #watermarks: string
  readonly #channel: string

  constructor (connection: Connection, queueName: string) {
    this.#connection = connection
    this.#queue = queueName
    this.#watermarks = watermarkKey(queueName)
    this.#channel = `${queueName}:pubsub`
    connection.client.defineCommand('breakwaterPublish', { numberOfKeys: 2, lua: PUBLISH_SCRIPT })
    connection.client.defineCommand('breakwaterRebase', { numberOfKeys: 1, lua: REBASE_SCRIPT })
    this.#client = connection.client as Redis & Scripts
  }

  get epoch (): number { return this.#connection.connectionEpoch }

  get available (): boolean { return this.#connection.isHealthy() }

  async publish ({ term, first, bodies, previous }: Batch): Promise<boolean> {
    const reply = await this.#client.breakwaterPublish(this.#queue, this.#watermarks,
      term, first, previous?.term ?? '', previous?.seq ?? 0, this.#channel, ...bodies)
    return reply === 1
  }

  async watermarks (terms: string[]): Promise<(number | null)[]> {
    if (terms.length === 0) return []
    const values = await this.#client.hmget(this.#watermarks, ...terms)
    return values.map((value) => value === null ? null : Number(value))
  }

  async rebase (term: string, expected: number, to: number): Promise<boolean> {
    return await this.#client.breakwaterRebase(this.#watermarks, term, expected, to) === 1
  }

  async forget (terms: string[]): Promise<void> {
    await this.#client.hdel(this.#watermarks, ...terms)
  }

  onAvailable (listener: () => void): () => void {
    return this.#connection.onReady(listener)
  }
}
