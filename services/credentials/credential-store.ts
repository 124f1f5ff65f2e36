import { equalJitter } from '../resilience/backoff.ts'
import { Listeners } from '../resilience/listeners.ts'
import { silentLogger } from '../observability/logger.ts'
import type { Logger } from '../observability/logger.ts'
import { CredentialsUnavailable } from './errors.ts'
import { providerOf } from './from-target.ts'
import type { CredentialProvider, Credentials } from './provider.ts'

export interface CredentialStoreOptions {
  provider: CredentialProvider
  /** Deadline of one fetch. Default 3000. */
  timeoutMs?: number | undefined
  /** How often to look for a new value while all is well; jittered by a tenth. Default: the provider's. */
  refreshMs?: number | undefined
  /** The shortest time from one fetch to the next; it doubles up to `refreshMs` while fetching does not help. Default 1000. */
  minimumIntervalMs?: number | undefined
  logger?: Logger | undefined
  random?: (() => number) | undefined
}

const REFRESH_MS = 300_000
/** Credentials are replaced when so much of their life is over. */
const REPLACE_AT = 0.7
const SLOW = 'Is its endpoint reachable from here?'

/**
 * Keeps credentials at hand, so that connecting never waits for their source: fetched ahead, kept through the source's outages, asked for again
 * when the server refuses them. One fetch at a time, and never more often than the interval allows, however many connections are refused.
 */
export class CredentialStore {
  /** For what the target of a connection says; undefined: it holds them itself, or needs none. */
  static of (target: Parameters<typeof providerOf>[0], options: Omit<CredentialStoreOptions, 'provider'> = {}): CredentialStore | undefined {
    const provider = providerOf(target)
    return provider === null ? undefined : new CredentialStore({ ...options, provider })
  }

  readonly name: string
  readonly connectionLifetimeMs: number | null
  readonly #provider: CredentialProvider
  readonly #timeoutMs: number
  readonly #refreshMs: number
  readonly #minimumIntervalMs: number
  readonly #logger: Logger
  readonly #random: () => number
  readonly #changed = new Listeners<void>('A listener of the credentials')
  readonly #failed = new Listeners<Error>('A listener of the credentials')
  readonly #abort = new AbortController()
  #current: Credentials | null = null
  #timer: NodeJS.Timeout | undefined
  #fetching = false
  /** Fetches in a row that brought nothing new although the server refused, or that failed. */
  #futile = 0
  #refused = false
  /** Of the last fetch. */
  #failure: Error | null = null

  constructor ({ provider, timeoutMs = 3000, refreshMs = provider.refreshMs ?? REFRESH_MS, minimumIntervalMs = 1000, logger = silentLogger, random = Math.random }: CredentialStoreOptions) {
    this.name = provider.name
    this.connectionLifetimeMs = provider.connectionLifetimeMs ?? null
    this.#provider = provider
    this.#timeoutMs = timeoutMs
    this.#refreshMs = refreshMs
    this.#minimumIntervalMs = minimumIntervalMs
    this.#logger = logger
    this.#random = random
    void this.#fetch()
  }

