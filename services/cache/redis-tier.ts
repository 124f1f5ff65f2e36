import type { Redis } from 'ioredis'
import { Deadline, Deadlines } from '../resilience/deadlines.ts'
import type { Patience } from './patience.ts'
import type { Statistics } from './statistics.ts'

export type CacheClient = Pick<Redis, 'get' | 'set' | 'del' | 'eval'>

export interface RedisTierOptions {
  /** Null: Redis is disabled. Its commands must end by a deadline of their own. */
  client: CacheClient | null
  /** Whether a command would be sent now; O(1). */
  available: () => boolean
  patience: Patience
  statistics: Statistics
  /** Monotonic time in ms. */
  clock: () => number
}

/** Writes under way at the same time; what is beyond them is lost, which a cache can bear and a process without memory cannot. */
const MAX_PENDING_WRITES = 1000
const MAX_PENDING_CHARACTERS = 8 * 1024 ** 2

/** Removes a lock, unless it has expired and belongs to another by now. */
const RELEASE = 'if redis.call(\'GET\', KEYS[1]) == ARGV[1] then return redis.call(\'DEL\', KEYS[1]) end return 0'

/**
 * Redis as a cache sees it: it may answer, and soon, or be left alone. Nothing here rejects; `undefined` means that there is no answer.
 * Whoever stops waiting has not cancelled the command: the guard goes on watching it, and its breaker learns how it ends.
 */
export class RedisTier {
  readonly #options: RedisTierOptions
  /** For each length of the patience one: in each list all deadlines are equally far away. */
  readonly #deadlines = new Map<number, Deadlines>()
  readonly #waits = new Set<Wait>()
  #pendingWrites = 0
  #pendingCharacters = 0
  #closed = false

  constructor (options: RedisTierOptions) {
    this.#options = options
  }

  get enabled (): boolean { return this.#options.client !== null }

  get available (): boolean {
    return !this.#closed && this.#options.client !== null && this.#options.available()
  }

  /** Null: Redis has nothing under this key. `undefined`, at once: it is not asked. */
  read (key: string): Promise<string | null | undefined> | undefined {
    return this.#ask((client) => client.get(key))
  }

  /** As {@link RedisTier.read}, but with the patience of somebody who has nothing else left: until the command's own deadline. */
  async readAtLast (key: string): Promise<string | null | undefined> {
    if (!this.available) return undefined
    return await this.#guarded(this.#options.client!.get(key))
  }

  /** Whether the lock is ours now. */
  lock (key: string, token: string, lockMs: number): Promise<boolean | undefined> | undefined {
    return this.#ask(async (client) => await client.set(key, token, 'PX', Math.ceil(lockMs), 'NX') === 'OK')
  }

  release (key: string, token: string): void {
    if (this.available) void this.#guarded(this.#options.client!.eval(RELEASE, 1, key, token))
  }

  /** Resolves, by the command's deadline at the latest, to whether Redis took it. */
  async write (key: string, text: string, ttlMs: number): Promise<boolean> {
    const { statistics, client } = this.#options
    const full = this.#pendingWrites >= MAX_PENDING_WRITES || this.#pendingCharacters + text.length > MAX_PENDING_CHARACTERS
    if (client === null) return false
    if (full || !this.available) {
      statistics.writesLost++
      return false
    }
    this.#pendingWrites++
    this.#pendingCharacters += text.length
    const reply = await this.#guarded(client.set(key, text, 'PX', Math.ceil(ttlMs)))
    this.#pendingWrites--
    this.#pendingCharacters -= text.length
    if (reply === undefined) statistics.writesLost++
    return reply !== undefined
  }

  /** Resolves, by the command's deadline at the latest, to whether it is gone for certain. */
  async remove (...keys: [string, ...string[]]): Promise<boolean> {
    if (!this.available) return false
    // One by one: in a cluster they live on different nodes.
    const replies = await Promise.all(keys.map((key) => this.#guarded(this.#options.client!.del(key))))
    return replies.every((reply) => reply !== undefined)
  }

  /** Waits for what is under way as long as for a lookup; `undefined`: it took longer, and goes on. */
  patiently<T> (sent: Promise<T>): Promise<T | undefined> | undefined {
    if (this.#options.patience.suspected) return undefined
    return this.#wait(sent, this.#options.clock())
  }

  close (): void {
    this.#closed = true
  }

  #ask<T> (send: (client: CacheClient) => Promise<T>): Promise<T | undefined> | undefined {
    const { patience, client, clock } = this.#options
    if (!this.available) return undefined
    const stance = patience.stance()
    if (stance === 'skip') return undefined
    const sentAt = clock()
    const sent = this.#guarded(send(client!))
    if (stance === 'wait') return this.#wait(sent, sentAt)
    void sent.then((reply) => { patience.probed(reply === undefined ? null : clock() - sentAt) })
    return undefined
  }

  #wait<T> (sent: Promise<T>, sentAt: number): Promise<T | undefined> {
    const { patience, clock } = this.#options
    const { promise, resolve } = Promise.withResolvers<T | undefined>()
    const wait = this.#deadlinesOf(patience.ms).insert(new Wait((explainedByLag) => this.#lapsed(wait, explainedByLag), () => resolve(undefined)))
    this.#waits.add(wait)
    void sent.then((reply) => {
      const waiting = this.#waits.delete(wait)
      wait.cancel()
      if (reply !== undefined) {
        if (waiting) patience.answered(clock() - sentAt)
        else patience.late(clock() - sentAt)
      }
      if (waiting) resolve(reply)
    })
    return promise
  }

  /** Replies come in the order of the questions: where the oldest is not answered, none is. */
  #lapsed (wait: Wait, explainedByLag: boolean): void {
    const given = explainedByLag ? [wait] : [...this.#waits]
    if (!explainedByLag) this.#options.patience.lapsed()
    for (const waiting of given) {
      this.#waits.delete(waiting)
      waiting.cancel()
      waiting.giveUp()
    }
  }

  #deadlinesOf (timeoutMs: number): Deadlines {
    let deadlines = this.#deadlines.get(timeoutMs)
    if (deadlines === undefined) {
      deadlines = new Deadlines(timeoutMs, { clock: this.#options.clock, lagToleranceMs: timeoutMs })
      this.#deadlines.set(timeoutMs, deadlines)
    }
    return deadlines
  }

  async #guarded<T> (sent: Promise<T>): Promise<T | undefined> {
    try {
      return await sent
    } catch {
      // The guard has counted, logged and classified it.
      this.#options.statistics.errorsAvoided++
      return undefined
    }
  }
}

class Wait extends Deadline {
  readonly giveUp: () => void
  readonly #lapse: (explainedByLag: boolean) => void

  constructor (lapse: (explainedByLag: boolean) => void, giveUp: () => void) {
    super()
    this.#lapse = lapse
    this.giveUp = giveUp
  }

  expire (explainedByLag: boolean): void {
    this.#lapse(explainedByLag)
  }
}
