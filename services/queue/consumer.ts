import { setTimeout as delay } from 'node:timers/promises'
import { fullJitter } from '../resilience/backoff.ts'
import { deadLetter } from './dead-letter.ts'
import { ConsumerTimeout } from './errors.ts'
import { readEnvelope } from './read-envelope.ts'
import type { ReceivedMessage } from './read-envelope.ts'

/**
 * The part of an ioredis client that a consumer uses. It needs a connection of its own, because it blocks, with
 * `enableOfflineQueue: false` and `autoResendUnfulfilledCommands: false`: a take that is sent twice takes two messages.
 */
export interface ConsumerClient {
  blmoveBuffer (source: string, destination: string, from: 'RIGHT', to: 'LEFT', seconds: number): Promise<Buffer | null>
  lmove (source: string, destination: string, from: 'LEFT', to: 'RIGHT'): Promise<string | null>
  lrem (key: string, count: number, element: Buffer): Promise<number>
  eval (script: string, keyCount: number, ...keysAndArguments: (string | Buffer)[]): Promise<unknown>
  disconnect (reconnect: boolean): void
}

export interface ConsumerLogger {
  info (details: object, text: string): void
  warn (details: object, text: string): void
}

export interface ConsumerOptions {
  client: ConsumerClient
  queue: string
  /** Resolves when the message is done with; a rejection makes it a dead letter. `body` is the exact text taken. */
  handler: (message: ReceivedMessage, body: string) => unknown
  /** How long one take waits in the server, so also how long `stop()` waits for an idle consumer. Default 1000 ms. */
  blockMs?: number
  /** Deadline of a command's answer, on top of the time it may block. Default 2000 ms. */
  commandTimeoutMs?: number
  /** How long `stop()` goes on trying to acknowledge the message in hand while Redis is away. Default 5000 ms. */
  stopTimeoutMs?: number
  logger?: ConsumerLogger
  random?: () => number
}

export interface RunLimits {
  /** Return after so many messages, dead letters included. */
  count?: number
  /** Return as soon as the queue is empty. */
  untilEmpty?: boolean
}

/** Pushes before it removes, so that a refused push leaves the message in flight, and undoes the push when it is ours no longer. */
const BURY = `
redis.call('LPUSH', KEYS[2], ARGV[2])
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then return 1 end
redis.call('LPOP', KEYS[2])
return 0`

const BACKOFF_BASE_MS = 50
const BACKOFF_CAP_MS = 1000

/**
 * Takes messages one at a time, oldest first (Redis ≥ 6.2). A message leaves `<queue>:processing` only when the handler is done with it or it
 * lies in `<queue>:dlq`, so a consumer that dies leaves it there: each message is handled at least once, deduplicate by `message_id`.
 */
export class Consumer {
  readonly #options: Required<Omit<ConsumerOptions, 'logger'>>
  readonly #logger: ConsumerLogger | undefined
  readonly #stopping = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #giveUpAt = Infinity
  #failures = 0
  #handled = 0
  #deadLettered = 0

  constructor ({ logger, ...options }: ConsumerOptions) {
    this.#options = { blockMs: 1000, commandTimeoutMs: 2000, stopTimeoutMs: 5000, random: Math.random, ...options }
    this.#logger = logger
  }

  get stats (): { handled: number, deadLettered: number } {
    return { handled: this.#handled, deadLettered: this.#deadLettered }
  }

  /** Works until `stop()` or a limit, through any outage of Redis. Never rejects. */
  run (limits: RunLimits = {}): Promise<void> {
    this.#running = this.#loop(limits)
    return this.#running
  }

  /** Finishes the message in hand and takes no other. */
  async stop (): Promise<void> {
    this.#giveUpAt = Math.min(this.#giveUpAt, performance.now() + this.#options.stopTimeoutMs)
    this.#stopping.abort()
    await this.#running
  }

  /**
   * Puts what dead consumers left in `<queue>:processing` back, to be taken next and in its old order.
   * Only for a queue without another live consumer: its messages in hand would be handled twice.
   */
  async recover (): Promise<number> {
    const { client, queue } = this.#options
    for (let recovered = 0; ; recovered++) {
      const moved = await this.#answer('LMOVE', client.lmove(this.#processing, queue, 'LEFT', 'RIGHT'))
      if (moved === null) return recovered
    }
  }

  get #processing (): string { return `${this.#options.queue}:processing` }

  async #loop ({ count = Infinity, untilEmpty = false }: RunLimits): Promise<void> {
    for (let done = 0; done < count && !this.#stopping.signal.aborted;) {
      const taken = await this.#take(untilEmpty ? 10 : this.#options.blockMs)
      if (taken === 'nothing' && untilEmpty) return
      if (typeof taken === 'string') continue
      await this.#settle(taken)
      done++
    }
  }

  async #take (blockMs: number): Promise<Buffer | 'nothing' | 'outage'> {
    const { client, queue } = this.#options
    try {
      const take = client.blmoveBuffer(queue, this.#processing, 'RIGHT', 'LEFT', blockMs / 1000)
      const taken = await this.#answer('BLMOVE', take, blockMs)
      this.#succeeded()
      return taken ?? 'nothing'
    } catch (err) {
      await this.#failed(err)
      return 'outage'
    }
  }

  async #settle (taken: Buffer): Promise<void> {
    const { client, queue, handler } = this.#options
    try {
      const body = taken.toString()
      await handler(readEnvelope(body), body)
    } catch (err) {
      this.#logger?.warn({ err }, 'message could not be handled, it becomes a dead letter')
      const letter = deadLetter(taken, err, queue)
      const buried = await this.#untilDone('EVAL', () =>
        client.eval(BURY, 2, this.#processing, `${queue}:dlq`, taken, letter))
      if (buried) this.#deadLettered++
      return
    }
    if (await this.#untilDone('LREM', () => client.lrem(this.#processing, 1, taken))) this.#handled++
  }

  /** Repeats a settling command, each of which is safe to repeat, until Redis has answered or `stop()` gives up. */
  async #untilDone (name: string, command: () => Promise<unknown>): Promise<boolean> {
    do {
      try {
        await this.#answer(name, command())
        this.#succeeded()
        return true
      } catch (err) {
        await this.#failed(err)
      }
    } while (performance.now() < this.#giveUpAt)
    this.#logger?.warn({ command: name }, 'stopped during an outage: a message that is done with stays in processing')
    return false
  }

  /** No answer in time means a dead socket: a new connection is the only way to know. */
  async #answer<T> (name: string, command: Promise<T>, blockMs = 0): Promise<T> {
    const timeoutMs = blockMs + this.#options.commandTimeoutMs
    const timer = new AbortController()
    const expiry = delay(timeoutMs, undefined, { signal: timer.signal }).then(() => {
      this.#options.client.disconnect(true)
      throw new ConsumerTimeout(name, timeoutMs)
    })
    try {
      return await Promise.race([command, expiry])
    } finally {
      timer.abort()
    }
  }

  #succeeded (): void {
    if (this.#failures > 0) this.#logger?.info({ failures: this.#failures }, 'queue is back')
    this.#failures = 0
  }

  async #failed (err: unknown): Promise<void> {
    if (this.#failures === 0) this.#logger?.warn({ err }, 'queue is not available, trying again')
    const pauseMs = fullJitter(this.#failures++, BACKOFF_BASE_MS, BACKOFF_CAP_MS, this.#options.random)
    // An idle pause ends with `stop()`; the pauses after it keep their pace.
    const signal = this.#stopping.signal.aborted ? undefined : this.#stopping.signal
    await delay(pauseMs, undefined, signal && { signal }).catch(() => {})
  }
}