  /** Null until the first fetch has succeeded. */
  get current (): Credentials | null { return this.#current }

  /** For a new connection. Where each needs its own, the next are fetched at once. */
  take (): Credentials | null {
    const credentials = this.#current
    if (credentials !== null && this.#provider.perConnection === true) this.#schedule(0)
    return credentials
  }

  /**
   * Resolves when there are credentials to take, within `waitMs`. Rejects with why there are none: what the last fetch has met, or that it
   * still goes on.
   */
  async arrival (waitMs: number): Promise<void> {
    if (this.#current !== null) return
    if (this.#failure !== null) throw this.#failure
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const pending = () => reject(new CredentialsUnavailable(this.name, `no answer within ${waitMs} ms`, SLOW))
    const timer = setTimeout(pending, waitMs)
    timer.unref()
    this.#abort.signal.addEventListener('abort', pending)
    const off = [this.onChange(resolve), this.onFailure(reject)]
    try {
      await promise
    } finally {
      clearTimeout(timer)
      this.#abort.signal.removeEventListener('abort', pending)
      for (const each of off) each()
    }
  }

  /**
   * The server did not accept them: somebody has changed the password. Asks again, as soon as the interval allows. `used`: by the
   * connection that was refused; where others have arrived since, there is nothing to ask for.
   */
  refused (used?: Credentials): void {
    if (used !== undefined && used !== this.#current && this.#provider.perConnection !== true && !same(used, this.#current!)) return
    if (this.#refused) return
    this.#refused = true
    this.#schedule(this.#pauseMs())
  }

  /** There are other credentials than before; the first ones included. Returns the way out. */
  onChange (listener: () => void): () => void {
    return this.#changed.add(listener)
  }

  /** A fetch failed. Returns the way out. */
  onFailure (listener: (error: Error) => void): () => void {
    return this.#failed.add(listener)
  }

  close (): void {
    this.#abort.abort()
    clearTimeout(this.#timer)
  }

  /** The first refusal is answered at once: it is news. */
  #pauseMs (): number {
    return this.#futile === 0 ? 0 : equalJitter(this.#futile - 1, this.#minimumIntervalMs, this.#refreshMs, this.#random)
  }

  #schedule (delayMs: number): void {
    clearTimeout(this.#timer)
    if (this.#abort.signal.aborted) return
    this.#timer = setTimeout(() => { void this.#fetch() }, delayMs)
    this.#timer.unref()
  }

  async #fetch (): Promise<void> {
    if (this.#fetching) return
    this.#fetching = true
    try {
      const credentials = await this.#bounded()
      this.#fetching = false
      if (!this.#abort.signal.aborted) this.#received(credentials)
    } catch (err) {
      this.#fetching = false
      if (!this.#abort.signal.aborted) this.#missed(err as Error)
    }
  }

  /** The source may not honour the signal, so its end is not waited for. */
  async #bounded (): Promise<Credentials> {
    const timeout = new AbortController()
    const { promise: late, reject } = Promise.withResolvers<never>()
    const signal = AbortSignal.any([timeout.signal, this.#abort.signal])
    signal.addEventListener('abort', () => {
      reject(new CredentialsUnavailable(this.name, `no answer within ${this.#timeoutMs} ms`, SLOW))
    })
    late.catch(() => {})
    const timer = setTimeout(() => timeout.abort(), this.#timeoutMs)
    timer.unref()
    try {
      return await Promise.race([this.#provider.fetch(signal), late])
    } finally {
      clearTimeout(timer)
    }
  }

  #received (credentials: Credentials): void {
    const before = this.#current
    this.#current = credentials
    const isNew = before === null || !same(before, credentials)
    if (this.#failure !== null) this.#logger.info({ source: this.name }, 'the Redis credentials can be fetched again')
    this.#failure = null
    this.#futile = this.#refused && !isNew ? this.#futile + 1 : 0
    this.#refused = false
    this.#schedule(this.#nextMs(credentials))
    if (!isNew) return
    // Credentials of each connection differ always: only the first are news.
    if (before === null || this.#provider.perConnection !== true) this.#changed.tell()
  }

  #missed (err: Error): void {
    if (this.#failure === null) this.#logger.warn({ err, source: this.name }, 'the Redis credentials cannot be fetched; the known ones are used meanwhile')
    this.#failure = err
    this.#futile++
    this.#schedule(this.#pauseMs())
    this.#failed.tell(err)
  }

  #nextMs ({ expiresAt }: Credentials): number {
    const lifeMs = expiresAt === undefined ? Infinity : (expiresAt - Date.now()) * REPLACE_AT
    return Math.max(this.#minimumIntervalMs, Math.min(this.#refreshMs, lifeMs) * (0.9 + 0.1 * this.#random()))
  }
}

function same (one: Credentials, other: Credentials): boolean {
  return one.password.reveal() === other.password.reveal() && (one.username ?? null) === (other.username ?? null)
}
