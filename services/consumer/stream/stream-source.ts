import { randomUUID } from 'node:crypto'
import type { Logger } from '../../observability/logger.ts'
import { silentLogger } from '../../observability/logger.ts'
import { deadLetter } from '../../queue/dead-letter.ts'
import { slotKey } from '../../queue/keys.ts'
import { ConsumerOptionInvalid, DeliveriesExhausted } from '../errors.ts'
import { command } from '../redis-script.ts'
import type { RedisCommands, RedisScript } from '../redis-script.ts'
import type { Delivery, Recovered, Source } from '../source.ts'
import { addressee, delivery, readEntries, takenEntries } from './stream-entry.ts'
import type { Entry, TakeReply } from './stream-entry.ts'
import { ACKNOWLEDGE, BURY, HAND_BACK, LEAVE, RECOVER, RELEASE, RENEW, RETRY, TAKE } from './stream-scripts.ts'

type Argument = string | number | Buffer

export interface StreamSourceOptions {
  /**
   * An ioredis client or cluster with `enableOfflineQueue: false` and `autoResendUnfulfilledCommands: false`: a take that is sent twice
   * takes twice.
   */
  client: RedisCommands
  /** Another connection to the same Redis, for the call that waits for messages. */
  blocking: RedisCommands
  /** As the publisher knows it; the stream is `{queue}:stream`. */
  queue: string
  /** Each group gets every message; the consumers of one share them. Default `breakwater`. */
  group?: string
  /** Unique among all consumers of the group, now and before. Default: a random name. */
  consumer?: string
  /** How long an entry may go without renewal before others take it. Default 30 000 ms. */
  visibilityMs?: number
  /** Where a new group begins: `0`, the default, is the oldest entry there is, `$` what comes from now on. */
  from?: string
  /** An entry that was taken so often already becomes a dead letter; every recovery and every hand-back leads to another. Default 10. */
  maxDeliveries?: number
  /** Dead letters go to `{queue}:dlq`, in the slot of the queue, instead of `<queue>:dlq`. Default false. */
  cluster?: boolean
  /** Deadline of each command, on top of the time it waits. Default 2000 ms. */
  commandTimeoutMs?: number
  logger?: Logger
}

/** Of our consumers; those of other makes are never forgotten. */
const PREFIX = 'breakwater:'
/** Holds what was given back until somebody takes it. No consumer reads under this name. */
const RETURNED = 'breakwater:returned'
/** Longer than any consumer waits before it claims an entry. */
const LONG_IDLE_MS = 365 * 24 * 60 * 60 * 1000
const FORGET_AFTER_MS = 60 * 60 * 1000
const RECOVER_BATCH = 100
const MAX_RECOVER_BATCHES = 10

/**
 * A consumer group of a Redis stream (Redis ≥ 6.2, Valkey). An entry is pending until it is settled, and its idle time is the lease: renewing
 * resets it, and what has been idle for longer than the visibility, XAUTOCLAIM gives back. What was given back is taken first, oldest first.
 */
export class StreamSource implements Source {
  readonly visibilityMs: number
  readonly queue: string
  readonly #options: Required<StreamSourceOptions>
  readonly #stream: string
  readonly #delayed: string
  readonly #deadLetters: string
  #grouped = false
  #cursor = '0-0'

  /** @throws FST_BRK_CONSUMER_OPTION */
  constructor (options: StreamSourceOptions) {
    const defaults = { group: 'breakwater', consumer: PREFIX + randomUUID(), visibilityMs: 30_000, from: '0', maxDeliveries: 10, cluster: false, commandTimeoutMs: 2000 }
    this.#options = { ...defaults, logger: silentLogger, ...options }
    const { client, blocking, queue, group, visibilityMs, cluster } = this.#options
    if (client === blocking) throw new ConsumerOptionInvalid('"blocking" must be a connection of its own: what is sent behind a blocked call waits.')
    if (!/^\S+$/.test(group)) throw new ConsumerOptionInvalid('group must be a name without spaces.')
    if (!(visibilityMs > 0)) throw new ConsumerOptionInvalid('visibilityMs must be above 0.')
    this.visibilityMs = visibilityMs
    this.queue = queue
    this.#stream = slotKey(queue, 'stream')
    this.#delayed = slotKey(queue, 'stream-delayed')
    this.#deadLetters = cluster ? slotKey(queue, 'dlq') : `${queue}:dlq`
  }

  async take (max: number, waitMs: number): Promise<Delivery[]> {
    const entries = await this.#withGroup(() => this.#takeEntries(max, waitMs))
    return await this.#sift(entries)
  }

  async renew (deliveries: Delivery[]): Promise<Set<string>> {
    if (deliveries.length === 0) return new Set()
    const kept = await this.#settle<number[]>(RENEW, [this.#stream], deliveries.flatMap(proof), [])
    return new Set(deliveries.flatMap(({ receipt }, index) => kept[index] === 1 ? [receipt] : []))
  }

  async acknowledge (delivery: Delivery): Promise<boolean> {
    return await this.#settle(ACKNOWLEDGE, [this.#stream], proof(delivery), 0) === 1
  }

  /** The message comes back at the end of the stream, after all that was published meanwhile, and only this group sees it again. */
  async retry (delivery: Delivery, body: Buffer, delayMs: number): Promise<boolean> {
    return await this.#settle(RETRY, [this.#stream, this.#delayed], [...proof(delivery), Math.ceil(delayMs), body], 0) === 1
  }

  async bury (delivery: Delivery, letter: Buffer): Promise<boolean> {
    return await this.#settle(BURY, [this.#stream, this.#deadLetters], [...proof(delivery), letter], 0) === 1
  }

