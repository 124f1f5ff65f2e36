import type { Cluster, Redis } from 'ioredis'
import type { Batch } from '../../journal/journal.ts'
import { Rejection, serverLimitBytes } from './rejection.ts'
import { callReplicated } from './replication.ts'
import type { ReplicationOptions } from './replication.ts'
import { REBASE_SCRIPT, VOUCHED_WATERMARKS_SCRIPT } from './list-scripts.ts'
import type { Transport } from './transport.ts'

/** What a transport needs of a guarded connection. */
export interface Connection {
  readonly client: Redis | Cluster
  readonly connectionEpoch: number
  isHealthy (): boolean
  onReady (listener: () => void): () => void
}

export interface TransportOptions {
  /** See {@link ReplicationOptions}. Default 0. */
  minReplicas?: number | undefined
  /** See {@link ReplicationOptions}. Default 1000. */
  replicaTimeoutMs?: number | undefined
  /** A larger message becomes a dead letter. Default: whatever the server takes, by its `proto-max-bulk-len`. */
  maxMessageBytes?: number | null | undefined
}

interface Rebasing {
  breakwaterRebase (watermarks: string, ...args: (string | number)[]): Promise<number>
}

/** What all queues in Redis have in common: watermarks in a hash, replicas that vouch, and messages that are refused. */
export abstract class WatermarkedTransport implements Transport {
  /** Null: the primary's word is enough. */
  protected readonly replication: ReplicationOptions | null
  protected readonly watermarkHash: string
  readonly #connection: Connection
  readonly #client: (Redis | Cluster) & Rebasing
  readonly #rejection: Rejection

  constructor (connection: Connection, watermarkHash: string, { minReplicas = 0, replicaTimeoutMs = 1000, maxMessageBytes }: TransportOptions) {
    const { client } = connection
    this.#connection = connection
    this.watermarkHash = watermarkHash
    this.replication = minReplicas === 0 ? null : { minReplicas, replicaTimeoutMs }
    this.#rejection = new Rejection({ maxMessageBytes, serverLimitBytes: () => serverLimitBytes(client) })
    client.defineCommand('breakwaterRebase', { numberOfKeys: 1, lua: REBASE_SCRIPT })
    this.#client = client as (Redis | Cluster) & Rebasing
  }

  get epoch (): number { return this.#connection.connectionEpoch }

  get available (): boolean { return this.#connection.isHealthy() }

  abstract publish (batch: Batch): Promise<boolean>

  async watermarks (terms: string[]): Promise<(number | null)[]> {
    if (terms.length === 0) return []
    // What a replica lacks must not be found published here after it was not confirmed there.
    const values = this.replication === null
      ? await this.#client.hmget(this.watermarkHash, ...terms)
      : await callReplicated<(string | null)[]>(this.#client, this.replication, VOUCHED_WATERMARKS_SCRIPT, [this.watermarkHash], terms)
    return values.map((value) => value === null ? null : Number(value))
  }

  async rebase (term: string, expected: number, to: number): Promise<boolean> {
    return await this.#client.breakwaterRebase(this.watermarkHash, term, expected, to) === 1
  }

  async forget (terms: string[]): Promise<void> {
    await this.#client.hdel(this.watermarkHash, ...terms)
  }

  onAvailable (listener: () => void): () => void {
    return this.#connection.onReady(listener)
  }

  /** Sends a batch, and tells a refusal of its contents from trouble on the way. @throws FST_BRK_MESSAGE_REJECTED */
  protected async deliver<T> (batch: Batch, send: () => Promise<T>): Promise<T> {
    if (this.#rejection.suspects(batch.bodies)) await this.#rejection.checkSizes(batch.bodies)
    try {
      const reply = await send()
      this.#rejection.accepted()
      return reply
    } catch (err) {
      throw this.#rejection.judge(batch, err as Error)
    }
  }
}
