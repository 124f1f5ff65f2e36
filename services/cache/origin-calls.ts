import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { jittered } from './entry.ts'
import type { Statistics } from './statistics.ts'
import type { Terms } from './terms.ts'
import type { Found, Tiers } from './tiers.ts'

export interface OriginCallsOptions {
  tiers: Tiers
  statistics: Statistics
  /** Told how long each successful call took, in ms. */
  onCalled: (ms: number) => void
  random: () => number
  /** Monotonic time in ms. */
  clock: () => number
  /** Milliseconds since 1970. */
  now: () => number
}

/** Where a value lives in Redis, and the lock of the process that fetches it. */
export interface Place {
  readonly key: string
  readonly lock: string
}

/** A value being fetched, and what to do with it. */
interface Flight {
  readonly place: Place
  readonly terms: Terms
  readonly origin: () => unknown
  readonly startedAt: number
  /** The key was set or deleted meanwhile: what the origin says may be older than that. */
  superseded: boolean
}

/** An origin that hangs must not take all later callers with it: after so long another call is made. */
const JOIN_MS = 10_000
const FIRST_POLL_MS = 5
const LONGEST_POLL_MS = 50

/** Decides for each value whether the origin is called, and sees that it is called once. */
export class OriginCalls {
  readonly #options: OriginCallsOptions
  readonly #tiers: Tiers
  readonly #statistics: Statistics
  readonly #flights = new Map<string, Flight & { promise: Promise<unknown> }>()
  readonly #refreshes = new Map<string, Flight>()
  readonly #owner = randomUUID()
  #locks = 0
  #closed = false

  constructor (options: OriginCallsOptions) {
    this.#options = options
    this.#tiers = options.tiers
    this.#statistics = options.statistics
  }

  /** The value from wherever it can be had. Rejects only with what the origin rejects with. */
  get (place: Place, terms: Terms, origin: () => unknown): Promise<unknown> {
    const { key } = place
    const underWay = this.#flights.get(key)
    if (underWay !== undefined && this.#isYoung(underWay)) {
      this.#statistics.coalesced++
      return underWay.promise
    }
    const flight = this.#flight(place, terms, origin)
    // Later, so that the flight is known before its origin runs.
    const promise = Promise.resolve().then(() => this.#find(flight))
    this.#flights.set(key, Object.assign(flight, { promise }))
    const landed = () => { if (this.#flights.get(key) === flight) this.#flights.delete(key) }
    promise.then(landed, landed)
    return promise
  }

  /** What is being fetched under this key is answered to those who wait for it, but not kept. */
  supersede (key: string): void {
    for (const flights of [this.#flights, this.#refreshes]) {
      const flight = flights.get(key)
      if (flight !== undefined) flight.superseded = true
      flights.delete(key)
    }
  }

  /** From here on nobody waits for another process. */
  close (): void {
    this.#closed = true
  }

  #flight (place: Place, terms: Terms, origin: () => unknown): Flight {
    return { place, terms, origin, startedAt: this.#options.clock(), superseded: false }
  }

  #isYoung ({ startedAt }: Flight): boolean {
    return this.#options.clock() - startedAt < JOIN_MS
  }

  async #find (flight: Flight): Promise<unknown> {
    const { place, terms } = flight
    const looking = this.#tiers.look(place.key)
    const { answered, found } = looking instanceof Promise ? await looking : looking
    if (found !== null && this.#tiers.isFresh(found)) return found.value
    const stale = this.#usable(found, terms)
    if (stale !== null && terms.revalidate) {
      this.#statistics.stale++
      this.#refresh(flight, answered)
      return stale.value
    }
    return answered && terms.lockMs > 0 ? await this.#fetchAlone(flight, stale) : await this.#fetch(flight, stale, answered, null)
  }

  /** Waits for the process that holds the lock, never longer than the lock lives, and takes its place if it leaves without a value. */
  async #fetchAlone (flight: Flight, stale: Found | null): Promise<unknown> {
    const { clock, random } = this.#options
    const { key, lock } = flight.place
    const lockMs = lifetime(flight.terms)
    const giveUpAt = clock() + lockMs
    const token = this.#token()
    for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(LONGEST_POLL_MS, pollMs * 1.5)) {
      const locked = await this.#tiers.redis.lock(lock, token, lockMs)
      const leftMs = giveUpAt - clock()
      // Also without an answer: it may be ours all the same, and giving back what is not does no harm.
      if (locked !== false) return await this.#fetch(flight, stale, true, token)
      if (leftMs <= 0 || flight.superseded || this.#closed) return await this.#fetch(flight, stale, true, null)
      await delay(Math.min(leftMs, pollMs * (0.5 + random())), undefined, { ref: false })
      const { answered, found } = await this.#tiers.peek(key)
      if (found !== null && this.#tiers.isFresh(found)) {
        this.#statistics.shared++
        return found.value
      }
      if (!answered) return await this.#fetch(flight, stale, false, null)
    }
  }

  async #fetch (flight: Flight, stale: Found | null, answered: boolean, token: string | null): Promise<unknown> {
    const { place, terms, origin } = flight
    const { clock, onCalled } = this.#options
    this.#statistics.originCalls++
    const calledAt = clock()
    let value: unknown
    try {
      value = await origin()
      onCalled(clock() - calledAt)
    } catch (error) {
      this.#statistics.originErrors++
      this.#release(place, token)
      const rescue = this.#usable(stale ?? await this.#lookAtLast(flight, answered), terms)
      if (rescue === null) throw error
      this.#statistics.stale++
      return rescue.value
    }
    this.#keep(flight, value, token)
    return value
  }

  /** Nobody waits for it. */
  #keep (flight: Flight, value: unknown, token: string | null): void {
    const { place, terms: { ttlMs, negativeTtlMs, staleMs, jitter } } = flight
    const lifeMs = value === undefined || value === null ? negativeTtlMs : ttlMs
    const entry = flight.superseded || lifeMs === 0 ? null : this.#tiers.encode(value, jittered(lifeMs, jitter, this.#options.random))
    if (entry === null) return this.#release(place, token)
    // With the value there the lock is left to expire: whoever missed a moment ago, and asks for the lock only now, must not get it.
    void this.#tiers.write(place.key, entry, staleMs).then((taken) => { if (!taken) this.#release(place, token) })
  }

