import type { Cluster, Redis } from 'ioredis'
import type { Batch } from '../../journal/journal.ts'
import { slotKey } from '../../queue/keys.ts'
import { StreamFull } from '../errors.ts'
import { callReplicated } from './replication.ts'
import { streamPublishScript } from './stream-scripts.ts'
import { WatermarkedTransport } from './watermarked-transport.ts'
import type { Connection, TransportOptions } from './watermarked-transport.ts'

export interface StreamStats {
  /** Entries in the stream when it last answered; null before. */
  length: number | null
  /** Entries removed because every group had done with them. */
  trimmed: number
  /** The stream is at its limit and its oldest entries are still needed: messages wait in the journal. */
  blockedTrim: boolean
}

export interface StreamTransportOptions extends TransportOptions {
  /** Longest stream, in entries. Beyond it, entries that every group has done with are trimmed; unread ones never. 0, the default: no limit. */
  maxLength?: number | undefined
  /** Told of each change of `blockedTrim`. */
  onBlocked?: ((stats: Readonly<StreamStats>) => void) | undefined
}

type Reply = [status: number, length: number, trimmed: number]
interface Scripts {
  breakwaterStreamPublish (stream: string, watermarks: string, ...args: (string | number)[]): Promise<Reply>
}

const REFUSED = 0
const FULL = -1

/**
 * The stream transport: `XADD {q}:stream * body …` and watermark in one script, on one server or in a cluster. The watermark is its own,
 * `{q}:stream-watermark`: what the list has says nothing about the stream. Redis ≥ 6.2, Valkey.
 */
export class StreamTransport extends WatermarkedTransport {
  readonly #client: (Redis | Cluster) & Scripts
  readonly #stream: string
  readonly #channel: string
  readonly #maxLength: number
  readonly #onBlocked: (stats: Readonly<StreamStats>) => void
  readonly #script: string
  readonly #stats: StreamStats = { length: null, trimmed: 0, blockedTrim: false }

  constructor (connection: Connection, queueName: string, options: StreamTransportOptions = {}) {
    super(connection, slotKey(queueName, 'stream-watermark'), options)
    const { client } = connection
    this.#stream = slotKey(queueName, 'stream')
    this.#channel = `${queueName}:pubsub`
    this.#maxLength = options.maxLength ?? 0
    this.#onBlocked = options.onBlocked ?? (() => {})
    this.#script = streamPublishScript({ replicated: this.replication !== null })
    client.defineCommand('breakwaterStreamPublish', { numberOfKeys: 2, lua: this.#script })
    this.#client = client as (Redis | Cluster) & Scripts
  }

  get stats (): Readonly<StreamStats> { return this.#stats }

  /** @throws FST_BRK_STREAM_FULL when unread entries fill the stream; those of the batch that fitted are in it. */
  async publish (batch: Batch): Promise<boolean> {
    const [status, length, trimmed] = await this.deliver(batch, () => this.#send(batch))
    this.#stats.length = length
    this.#stats.trimmed += trimmed
    if (status === REFUSED) return false
    this.#block(status === FULL)
    if (status === FULL) throw new StreamFull(this.#maxLength)
    return true
  }

  #send ({ term, first, bodies, previous }: Batch): Promise<Reply> {
    const args = [term, first, previous?.term ?? '', previous?.seq ?? 0, this.#channel, this.#maxLength, ...bodies]
    return this.replication === null
      ? this.#client.breakwaterStreamPublish(this.#stream, this.watermarkHash, ...args)
      : callReplicated(this.#client, this.replication, this.#script, [this.#stream, this.watermarkHash], args)
  }

  #block (blocked: boolean): void {
    if (this.#stats.blockedTrim === blocked) return
    this.#stats.blockedTrim = blocked
    this.#onBlocked(this.#stats)
  }
}
