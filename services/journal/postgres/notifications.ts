import { randomUUID } from 'node:crypto'
import type { Logger } from '../../observability/logger.ts'
import { fullJitter } from '../../resilience/backoff.ts'
import type { PostgresDatabase } from './database.ts'
import type { PostgresClient } from './database/client.ts'

const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 30_000
/** A burst of commits is one notification at its begin and one at its end. */
const QUIET_MS = 20

/**
 * Tells the relays of other processes that there is something to do. An extra: where `LISTEN` does not work, behind a pooler
 * for example, they find it by looking, once in their idle interval.
 */
export class Notifications {
  readonly #database: PostgresDatabase
  readonly #logger: Logger
  readonly #listener: () => void
  readonly #channel: string
  readonly #sender = randomUUID()
  #client: PostgresClient | null = null
  #timer: NodeJS.Timeout | null = null
  #quiet: NodeJS.Timeout | null = null
  #again = false
  #failures = 0
  #started = false
  #closed = false

  constructor (database: PostgresDatabase, logger: Logger, listener: () => void) {
    this.#database = database
    this.#logger = logger
    this.#listener = listener
    this.#channel = `${database.schema}_journal`
  }

  /** For a statement inside a transaction: delivered with its commit. */
  get statement (): [text: string, values: unknown[]] {
    return ['SELECT pg_notify($1, $2)', [this.#channel, '']]
  }

  /** Begins to listen, and keeps at it. */
  start (): void {
    if (this.#started || this.#closed) return
    this.#started = true
    void this.#listen()
  }

  /** Tells the others, at once and at most every 20 ms: a commit that notifies makes all other such commits wait. */
  send (): void {
    if (this.#closed) return
    if (this.#quiet !== null) {
      this.#again = true
      return
    }
    this.#again = false
    this.#quiet = setTimeout(() => {
      this.#quiet = null
      if (this.#again) this.send()
    }, QUIET_MS)
    this.#quiet.unref()
    this.#database.query('SELECT pg_notify($1, $2)', [this.#channel, this.#sender]).catch(() => {})
  }

  close (): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#quiet !== null) clearTimeout(this.#quiet)
    this.#client?.destroy()
  }

  async #listen (): Promise<void> {
    try {
      const client = await this.#database.connect()
      if (this.#closed) return client.destroy()
      this.#client = client
      client.once('end', () => this.#retry('connection lost'))
      client.on('notification', ({ channel, payload }) => {
        if (channel === this.#channel && payload !== this.#sender) this.#listener()
      })
      await client.query(`LISTEN ${this.#channel}`)
      this.#failures = 0
      // What came while nobody listened.
      this.#listener()
    } catch (err) {
      if (this.#client === null) this.#retry((err as Error).message)
      else this.#client.destroy()
    }
  }

  #retry (reason: string): void {
    this.#client = null
    if (this.#closed) return
    if (this.#failures++ === 0) this.#logger.debug({ reason }, 'not listening for messages of other processes, looking for them instead')
    this.#timer = setTimeout(() => { void this.#listen() }, fullJitter(this.#failures, FIRST_RETRY_MS, MAX_RETRY_MS))
    this.#timer.unref()
  }
}
