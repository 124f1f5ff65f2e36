import { BoundedRedis } from './bounded-client.ts'
import type { ConnectionSettings } from './bounded-client.ts'
import type { Classification } from './classify.ts'
import { RedisClosed, RedisConnectionFailed } from './errors.ts'

/**
 * A connection of its own to ask Redis how it is: a backlog on the others cannot delay the answer, and the question costs no
 * user a request. It connects when it is asked, and says why it could not.
 */
export class HealthConnection {
  readonly #client: BoundedRedis
  readonly #timeoutMs: number
  readonly #clock: () => number
  #failure: Error | null = null
  #closed = false

  constructor (settings: ConnectionSettings, timeoutMs: number, onFailure: (failure: Classification) => void) {
    this.#timeoutMs = timeoutMs
    this.#clock = settings.clock
    const options = { ...settings.options, lazyConnect: true, enableOfflineQueue: false, keyPrefix: '' }
    this.#client = new BoundedRedis({ ...settings, options, reconnect: false }, {
      failed: (failure, error) => {
        this.#failure = error
        onFailure(failure)
      }
    })
  }

  /** Resolves to the latency of a PING in ms. Rejects within connect timeout and twice the command timeout. */
  async ping (): Promise<number> {
    await this.#connected()
    const startedAt = this.#clock()
    await this.#bounded(this.#client.ping())
    return this.#clock() - startedAt
  }

  /** `master`, `slave` or `sentinel`; `unknown` where the user may not ask. */
  async role (): Promise<string> {
    await this.#connected()
    try {
      const [role] = await this.#bounded(this.#client.role()) as unknown[]
      return String(role)
    } catch {
      return 'unknown'
    }
  }

  /** Gives up a connection, or an attempt at one, that began under other circumstances. */
  renew (): void {
    this.#client.destroyStream()
  }

  close (): Promise<void> {
    this.#closed = true
    return this.#client.shutDown()
  }

  async #connected (): Promise<void> {
    if (this.#closed) throw new RedisClosed()
    if (this.#client.status === 'ready') return
    this.#failure = null
    try {
      await (this.#isConnecting() ? this.#settled() : this.#client.connect())
    } catch (error) {
      throw this.#failure ?? new RedisConnectionFailed('transport', 'CLOSED', error as Error)
    }
  }

  #isConnecting (): boolean {
    const { status } = this.#client
    return status === 'connecting' || status === 'connect' || status === 'close'
  }

  /** Somebody else's attempt is under way; the watchdog bounds it. */
  #settled (): Promise<void> {
    return new Promise((resolve, reject) => {
      const done = () => {
        this.#client.off('ready', done)
        this.#client.off('end', done)
        if (this.#client.status === 'ready') resolve()
        else reject(this.#failure)
      }
      this.#client.on('ready', done)
      this.#client.on('end', done)
    })
  }

  /** An unanswered question breaks the connection, which settles the promise. */
  async #bounded<T> (reply: Promise<T>): Promise<T> {
    const timer = setTimeout(() => this.#client.destroyStream(new RedisConnectionFailed('timeout', 'PING_TIMEOUT')), this.#timeoutMs)
    timer.unref()
    try {
      return await reply
    } catch (error) {
      if ((error as Error).name === 'ReplyError') throw error
      throw this.#failure ?? new RedisConnectionFailed('transport', 'CLOSED', error as Error)
    } finally {
      clearTimeout(timer)
    }
  }
}
