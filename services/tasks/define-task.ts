import type { Static, TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { Logger } from '../observability/logger.ts'
import { TaskInvalid } from './errors.ts'

export interface TaskContext {
  /** Aborted when the time is up, when somebody else may have the task, and when the worker stops without having waited long enough. */
  signal: AbortSignal
  /** 1 for the first. */
  attempt: number
  /** The same in all attempts. */
  messageId: string
  /** Of the request that enqueued it. */
  correlationId: string | null
  /** W3C trace context of the request that enqueued it. */
  traceparent: string | null
  logger: Logger
}

/** Resolves when the task is done. A rejection is a failed attempt; `MessageUnrecoverable` and `PostponeMessage` mean what they do for consumers. */
export type TaskHandler<Payload> = (payload: Payload, context: TaskContext) => unknown

export interface TaskOptions<Schema extends TSchema> {
  /** Of the payload, which travels as JSON. It is checked when the task is enqueued, and again before it runs. */
  schema: Schema
  /** Time for one attempt. Default 30 000 ms. */
  timeoutMs?: number
  /** Default 4. */
  maxAttempts?: number
  /** Tasks of one key and name run one after another, in the order they were enqueued. Default: no order. */
  keyOf?: (payload: Static<Schema>) => string
}

/** What both sides need to know of a task: whoever enqueues it, and the worker. */
export interface TaskDefinition<Payload = any> {
  readonly name: string
  readonly handler: TaskHandler<Payload>
  readonly timeoutMs: number
  readonly maxAttempts: number
  readonly keyOf: ((payload: Payload) => string) | null
  /** What is wrong with a payload; empty: nothing. */
  problems (payload: unknown): string
}

/**
 * Background work with the guarantees of the queue: enqueued durably, done at least once, repeated when it fails. `name` is the message
 * type: never reuse it for another payload.
 * @throws FST_BRK_TASK_INVALID
 */
export function defineTask<Schema extends TSchema> (name: string, handler: TaskHandler<Static<Schema>>, options: TaskOptions<Schema>): TaskDefinition<Static<Schema>> {
  const { schema, timeoutMs = 30_000, maxAttempts = 4, keyOf = null } = options
  if (name === '') throw new TaskInvalid('A task needs a name.')
  if (!(timeoutMs > 0)) throw new TaskInvalid(`timeoutMs of task "${name}" must be above 0.`)
  if (!(Number.isInteger(maxAttempts) && maxAttempts > 0)) throw new TaskInvalid(`maxAttempts of task "${name}" must be a whole number above 0.`)
  const validator = TypeCompiler.Compile(schema)
  return {
    name,
    handler,
    timeoutMs,
    maxAttempts,
    keyOf,
    problems (payload) {
      const problems = [...validator.Errors(payload)].map(({ path, message }) => `${path || '/'}: ${message}`)
      return [...new Set(problems)].join('; ')
    }
  }
}
