/** What the counter needs of a Redis client. */
export interface CounterClient {
  eval (script: string, keyCount: number, ...keysAndArguments: (string | number)[]): Promise<unknown>
}

export interface RateCounterOptions {
  windowMs: number
  /** Null: every process counts for itself. */
  client: CounterClient | null
  /** Whether it is worth asking the client; O(1). */
  available: () => boolean
  /** How often the counts of all processes are put together. Default 100. */
  shareMs?: number
  /** Epoch ms. */
  now?: () => number
}

interface Count {
  window: number
  /** Requests that this process has seen in this window. */
  own: number
  /** Of these, how many the others have been told of. */
  told: number
  /** Requests that the others have seen, as far as known. */
  others: number
}

/** Callers remembered at once. Beyond it the oldest is forgotten, which lets it through. */
const MAX_CALLERS = 10_000
const MAX_SHARED_AT_ONCE = 200

/** KEYS: one for each caller and window. ARGV: how long they live in ms, then what to add to each. Returns the sums. */
const SHARE = `
local sums = {}
for index, key in ipairs(KEYS) do
  sums[index] = redis.call('INCRBY', key, ARGV[index + 1])
  redis.call('PEXPIRE', key, ARGV[1])
end
return sums`

/**
 * Counts requests in fixed windows that all processes share. A request never waits for Redis: it is judged by what this process has
 * counted and what it has heard of the others a moment ago. Without Redis each process counts for itself.
 */
export class RateCounter {
  readonly #options: Required<RateCounterOptions>
  readonly #counts = new Map<string, Count>()
  #timer: NodeJS.Timeout | null = null
  #sharing = false

  constructor (options: RateCounterOptions) {
    this.#options = { shareMs: 100, now: Date.now, ...options }
  }

  /** Counts one request and returns how many there were in this window, and when it ends. */
  add (caller: string): { current: number, ttl: number } {
    const { windowMs, now } = this.#options
    const at = now()
    const window = Math.floor(at / windowMs)
    let count = this.#counts.get(caller)
    if (count?.window !== window) {
      this.#counts.delete(caller)
      count = { window, own: 0, told: 0, others: 0 }
      this.#counts.set(caller, count)
      if (this.#counts.size > MAX_CALLERS) this.#counts.delete(this.#counts.keys().next().value!)
    }
    count.own++
    this.#scheduleShare()
    return { current: count.own + count.others, ttl: (window + 1) * windowMs - at }
  }

  stop (): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #scheduleShare (): void {
    if (this.#timer !== null || this.#sharing || this.#options.client === null) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      void this.#share()
    }, this.#options.shareMs).unref()
  }

  /** Tells the others what is new here, and hears what is new there. What fails is told with the next share. */
  async #share (): Promise<void> {
    const { client, available, windowMs } = this.#options
    const news = [...this.#counts].filter(([, { own, told }]) => own > told).slice(-MAX_SHARED_AT_ONCE)
    if (news.length === 0 || client === null || !available()) return
    this.#sharing = true
    const amounts = news.map(([, { own, told }]) => own - told)
    const keys = news.map(([caller, { window }]) => `breakwater:rate:${window}:${caller}`)
    try {
      const sums = await client.eval(SHARE, keys.length, ...keys, 2 * windowMs, ...amounts) as number[]
      news.forEach(([, count], index) => {
        count.told += amounts[index]!
        count.others = Math.max(0, sums[index]! - count.told)
      })
    } catch {
      // The guard has counted and logged it. Requests go on being judged by what is known here.
    } finally {
      this.#sharing = false
    }
  }
}
