import { hash } from 'node:crypto'
import { silentLogger } from '../observability/logger.ts'
import type { Logger } from '../observability/logger.ts'
import { jittered, jsonCodec } from './entry.ts'
import type { Codec } from './entry.ts'
import { CacheOptionInvalid } from './errors.ts'
import { OriginCalls } from './origin-calls.ts'
import type { Place } from './origin-calls.ts'
import { Patience } from './patience.ts'
import { RedisTier } from './redis-tier.ts'
import type { CacheClient } from './redis-tier.ts'
import { Statistics } from './statistics.ts'
import type { CacheStatistics } from './statistics.ts'
import { checkTerms, defaultTerms } from './terms.ts'
import type { Terms } from './terms.ts'
import { Tiers } from './tiers.ts'

export type { Codec } from './entry.ts'
export type { CacheClient } from './redis-tier.ts'
export type { CacheStatistics } from './statistics.ts'

/** What holds for one value. Left out: what holds for the cache. */
export type WrapOptions = { [Name in keyof Terms]?: Terms[Name] | undefined }
export type SetOptions = Pick<WrapOptions, 'ttlMs' | 'staleMs' | 'jitter'>

export interface CacheOptions extends WrapOptions {
  /** Its commands must end by a deadline of their own. Null: Redis is disabled, and everything is a miss. */
  client: CacheClient | null
  /** Whether a command would be sent now; O(1). Default: always. */
  available?: (() => boolean) | undefined
  /** Calls back whenever Redis is back; returns the way out. */
  onAvailable?: ((listener: () => void) => () => void) | undefined
  /** First part of all keys, without `#` and `/`. Default `breakwater:cache`. */
  keyPrefix?: string | undefined
  /** Default JSON. */
  codec?: Codec | undefined
  /** Larger values are not stored. Default 1 MiB. */
  maxValueBytes?: number | undefined
  /** What this process may remember for the time that Redis does not answer. 0: nothing. Default 8 MiB. */
  memoryBytes?: number | undefined
  /** How long it passes for fresh without Redis, within its own lifetime. Default 30 000. */
  memoryTtlMs?: number | undefined
  /** Bounds of the time that a lookup waits for Redis; it is never longer than the origin usually takes, if that is above the lower. Defaults 5 and 25. */
  minPatienceMs?: number | undefined
  maxPatienceMs?: number | undefined
  logger?: Logger | undefined
  random?: (() => number) | undefined
  /** Monotonic time in ms. */
  clock?: (() => number) | undefined
  /** Milliseconds since 1970. */
  now?: (() => number) | undefined
}

interface Core {
  terms: Terms
  tiers: Tiers
  calls: OriginCalls
  patience: Patience
  statistics: Statistics
  random: () => number
  close: () => void
}

const LONGEST_KEY = 512

/**
 * Values that are expensive to fetch, kept in Redis for all processes. Nothing here fails or waits because of Redis: what it does not
 * answer, and soon, is a miss.
 */
export class Cache {
  readonly #core: Core
  readonly #prefix: string