  async handBack (deliveries: Delivery[]): Promise<number> {
    if (deliveries.length === 0) return 0
    return await this.#settle(HAND_BACK, [this.#stream], [RETURNED, LONG_IDLE_MS, ...deliveries.flatMap(proof)], 0)
  }

  async recover (): Promise<Recovered> {
    const due = await this.#run<number>(RELEASE, [this.#stream, this.#delayed], [RECOVER_BATCH])
    return { abandoned: await this.#withGroup(() => this.#giveBackAbandoned()), due }
  }

  /** Takes this consumer out of the group, unless it still holds something. To be called when nothing more is taken. */
  async close (): Promise<void> {
    await this.#settle(LEAVE, [this.#stream], [], 0)
  }

  async #takeEntries (max: number, waitMs: number): Promise<Entry[]> {
    const { blocking, group, consumer, commandTimeoutMs } = this.#options
    const reply = await this.#run<TakeReply>(TAKE, [this.#stream, this.#delayed], [group, consumer, RETURNED, max, RECOVER_BATCH])
    const [taken, vanished, dueInMs] = reply
    this.#reportVanished(vanished)
    const blockMs = Math.floor(dueInMs < 0 ? waitMs : Math.min(waitMs, dueInMs))
    // To Redis 0 means for ever.
    if (taken.length > 0 || blockMs < 1) return takenEntries(reply)
    return readEntries(await command(blocking, blockMs + commandTimeoutMs, 'wait',
      ['xreadgroup', 'GROUP', group, consumer, 'COUNT', max, 'BLOCK', blockMs, 'STREAMS', this.#stream, '>']))
  }

  /** Leaves out what another group is to retry, and what nobody can handle. */
  async #sift (entries: Entry[]): Promise<Delivery[]> {
    const { group, maxDeliveries } = this.#options
    const others = entries.filter((entry) => (addressee(entry) ?? group) !== group)
    if (others.length > 0) await this.#command('xack', this.#stream, group, ...others.map(({ id }) => id))
    const mine: Delivery[] = []
    for (const entry of entries) {
      if (others.includes(entry)) continue
      if (entry.deliveries > maxDeliveries) await this.#giveUp(delivery(entry))
      else mine.push(delivery(entry))
    }
    return mine
  }

  async #giveUp (delivery: Delivery): Promise<void> {
    const { queue, logger } = this.#options
    const { receipt, body, deliveries } = delivery
    try {
      await this.bury(delivery, deadLetter(body, new DeliveriesExhausted(deliveries - 1), queue))
      logger.warn({ receipt }, 'message was taken too often, it becomes a dead letter')
    } catch (err) {
      // It stays pending and comes back later; the rest of the batch is not to wait for it.
      logger.warn({ err, receipt }, 'message was taken too often, and could not be buried')
    }
  }

  /** In bounded batches; the next call goes on where this one stopped. */
  async #giveBackAbandoned (): Promise<number> {
    const { group, visibilityMs } = this.#options
    let abandoned = 0
    for (let batch = 0; batch < MAX_RECOVER_BATCHES; batch++) {
      const [cursor, moved, vanished] = await this.#run<[Buffer, number, number]>(RECOVER, [this.#stream],
        [group, RETURNED, visibilityMs, this.#cursor, RECOVER_BATCH, LONG_IDLE_MS, PREFIX, FORGET_AFTER_MS])
      abandoned += moved
      this.#reportVanished(vanished)
      this.#cursor = cursor.toString()
      if (this.#cursor === '0-0') break
    }
    return abandoned
  }

  #reportVanished (vanished: number): void {
    if (vanished === 0) return
    this.#options.logger.error({ vanished, stream: this.#stream }, 'entries were deleted from the stream before they were acknowledged')
  }

  async #run<T> (script: RedisScript, keys: string[], args: Argument[]): Promise<T> {
    return await script.run(this.#options.client, keys, args, this.#options.commandTimeoutMs) as T
  }

  async #command (...args: [string, ...Argument[]]): Promise<unknown> {
    return await command(this.#options.client, this.#options.commandTimeoutMs, args[0], args)
  }

  /** Without the group nothing is anybody's: `nothing` then. */
  async #settle<T> (script: RedisScript, keys: string[], args: Argument[], nothing: T): Promise<T> {
    const { group, consumer } = this.#options
    try {
      return await this.#run<T>(script, keys, [group, consumer, ...args])
    } catch (err) {
      if (!isMissing(err)) throw err
      return nothing
    }
  }

  /** A group that is gone, after a flush or a failover, begins again with the oldest entry: what was read before may come twice, nothing is skipped. */
  async #withGroup<T> (call: () => Promise<T>): Promise<T> {
    if (!this.#grouped) await this.#createGroup(this.#options.from)
    try {
      return await call()
    } catch (err) {
      if (!isMissing(err)) throw err
    }
    await this.#createGroup('0')
    return await call()
  }

  async #createGroup (from: string): Promise<void> {
    const { group, logger } = this.#options
    try {
      await this.#command('xgroup', 'CREATE', this.#stream, group, from, 'MKSTREAM')
      logger.info({ stream: this.#stream, group, from }, 'consumer group created')
    } catch (err) {
      if (!String((err as Error).message).includes('BUSYGROUP')) throw err
    }
    this.#grouped = true
  }
}

function proof ({ receipt, deliveries }: Delivery): [string, number] {
  return [receipt.slice(0, receipt.indexOf('/')), deliveries]
}

/** A script's error has a text around the server's. A blocked reader of a stream that is deleted hears UNBLOCKED. */
function isMissing (err: unknown): boolean {
  return /NOGROUP|UNBLOCKED/.test(String((err as Error).message))
}
