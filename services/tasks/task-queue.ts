import { randomUUID } from 'node:crypto'
import { Consumer } from '../consumer/consumer.ts'
import type { ConsumerOptions, ConsumerStats, Handler, HandlerContext } from '../consumer/consumer.ts'
import { MessageUnrecoverable, PostponeMessage } from '../consumer/errors.ts'
import type { Source } from '../consumer/source.ts'
import { tracedHandler } from '../consumer/traced-handler.ts'
import type { Durability, Journal, SqlTransaction } from '../journal/journal.ts'
import type { Logger } from '../observability/logger.ts'
import { silentLogger } from '../observability/logger.ts'
import type { QueueTracing } from '../observability/tracing/queue-tracing.ts'
import type { Origin } from '../queue/envelope.ts'
import type { ReceivedMessage } from '../queue/read-envelope.ts'
import { Relay } from '../relay/relay.ts'
import type { RelayOptions, RelayStats } from '../relay/relay.ts'
import { TracedTransport } from '../relay/transport/traced-transport.ts'
import type { Transport } from '../relay/transport/transport.ts'
import type { TaskDefinition } from './define-task.ts'
import { TaskInvalid, TaskPayloadInvalid } from './errors.ts'
import { openTask, sealTask } from './task-message.ts'

export interface EnqueueOptions {
  /** Not before so many ms from now, by the clocks of both machines. Default 0. */
  delayMs?: number
  /** Default: a correlation id of its own. */
  origin?: Origin
  /** The caller's transaction in the journal's database: the task is enqueued if and only if it commits. */
  transaction?: SqlTransaction
}

export interface Enqueued {
  messageId: string
  /** What the acceptance survives. */
  durability: Durability
}

export interface Task<Payload> {
  readonly name: string
  /**
   * Resolves when the task is durable in the journal; Redis has no part in that.
   * @throws FST_BRK_TASK_PAYLOAD_INVALID (400), FST_BRK_JOURNAL_FULL (503), FST_BRK_STORE_UNAVAILABLE (503). Nothing is stored then.
   */
  enqueue (payload: Payload, options?: EnqueueOptions): Promise<Enqueued>
}

export interface TaskQueueOptions {
  /** Of this queue alone: a journal leads to one queue. */
  journal: Journal
  /** Where the relay carries tasks; null: another process relays this journal. */
  transport: Transport | null
  /** Where the worker takes them; null: tasks are done elsewhere. */
  source: Source | null
  /** For the worker, see docs/consumers.md. */
  worker?: Pick<ConsumerOptions, 'concurrency' | 'graceMs' | 'backoffBaseMs' | 'backoffCapMs' | 'deduplication' | 'waitMs' | 'stopTimeoutMs' | 'random'>
  relay?: Omit<RelayOptions, 'journal' | 'transport' | 'logger'>
  logger?: Logger
  /** Default null: no spans. */
  tracing?: QueueTracing | null
  /** Wall clock, epoch ms. */
  now?: () => number
}

/** Tasks on a queue of their own: journaled first, relayed, and done by a consumer. Define all of them before `start()`. */
export class TaskQueue {
  readonly #definitions = new Map<string, TaskDefinition>()
  readonly #journal: Journal
  readonly #relay: Relay | null
  readonly #worker: Consumer | null
  readonly #now: () => number
  readonly #tracing: QueueTracing | null

  constructor ({ journal, transport, source, worker, relay, logger = silentLogger, tracing = null, now = Date.now }: TaskQueueOptions) {
    const handler: Handler = (message, context) => this.#perform(message, context)
    const carrier = tracing === null || transport === null ? transport : new TracedTransport(transport, tracing)
    this.#journal = journal
    this.#tracing = tracing
    this.#now = now
    this.#relay = carrier === null ? null : new Relay({ ...relay, journal, transport: carrier, logger })
    this.#worker = source === null
      ? null
      : new Consumer({
        ...worker,
        source,
        logger,
        handler: tracing === null ? handler : tracedHandler(handler, tracing),
        keyOf: (message) => this.#keyOf(message),
        timeoutMs: ({ message_type: name }) => this.#definitions.get(name)?.timeoutMs ?? 30_000
      })
  }

  get stats (): { relay: Readonly<RelayStats> | null, worker: ConsumerStats | null } {
    return { relay: this.#relay?.stats ?? null, worker: this.#worker?.stats ?? null }
  }

  /** Makes a task known here, so that it can be enqueued and done. @throws FST_BRK_TASK_INVALID for a name that is taken */
  add<Payload> (definition: TaskDefinition<Payload>): Task<Payload> {
    if (this.#definitions.has(definition.name)) throw new TaskInvalid(`There is a task "${definition.name}" already.`)
    this.#definitions.set(definition.name, definition)
    return {
      name: definition.name,
      enqueue: (payload, options = {}) => this.#tracing === null ? this.#enqueue(definition, payload, options) : this.#enqueueTraced(this.#tracing, definition, payload, options)
    }
  }

  /** Begins to relay and to work. */
  start (): void {
    this.#relay?.start()
    void this.#worker?.run()
  }

  /** Drains the worker, as `Consumer.stop()` does, and then hands the relay's lease over. Never rejects. */
  async stop (): Promise<void> {
    await this.#worker?.stop()
    await this.#relay?.stop()
  }

  #enqueueTraced (tracing: QueueTracing, definition: TaskDefinition, payload: unknown, options: EnqueueOptions): Promise<Enqueued> {
    const { origin = { correlationId: randomUUID() } } = options
    return tracing.publish(
      origin,
      (origin) => this.#enqueue(definition, payload, { ...options, origin }),
      ({ messageId, durability }) => ({ 'messaging.message.id': messageId, 'breakwater.durability': durability, 'breakwater.task': definition.name })
    )
  }

  async #enqueue (definition: TaskDefinition, payload: unknown, options: EnqueueOptions): Promise<Enqueued> {
    const { name, maxAttempts, keyOf } = definition
    const { delayMs = 0, origin = { correlationId: randomUUID() }, transaction } = options
    const problems = definition.problems(payload)
    if (problems !== '') throw new TaskPayloadInvalid(name, problems)
    if (!(delayMs >= 0 && Number.isFinite(delayMs))) throw new TaskInvalid('delayMs must be 0 or more.')
    const { messageId, body } = sealTask(name, payload, { maxAttempts, origin, delayMs, now: new Date(this.#now()) })
    await this.#journal.append([{ key: keyOf?.(payload) ?? messageId, body }], transaction)
    return { messageId, durability: this.#journal.durability }
  }

  async #perform (message: ReceivedMessage, context: HandlerContext): Promise<void> {
    const { message_id: messageId, message_type: name } = message
    const definition = this.#definitions.get(name)
    if (definition === undefined) throw new MessageUnrecoverable(`no task "${name}" is defined in this worker`)
    const { signal, attempt, logger } = context
    const { input, notBefore, correlationId, traceparent: published } = openTask(message)
    const traceparent = context.traceparent ?? published
    const problems = definition.problems(input)
    if (problems !== '') throw new MessageUnrecoverable(`the payload of task "${name}" breaks its schema: ${problems}`)
    const leftMs = (notBefore ?? 0) - this.#now()
    if (leftMs > 0) throw new PostponeMessage(leftMs)
    await definition.handler(input, { signal, attempt, messageId, correlationId, traceparent, logger })
  }

  #keyOf (message: ReceivedMessage): string | null {
    const keyOf = this.#definitions.get(message.message_type)?.keyOf ?? null
    return keyOf === null ? null : `${message.message_type} ${keyOf(openTask(message).input)}`
  }
}