  /** `core` is for {@link Cache.namespace}. @throws FST_BRK_CACHE_OPTION */
  constructor (options: CacheOptions, core?: Core) {
    this.#prefix = options.keyPrefix ?? 'breakwater:cache'
    if (core === undefined && /[#/]/.test(this.#prefix)) throw new CacheOptionInvalid('the keyPrefix contains "#" or "/"', 'Leave them to the cache itself.')
    this.#core = core ?? makeCore(options)
  }

  /** The value, or `undefined` where there is no fresh one, or none to be had in time. */
  async get<Value = unknown> (key: string): Promise<Value | undefined> {
    const { tiers } = this.#core
    const { found } = await tiers.look(this.#place(key).key)
    return found !== null && tiers.isFresh(found) ? found.value as Value : undefined
  }

  /**
   * Resolves to whether Redis has confirmed it. If not, this process uses the value as long as it remembers it, and removes what Redis
   * holds instead as soon as it can; other processes may see that until then.
   * @throws FST_BRK_CACHE_OPTION
   */
  async set (key: string, value: unknown, options: SetOptions = {}): Promise<boolean> {
    const { tiers, calls, terms, random } = this.#core
    const { ttlMs, staleMs, jitter } = checkTerms(options, terms)
    const place = this.#place(key)
    const entry = tiers.encode(value, jittered(ttlMs, jitter, random))
    if (entry === null) {
      // What was there before is not what the caller wants to be there.
      await this.delete(key)
      return false
    }
    calls.supersede(place.key)
    return await this.#confirm(place.key, tiers.write(place.key, entry, staleMs))
  }

  /** Resolves to whether Redis has confirmed it; otherwise as for {@link Cache.set}. */
  async delete (key: string): Promise<boolean> {
    const { tiers, calls } = this.#core
    const place = this.#place(key)
    calls.supersede(place.key)
    tiers.forget(place.key)
    return await this.#confirm(place.key, tiers.redis.remove(place.key, place.lock))
  }

  /**
   * The value under this key, or else what the origin returns, which is kept. Rejects only with what the origin rejects with, and waits
   * for nothing but the origin and, briefly, Redis. Whoever asks at the same time gets the same object, so do not change it.
   * @throws FST_BRK_CACHE_OPTION
   */
  async wrap<Result> (key: string, options: WrapOptions, origin: () => Result): Promise<Awaited<Result>> {
    const { calls, terms } = this.#core
    return await calls.get(this.#place(key), checkTerms(options, terms), origin) as Awaited<Result>
  }

  /** The same cache for keys of their own. Letters, digits, `_`, `-` and `.`. @throws FST_BRK_CACHE_OPTION */
  namespace (name: string): Cache {
    if (!/^[\w.-]+$/.test(name)) throw new CacheOptionInvalid('the name of the namespace is not a plain word', 'Use letters, digits, "_", "-" and ".".')
    return new Cache({ client: null, keyPrefix: `${this.#prefix}/${name}` }, this.#core)
  }

  /** Of this cache with all its namespaces, since it was made. */
  stats (): CacheStatistics {
    const { statistics, patience, tiers } = this.#core
    return statistics.snapshot({ unsettled: tiers.unsettled.size, patienceMs: patience.ms, suspected: patience.suspected })
  }

  /** From here on everything is a miss. The client stays open. */
  close (): void {
    this.#core.close()
  }

  /** A change that Redis does not confirm in time must not be undone by what it still holds. */
  async #confirm (key: string, sent: Promise<boolean>): Promise<boolean> {
    const { tiers: { redis, unsettled } } = this.#core
    if (!redis.enabled) return false
    const confirmed = redis.available ? await redis.patiently(sent) : false
    if (confirmed === true) {
      unsettled.settled(key)
      return true
    }
    const settled = unsettled.add(key)
    if (confirmed === undefined) void sent.then((taken) => { if (taken) settled() })
    return false
  }

  #place (key: string): Place {
    if (typeof key !== 'string' || key === '') throw new CacheOptionInvalid('the key is not a text, or empty', 'Give every value a name of its own.')
    const short = key.length > LONGEST_KEY ? hash('sha256', key) : key
    return { key: `${this.#prefix}:${short}`, lock: `${this.#prefix}#lock:${short}` }
  }
}

function makeCore (options: CacheOptions): Core {
  const { client, available = () => true, onAvailable = () => () => {}, codec = jsonCodec, logger = silentLogger } = options
  const { maxValueBytes = 1024 ** 2, memoryBytes = 8 * 1024 ** 2, memoryTtlMs = 30_000 } = options
  const { random = Math.random, clock = () => performance.now(), now = Date.now } = options
  const statistics = new Statistics()
  const patience = new Patience({
    minMs: options.minPatienceMs,
    maxMs: options.maxPatienceMs,
    clock,
    onChange: (suspected) => logger.debug({ suspected }, suspected ? 'Redis is too slow for the cache' : 'Redis is quick enough for the cache again')
  })
  const redis = new RedisTier({ client, available, patience, statistics, clock })
  const tiers = new Tiers({ redis, statistics, codec, maxValueBytes, memoryBytes: client === null ? 0 : memoryBytes, memoryTtlMs, now })
  const calls = new OriginCalls({ tiers, statistics, onCalled: (ms) => patience.originTook(ms), random, clock, now })
  const detach = onAvailable(() => {
    patience.forgive()
    tiers.unsettled.settleAll()
  })
  const close = () => {
    detach()
    calls.close()
    tiers.close()
  }
  return { terms: checkTerms(options, defaultTerms), tiers, calls, patience, statistics, random, close }
}
