import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { Consumer } from '../services/consumer/consumer.ts'
import type { ConsumerOptions, Handler } from '../services/consumer/consumer.ts'
import { RedisDeduplication } from '../services/consumer/deduplication.ts'
import { ListSource } from '../services/consumer/list/list-source.ts'
import type { Source } from '../services/consumer/source.ts'
import { StreamSource } from '../services/consumer/stream/stream-source.ts'
import { tracedHandler } from '../services/consumer/traced-handler.ts'
import { QueueTracing } from '../services/observability/tracing/queue-tracing.ts'
import type { Tracing } from '../services/observability/tracing/tracing.ts'
import type { RedisGuard } from '../services/redis/guard.ts'
import type {} from './config.ts'
import { OptionInvalid, parsePluginOptions } from './options.ts'
import type {} from './redis.ts'

export { Consumer } from '../services/consumer/consumer.ts'
export type { ConsumerOptions, ConsumerStats, Handler, HandlerContext } from '../services/consumer/consumer.ts'
export { RedisDeduplication } from '../services/consumer/deduplication.ts'
export type { DeduplicationStore } from '../services/consumer/deduplication.ts'
export { MessageUnrecoverable, PostponeMessage } from '../services/consumer/errors.ts'
export { ListSource } from '../services/consumer/list/list-source.ts'
export type { Source } from '../services/consumer/source.ts'
export { StreamSource } from '../services/consumer/stream/stream-source.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** Those that run here, in the order of their registration. */
    consumers: Consumer[]
  }
}

const Milliseconds = (minimum: number, description: string) => Type.Integer({ minimum, maximum: 2 ** 31 - 1, description })

export const ConsumerPluginOptionsSchema = Type.Object({
  handler: Type.Unknown({ description: 'Called with each message: `handler(message, { signal, attempt, body, logger })`.' }),
  queueName: Type.String({ minLength: 1, description: 'Default: QUEUE_NAME.' }),
  transport: Type.Union([Type.Literal('list'), Type.Literal('stream')], { description: 'Default: QUEUE_TRANSPORT.' }),
  group: Type.String({ minLength: 1, description: 'The consumer group of a stream: each group gets every message. Default `breakwater`.' }),
  source: Type.Object({}, { description: 'Where messages come from instead.' }),
  concurrency: Type.Integer({ minimum: 1, maximum: 1000, description: 'Messages in hand at the same time. Default 1.' }),
  keyOf: Type.Unknown({ description: 'Messages of one key are handled in order. Default: `payload.model_name`.' }),
  timeoutMs: Milliseconds(1, 'Time for one attempt. Default 30 000.'),
  graceMs: Milliseconds(0, 'How long a handler may go on after its signal. Default 1000.'),
  maxAttempts: Type.Integer({ minimum: 1, description: 'Default: `max_retries` of the envelope, plus 1.' }),
  backoffBaseMs: Milliseconds(0, 'Upper bound of the first pause; doubles with each. Default 1000.'),
  backoffCapMs: Type.Integer({ minimum: 0, maximum: 600_000, description: 'The longest pause. Default 600 000.' }),
  deduplicationTtlMs: Milliseconds(0, 'How long handled messages are remembered; 0: not at all. Default 86 400 000.'),
  visibilityMs: Milliseconds(100, 'How long a message of a dead consumer is left alone; the same for all consumers of a queue. Default 30 000.'),
  stopTimeoutMs: Milliseconds(0, 'How long closing waits for running handlers. Default 10 000.'),
  commandTimeoutMs: Milliseconds(1, 'Deadline of each command. Default 2000.'),
  cluster: Type.Boolean({ description: 'Processing and dead letters get hash tags. Default: whether the Redis client is one of a cluster.' })
}, { additionalProperties: false })

export type ConsumerPluginOptions = Partial<Omit<Static<typeof ConsumerPluginOptionsSchema>, 'handler' | 'keyOf' | 'source'>> & {
  handler: Handler
  keyOf?: ConsumerOptions['keyOf']
  source?: Source
}

/**
 * A consumer beside the application, on connections of its own. It begins when the application is ready, and closing drains it. Register it as
 * often as there are queues.
 */
const plugin: FastifyPluginAsync<ConsumerPluginOptions> = async (fastify, options) => {
  const given = parsePluginOptions('consumer', ConsumerPluginOptionsSchema, options) as ConsumerPluginOptions
  const { queueName, transport, group, source, deduplicationTtlMs = 86_400_000, commandTimeoutMs = 2000, cluster, ...consumerOptions } = given
  if (typeof given.handler !== 'function') throw new OptionInvalid('consumer', 'option "handler" must be a function')
  if (!fastify.hasDecorator('consumers')) fastify.decorate('consumers', [])
  const logger = fastify.log.child({ component: 'consumer' })
  const guard = fastify.redisGuard
  if (guard === null) return logger.debug('Redis is disabled: nothing is consumed')

  const config = fastify.hasDecorator('config') ? fastify.config.publisher : null
  const queue = queueName ?? config?.queueName ?? 'hokusai:model_ready_queue'
  const visibilityMs = given.visibilityMs ?? 30_000
  const { client } = guard.spawn('consumer', { commandTimeoutMs })
  // The guard's own deadline comes first.
  const deadline = { commandTimeoutMs: commandTimeoutMs + 500 }
  const deduplication = deduplicationTtlMs > 0 ? new RedisDeduplication({ client, queue, ttlMs: deduplicationTtlMs, ...deadline }) : undefined
  const connect = () => ({ client, blocking: waiting(guard, commandTimeoutMs), queue, cluster: cluster ?? guard.cluster !== null, visibilityMs, ...deadline })
  const stream = source === undefined && (transport ?? config?.transport) === 'stream' ? new StreamSource({ ...connect(), group, logger }) : null
  const { tracing } = fastify as { tracing?: Tracing | null }
  const handler = tracing ? tracedHandler(given.handler, new QueueTracing(tracing, queue)) : given.handler
  const consumer = new Consumer({
    ...consumerOptions, handler, source: source ?? stream ?? new ListSource(connect()), queue, visibilityMs, deduplication, logger
  })
  fastify.consumers.push(consumer)
  fastify.addHook('onReady', async () => { void consumer.run() })
  fastify.addHook('onClose', async () => {
    await consumer.stop()
    await stream?.close()
  })
}

/** A connection for the call that waits for messages. */
function waiting (guard: RedisGuard, commandTimeoutMs: number) {
  return guard.spawn('consumer-wait', { commandTimeoutMs, blocking: true }).client
}

export default fp(plugin, {
  name: 'breakwater-consumer',
  fastify: '5.x',
  dependencies: ['breakwater-redis'],
  decorators: { fastify: ['redisGuard'] }
})
