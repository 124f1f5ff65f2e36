import { Pool, types as pgTypes } from 'pg'
import type { ClientConfig } from 'pg'
import type { Logger } from '../../../observability/logger.ts'
import { PostgresClient } from './client.ts'
import type { FailureTranslator } from './failure.ts'

export type LentClient = PostgresClient & { release (destroy: boolean): void }

export interface PoolOptions {
  connectionString: string
  max: number
  connectTimeoutMs: number
  failures: FailureTranslator
  logger: Logger
}

/** Counters and ids are numbers, exact up to 2^53, not text. */
const types = {
  getTypeParser: ((oid: number, format?: any) => oid === pgTypes.builtins.INT8 && format !== 'binary'
    ? Number
    : pgTypes.getTypeParser(oid, format)) as typeof pgTypes.getTypeParser
}

/** The driver's pool, with a hold on each of its connections: any of them can be cut at any time. */
export class ConnectionPool {
  readonly #options: PoolOptions
  readonly #pool: Pool
  readonly #clients = new Set<PostgresClient>()
  readonly #idle = new Set<PostgresClient>()

  constructor (options: PoolOptions) {
    this.#options = options
    this.#pool = this.#open()
  }

  #open (): Pool {
    const { max, failures, logger } = this.#options
    const track = (client: PostgresClient) => this.#track(client)
    const pool = new Pool({
      ...this.#clientConfig(),
      max,
      pipeline: true,
      Client: class extends PostgresClient {
        constructor (config: ClientConfig = {}) {
          super(config)
          track(this)
        }
      }
    })
    pool.on('acquire', (client) => { this.#idle.delete(client as unknown as PostgresClient) })
    pool.on('release', (_err, client) => { this.#idle.add(client as unknown as PostgresClient) })
    pool.on('remove', (client) => { this.#idle.delete(client as unknown as PostgresClient) })
    // The error carries the whole connection, its password included: only its text is safe.
    pool.on('error', (err) => logger.debug({ reason: failures.translate(err).message }, 'idle database connection lost'))
    return pool
  }

  #clientConfig (): ClientConfig {
    const { connectionString, connectTimeoutMs } = this.#options
    return { connectionString, types, connectionTimeoutMillis: connectTimeoutMs, keepAlive: true, fallback_application_name: 'breakwater' }
  }

  #track (client: PostgresClient): PostgresClient {
    this.#clients.add(client)
    client.once('end', () => { this.#clients.delete(client) })
    return client
  }

  /** A connection to give back with `release`. One that comes after `expired` has rejected goes back unused. */
  async acquire (expired: Promise<never>): Promise<LentClient> {
    for (;;) {
      const acquired = this.#pool.connect() as unknown as Promise<LentClient>
      try {
        const client = await Promise.race([acquired, expired])
        if (client.open) return client
        // Cut while it was idle, and the pool has not heard of it yet.
        client.release(true)
      } catch (err) {
        acquired.then((client) => client.release(false), () => {})
        throw this.#options.failures.translate(err)
      }
    }
  }

  /** A connection beside the pool. */
  async connect (): Promise<PostgresClient> {
    const client = this.#track(new PostgresClient(this.#clientConfig()))
    try {
      await client.connect()
      return client
    } catch (err) {
      client.destroy()
      throw this.#options.failures.translate(err)
    }
  }

  /** Cuts a connection that does not answer, and the idle ones, which most likely lead to the same server. */
  cut (client: PostgresClient): void {
    client.destroy()
    for (const idle of this.#idle) idle.destroy()
  }

  /** Resolves when all are given back and closed. */
  async end (): Promise<void> {
    await this.#pool.end().catch(() => {})
  }

  cutAll (): void {
    for (const client of this.#clients) client.destroy()
  }
}
