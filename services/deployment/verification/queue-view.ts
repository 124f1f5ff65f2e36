import { Redis } from 'ioredis'
import { queueKeys } from '../../administration/consumer-side/keys.ts'
import type { RedisTarget } from '../../config/redis/redis-target.ts'
import { credentialsOf } from '../../credentials/from-target.ts'
import { clientOptions } from '../../redis/connection/client-options.ts'
import type { TlsOptions } from '../../redis/connection/client-options.ts'
import type { Registered } from './registration.ts'

/** Where an event was seen. */
export type Place = 'pubsub' | 'queue' | 'processing' | 'dead letters'

export interface QueueViewOptions {
  target: RedisTarget
  queueName: string
  tls?: TlsOptions
  /** Of connecting, and of each command. */
  timeoutMs?: number
}

/** Of each list, at each end: a queue longer than this has other troubles, and the listener does not mind its length. */
const SCANNED = 500
/** Nobody registers so many in one run; what others publish meanwhile is not kept. */
const MAX_HEARD = 1000

/**
 * Looks for events in Redis without taking them from anybody: it reads ranges and listens, and neither moves nor removes an element.
 * A consumer can be faster than any look, so it must listen (`open`) before the model is registered.
 */
export class QueueView {
  readonly #target: RedisTarget
  readonly #listener: Redis
  readonly #reader: Redis
  readonly #channel: string
  readonly #keys: ReturnType<typeof queueKeys>
  readonly #heard = new Set<string>()
  readonly #interest: string

  constructor ({ target, queueName, tls = {}, timeoutMs = 3000 }: QueueViewOptions, interest: string) {
    const connect = (name: string) => new Redis({
      ...clientOptions(target, name, tls),
      lazyConnect: true,
      connectTimeout: timeoutMs,
      commandTimeout: timeoutMs,
      maxRetriesPerRequest: 0,
      autoResendUnfulfilledCommands: false,
      retryStrategy: (attempt) => Math.min(50 * attempt, 500)
    })
    this.#target = target
    this.#listener = connect('breakwater-verify-listener')
    this.#reader = connect('breakwater-verify')
    this.#interest = interest
    this.#channel = `${queueName}:pubsub`
    this.#keys = queueKeys(queueName)
    for (const client of [this.#listener, this.#reader]) client.on('error', () => {})
    this.#listener.on('message', (_channel, payload) => this.#hear(payload))
  }

  /** Connects and listens. Rejects when Redis does not answer from here. */
  async open (): Promise<void> {
    const credentials = await credentialsOf(this.#target)
    for (const client of [this.#listener, this.#reader]) Object.assign(client.options, credentials)
    await Promise.all([this.#listener.connect(), this.#reader.connect()])
    await this.#listener.subscribe(this.#channel)
    await this.#reader.ping()
  }

  /** Null: not seen yet, or Redis does not answer now. */
  async find ({ modelId, messageId }: Registered): Promise<Place | null> {
    if (this.#heard.has(modelId)) return 'pubsub'
    const { queue, stream, processing, places } = this.#keys
    const lists: [Place, string][] = [
      ['queue', queue],
      ...processing.map((name) => ['processing', name] satisfies [Place, string]),
      ...places.map(({ list }) => ['dead letters', list] satisfies [Place, string])
    ]
    const needle = JSON.stringify(messageId)
    // All at once: where Redis is frozen, each of them takes its whole deadline.
    const found = await Promise.all([...lists.map(([, name]) => this.#ends(name)), this.#entries(stream)])
    const index = found.findIndex((elements) => elements.some((element) => includesId(element, needle)))
    return index === -1 ? null : lists[index]?.[0] ?? 'queue'
  }

  close (): void {
    this.#listener.disconnect()
    this.#reader.disconnect()
  }

  async #ends (list: string): Promise<string[]> {
    try {
      const [newest, oldest] = await Promise.all([this.#reader.lrange(list, 0, SCANNED - 1), this.#reader.lrange(list, -SCANNED, -1)])
      return [...newest, ...oldest]
    } catch {
      return []
    }
  }

  async #entries (stream: string): Promise<string[]> {
    const entries = await this.#reader.xrevrange(stream, '+', '-', 'COUNT', SCANNED).catch(() => [])
    return entries.flatMap(([, fields]) => fields)
  }

  /** The channel carries the bare payload, which has no message_id; the model's id is this run's own. */
  #hear (payload: string): void {
    if (!payload.includes(this.#interest) || this.#heard.size >= MAX_HEARD) return
    try {
      const { model_id: modelId } = JSON.parse(payload) as { model_id?: string }
      if (typeof modelId === 'string') this.#heard.add(modelId)
    } catch {
      // Anybody can publish anything there.
    }
  }
}

/** A dead letter can hold the message as a string, in which quotes are escaped. */
function includesId (element: string, needle: string): boolean {
  return element.includes(needle) || element.includes(JSON.stringify(needle).slice(1, -1))
}
