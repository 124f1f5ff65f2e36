import { LRUCache } from 'lru-cache'
import { entryText, parseEntry } from './entry.ts'
import type { Codec, Entry } from './entry.ts'
import type { RedisTier } from './redis-tier.ts'
import type { Statistics } from './statistics.ts'
import { Unsettled } from './unsettled.ts'

export interface Found {
  readonly value: unknown
  readonly freshUntil: number
}

export interface Lookup {
  /** Whether Redis said so. */
  readonly answered: boolean
  readonly found: Found | null
}

export interface TiersOptions {
  redis: RedisTier
  statistics: Statistics
  codec: Codec
  maxValueBytes: number
  /** 0: no memory. */
  memoryBytes: number
  memoryTtlMs: number
  /** Milliseconds since 1970. */
  now: () => number
}

interface Kept { entry: Entry, keptAt: number }

const UNANSWERED: Lookup = { answered: false, found: null }
const ABSENT: Lookup = { answered: true, found: null }
/** What an entry in memory takes beside its characters, roughly. */
const ENTRY_BYTES = 250

/**
 * Redis, and a bounded memory of what passed through this process. While Redis answers it is the truth, so what one process deletes is
 * gone for all; the memory answers only where Redis does not.
 */
export class Tiers {
  readonly redis: RedisTier
  readonly unsettled: Unsettled
  readonly #options: TiersOptions
  readonly #memory: LRUCache<string, Kept> | null

  constructor (options: TiersOptions) {
    const { redis, statistics, memoryBytes } = options
    this.redis = redis
    this.#options = options
    this.unsettled = new Unsettled((key) => redis.remove(key), () => { statistics.invalidationsLost++ })
    this.#memory = memoryBytes === 0
      ? null
      : new LRUCache({ maxSize: memoryBytes, sizeCalculation: ({ entry }, key) => ENTRY_BYTES + 2 * (key.length + (entry.payload?.length ?? 0)) })
  }

  /** A fresh value, an expired one, or none; counted. Not a promise where Redis is not asked. */
  look (key: string): Lookup | Promise<Lookup> {
    const answer = this.#read(key)
    return answer === undefined ? this.#bypass(key) : this.#lookCounted(key, answer)
  }

  /** As {@link Tiers.look}, but only in Redis, and not counted: for those who wait for another process. */
  async peek (key: string): Promise<Lookup> {
    const text = await this.#read(key)
    return text === undefined ? UNANSWERED : this.#understand(key, text)
  }

  /** In Redis, for somebody who has nothing else left and waits until the command's deadline. */
  async lookAtLast (key: string): Promise<Found | null> {
    if (this.unsettled.has(key)) return null
    const text = await this.redis.readAtLast(key)
    return text === undefined ? null : this.#understand(key, text).found
  }

  isFresh ({ freshUntil }: Found): boolean {
    return this.#options.now() < freshUntil
  }

  /** Null, and counted, where the value cannot be kept. */
  encode (value: unknown, ttlMs: number): Entry | null {
    const { codec, statistics, maxValueBytes, now } = this.#options
    const payload = value === undefined ? null : attempt(() => codec.encode(value))
    if (payload !== null && typeof payload !== 'string') {
      statistics.unencodable++
      return null
    }
    if (payload !== null && Buffer.byteLength(payload) > maxValueBytes) {
      statistics.tooLarge++
      return null
    }
    return { freshUntil: now() + ttlMs, payload }
  }

  /** Resolves, by the command's deadline at the latest, to whether Redis took it. It stays `staleMs` longer than it is fresh. */
  async write (key: string, entry: Entry, staleMs: number): Promise<boolean> {
    this.#remember(key, entry)
    const taken = await this.redis.write(key, entryText(entry), Math.max(1, entry.freshUntil - this.#options.now()) + staleMs)
    if (taken) this.unsettled.settled(key)
    return taken
  }

  forget (key: string): void {
    this.#memory?.delete(key)
  }

  close (): void {
    this.redis.close()
    this.#memory?.clear()
    this.unsettled.clear()
  }

  /** What Redis holds under an unsettled key is not read, but removed. */
  #read (key: string): Promise<string | null | undefined> | undefined {
    if (!this.unsettled.has(key)) return this.redis.read(key)
    this.unsettled.settle(key)
    return undefined
  }

  async #lookCounted (key: string, answer: Promise<string | null | undefined>): Promise<Lookup> {
    const text = await answer
    if (text === undefined) return this.#bypass(key)
    const lookup = this.#understand(key, text)
    if (lookup.found !== null && this.isFresh(lookup.found)) this.#options.statistics.hits++
    else this.#options.statistics.misses++
    return lookup
  }

  #bypass (key: string): Lookup {
    const { statistics, memoryTtlMs, now } = this.#options
    statistics.bypassed++
    const kept = this.#memory?.get(key)
    const found = kept === undefined ? null : this.#decode(kept.entry)
    if (found === null) return UNANSWERED
    const at = now()
    if (at >= found.freshUntil) return { answered: false, found }
    // Another process may have replaced it meanwhile, so it may be needed, but is not fresh.
    if (at - kept!.keptAt >= memoryTtlMs) return { answered: false, found: { value: found.value, freshUntil: at } }
    statistics.memoryHits++
    return { answered: false, found }
  }

  #understand (key: string, text: string | null): Lookup {
    const entry = text === null ? null : parseEntry(text)
    const found = entry === null ? null : this.#decode(entry)
    if (text !== null && entry === null) this.#options.statistics.corrupt++
    if (found === null) {
      this.forget(key)
      return ABSENT
    }
    this.#remember(key, entry!)
    return { answered: true, found }
  }

  #decode ({ payload, freshUntil }: Entry): Found | null {
    if (payload === null) return { value: undefined, freshUntil }
    try {
      return { value: this.#options.codec.decode(payload), freshUntil }
    } catch {
      this.#options.statistics.corrupt++
      return null
    }
  }

  #remember (key: string, entry: Entry): void {
    this.#memory?.set(key, { entry, keptAt: this.#options.now() })
  }
}

function attempt<T> (run: () => T): T | undefined {
  try {
    return run()
  } catch {
    return undefined
  }
}