  #refresh (flight: Flight, answered: boolean): void {
    const { place, place: { key }, terms, origin } = flight
    const underWay = this.#refreshes.get(key)
    if (underWay !== undefined && this.#isYoung(underWay)) return
    const refresh = this.#flight(place, terms, origin)
    this.#refreshes.set(key, refresh)
    const landed = () => { if (this.#refreshes.get(key) === refresh) this.#refreshes.delete(key) }
    // What the origin rejects with is counted; the caller has its value already.
    this.#fetchUnlessLocked(refresh, answered).then(landed, landed)
  }

  async #fetchUnlessLocked (refresh: Flight, answered: boolean): Promise<void> {
    const { place, terms } = refresh
    const token = answered && terms.lockMs > 0 ? this.#token() : null
    const locked = token === null ? undefined : await this.#tiers.redis.lock(place.lock, token, lifetime(terms))
    if (locked !== false) await this.#fetch(refresh, null, true, token)
  }

  /** Only where nobody could say whether there is one. */
  async #lookAtLast ({ place, terms }: Flight, answered: boolean): Promise<Found | null> {
    return answered || terms.staleMs === 0 ? null : await this.#tiers.lookAtLast(place.key)
  }

  #usable (found: Found | null, { staleMs }: Terms): Found | null {
    return found !== null && this.#options.now() < found.freshUntil + staleMs ? found : null
  }

  #token (): string {
    return `${this.#owner}:${this.#locks++}`
  }

  #release ({ lock }: Place, token: string | null): void {
    if (token !== null) this.#tiers.redis.release(lock, token)
  }
}

/** A lock that outlives its value would keep others from fetching the next one. */
function lifetime ({ lockMs, ttlMs }: Terms): number {
  return Math.max(1, Math.min(lockMs, ttlMs / 2))
}
