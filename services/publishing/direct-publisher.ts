import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import type { Durability } from '../journal/journal.ts'
import { fullJitter } from '../resilience/backoff.ts'
import { slotKey } from '../queue/keys.ts'
import { PublisherLink } from './publisher.ts'
import type { DeliverOptions, SealedMessage } from './publisher.ts'
import { NotPublished, PossiblyPublished } from './errors.ts'

export interface DirectPublisherOptions {
  /** A guarded connection: its commands have deadlines of their own. Null: Redis is disabled, and everything is refused. */
  client: Redis | Cluster | null
  queueName: string
  /** `list`: the queue itself. `stream`: `{<queue>}:stream`, as the relay's stream transport has it. Default `list`. */
  transport?: 'list' | 'stream' | undefined
  /** How long one publish may take. Default 2000 ms. */
  deadlineMs?: number | undefined
  /** How long Redis remembers an id: longer than an attempt may be under way. Default 600 000 ms. */
  markerTtlMs?: number | undefined
  random?: (() => number) | undefined
}

type Client = (Redis | Cluster) & {
  breakwaterPublishOnce (queue: string, marker: string, ttlMs: number, channel: string, body: string): Promise<number>
}

/**
 * The element and the mark that it is there, in one step, so that sending again is harmless.
 *
 * KEYS  1 the queue (list or stream)   2 the mark of this message
 * ARGV  1 lifetime of the mark in ms   2 pub/sub channel   3 the element
 * Returns 1 when the element was added, 0 when it had been before. An error means that nothing was written: the first write is the one
 * that a full, read-only or wrong key refuses.
 */
const publishOnceScript = (addition: string) => `
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
${addition}
redis.call('SET', KEYS[2], 1, 'PX', ARGV[1])
local payload = string.match(ARGV[3], '"payload":(.*),"timestamp":"[^"]*","retry_count":%d+,"max_retries":%d+}$')
if payload then redis.pcall('PUBLISH', ARGV[2], payload) end
return 1
`

const ADDITIONS = {
  list: "redis.call('LPUSH', KEYS[1], ARGV[3])",
  stream: "redis.call('XADD', KEYS[1], '*', 'body', ARGV[3])"
}

const FIRST_RETRY_MS = 10
const MAX_RETRY_MS = 200

/** Puts messages straight into the Redis list, for services without any database. What it cannot put there it does not keep. */
export class DirectPublisher extends PublisherLink {
  readonly name = 'queue'
  readonly #client: Client | null
  readonly #queueName: string
  readonly #key: string
  readonly #deadlineMs: number
  readonly #markerTtlMs: number
  readonly #random: () => number
  readonly #closing = new AbortController()

  constructor (options: DirectPublisherOptions) {
    super()
    const { client, queueName, transport = 'list', deadlineMs = 2000, markerTtlMs = 600_000, random = Math.random } = options
    client?.defineCommand('breakwaterPublishOnce', { numberOfKeys: 2, lua: publishOnceScript(ADDITIONS[transport]) })
    this.#client = client as Client | null
    this.#queueName = queueName
    this.#key = transport === 'list' ? queueName : slotKey(queueName, 'stream')
    this.#deadlineMs = deadlineMs
    this.#markerTtlMs = markerTtlMs
    this.#random = random
  }

  /**
   * Resolves when Redis has the message. Without an answer the same message is sent again until the deadline, and is in the queue once.
   * @throws FST_BRK_NOT_PUBLISHED (503, certainly not in the queue), FST_BRK_POSSIBLY_PUBLISHED (503, nobody knows)
   */
  async deliver (message: SealedMessage, { deadlineMs = this.#deadlineMs }: DeliverOptions = {}): Promise<Durability> {
    if (this.#client === null) throw new NotPublished('Redis is disabled')
    const ended = new AbortController()
    const { signal } = ended
    const deadline = delay(deadlineMs, null, { signal: AbortSignal.any([signal, this.#closing.signal]) })
      .catch(() => {}).then(() => { ended.abort() })
    try {
      await this.#untilAnswered(this.#client, message, signal, deadline)
    } finally {
      ended.abort()
    }
    return 'none'
  }

  /** Gives up what is still unclear; for the end of the process. */
  close (): void {
    this.#closing.abort()
  }

  async #untilAnswered (client: Client, message: SealedMessage, signal: AbortSignal, deadline: Promise<void>): Promise<void> {
    let lastError: unknown
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        const answer = await Promise.race([this.#send(client, message), deadline])
        if (answer !== undefined) return
      } catch (err) {
        // As long as no attempt is in doubt, a refusal is a fact, and the caller may turn elsewhere at once.
        if (attempt === 0 && isRefusal(err)) throw new NotPublished((err as Error).message.replace(/\.$/, ''), err)
        lastError = err
        await delay(fullJitter(attempt, FIRST_RETRY_MS, MAX_RETRY_MS, this.#random), null, { signal }).catch(() => {})
      }
    }
    throw new PossiblyPublished(message.messageId, lastError)
  }

  #send (client: Client, { messageId, body }: SealedMessage): Promise<number> {
    const marker = slotKey(this.#queueName, `published:${messageId}`)
    return client.breakwaterPublishOnce(this.#key, marker, this.#markerTtlMs, `${this.#queueName}:pubsub`, body)
  }
}

/** Certainly not executed: the guard did not send it, or Redis said no, which the script only lets it say before it has written. */
function isRefusal (error: unknown): boolean {
  const { name, notApplied } = Object(error) as { name?: unknown, notApplied?: unknown }
  return notApplied === true || name === 'ReplyError'
}
