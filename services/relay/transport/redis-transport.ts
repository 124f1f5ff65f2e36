import type { Cluster, Redis } from 'ioredis'
import type { Batch } from '../../journal/journal.ts'
import { watermarkKey } from '../../queue/keys.ts'
import { callReplicated } from './replication.ts'
import { publishScript } from './list-scripts.ts'
import { WatermarkedTransport } from './watermarked-transport.ts'
import type { Connection, TransportOptions } from './watermarked-transport.ts'

export { watermarkKey }
export type { Connection, TransportOptions } from './watermarked-transport.ts'

interface Scripts {
  breakwaterPublish (queue: string, watermarks: string, ...args: (string | number)[]): Promise<number>
  breakwaterPublishSparse (queue: string, watermarks: string, ...args: (string | number)[]): Promise<number>
}

/** The list transport: `LPUSH` and watermark in one script on a Redis list, on one server or in a cluster. */
export class RedisTransport extends WatermarkedTransport {
  readonly #client: (Redis | Cluster) & Scripts
  readonly #queue: string
  readonly #channel: string

  constructor (connection: Connection, queueName: string, options: TransportOptions = {}) {
    super(connection, watermarkKey(queueName), options)
    const { client } = connection
    this.#queue = queueName
    this.#channel = `${queueName}:pubsub`
    this.#client = client as (Redis | Cluster) & Scripts
    client.defineCommand('breakwaterPublish', { numberOfKeys: 2, lua: this.#script(false) })
    client.defineCommand('breakwaterPublishSparse', { numberOfKeys: 2, lua: this.#script(true) })
  }

  async publish (batch: Batch): Promise<boolean> {
    return await this.deliver(batch, () => this.#send(batch)) === 1
  }

  #script (sparse: boolean): string {
    return publishScript({ sparse, replicated: this.replication !== null, clustered: this.#client.isCluster })
  }

  #send ({ term, first, bodies, previous }: Batch): Promise<number> {
    const args = [term, first, previous?.term ?? '', previous?.seq ?? 0, this.#channel, ...bodies]
    const sparse = bodies.includes('')
    if (this.replication !== null) return callReplicated(this.#client, this.replication, this.#script(sparse), [this.#queue, this.watermarkHash], args)
    return sparse
      ? this.#client.breakwaterPublishSparse(this.#queue, this.watermarkHash, ...args)
      : this.#client.breakwaterPublish(this.#queue, this.watermarkHash, ...args)
  }
}
