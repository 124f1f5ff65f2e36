import type { Redis } from 'ioredis'
import { BoundedRedis } from './bounded-client.ts'
import type { ConnectionSettings } from './bounded-client.ts'
import { classify } from '../classify.ts'
import type { Classification } from '../classify.ts'
import { RedisClosed, RedisConnectionFailed } from '../errors.ts'
import { concernsWrites } from '../write-side.ts'

/** `write`: it takes writes. `cluster`: the node serves its slots. */
export type Attestation = 'write' | 'cluster'

const questions: Record<Attestation, (client: Redis) => Promise<boolean>> = {
  // Writes nothing: since Redis 7 a script that does not declare itself a reader is refused whenever a write would be, on every node of a cluster.
  // Elsewhere, an addition to a list that does not exist.
  write: async (client) => {
    try {
      return await client.eval('#!lua\nreturn true', 0) === 1
    } catch (error) {
      if (classify(error).kind === 'overload' || (error as Error).name !== 'ReplyError') throw error
      return await client.lpushx('breakwater:probe', 'x') === 0
    }
  },
  cluster: async (client) => !String(await client.cluster('INFO')).includes('cluster_state:fail')
}

/** Whoever can be asked whether Redis answers. */
export interface Health {
  /** Resolves to the latency in ms. Rejects within bounded time, with the kind of the failure. */
  ping (): Promise<number>
  /** Whether that is over which a PING does not show; null where Redis does not tell. */
  attest? (by: Attestation): Promise<boolean | null>
  /** Gives up a connection, or an attempt at one, that began under other circumstances. */
  renew (): void
  close (): Promise<void>
}

/**
 * A connection of its own to ask Redis how it is: a backlog on the others cannot delay the answer, and the question costs no
 * user a request. It connects when it is asked, and says why it could not.
 */
export class HealthConnection implements Health {
  readonly #client: BoundedRedis
  readonly #timeoutMs: number
  readonly #clock: () => number
  readonly #onFailure: (failure: Classification) => void
  #failure: Error | null = null
  #closed = false

  constructor (settings: ConnectionSettings, timeoutMs: number, onFailure: (failure: Classification) => void) {
    this.#timeoutMs = timeoutMs
    this.#onFailure = onFailure
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
    try {
      await this.#bounded(this.#client.ping())
    } catch (error) {
      if ((error as Error).name !== 'ReplyError') throw error
      // LOADING, say: the line is good, and what it says is news.
      const failure = classify(error)
      this.#onFailure(failure)
      // With a failed save Redis 7 answers MISCONF even to a PING, and serves reads.
      if (!concernsWrites(failure)) throw error
    }
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

  /** Several questions of another kind, in one go; rejects with the first failure. */
  async ask<T> (question: (client: Redis) => Promise<T>): Promise<T> {
    await this.#connected()
    return await this.#bounded(question(this.#client))
  }

  async attest (by: Attestation): Promise<boolean | null> {
    try {
      return await this.ask(questions[by])
    } catch (error) {
      if ((error as Error).name !== 'ReplyError') throw error
      return classify(error).kind === 'overload' ? false : null
    }
  }

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
