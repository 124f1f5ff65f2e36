import { randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { Config } from '../services/config/load.ts'
import type { Journal } from '../services/journal/journal.ts'
import type { Origin } from '../services/queue/envelope.ts'
import type { RecordLogger } from '../services/publishing/log-publisher.ts'
import type { ModelReadyMessage } from '../services/queue/message.ts'
import type { PublishOptions, Published } from '../services/publishing/publisher.ts'
import { QueueTracing } from '../services/observability/tracing/queue-tracing.ts'
import type { Tracing } from '../services/observability/tracing/tracing.ts'
import { PublisherIncomplete } from '../services/publishing/errors.ts'
import { createPublisher } from '../services/publishing/publisher-factory.ts'
import { tracedPublisher } from '../services/publishing/traced-publisher.ts'
import type { RedisGuard } from '../services/redis/guard.ts'
import { RedisTransport } from '../services/relay/transport/redis-transport.ts'
import { Relay } from '../services/relay/relay.ts'
import type { RelayStats } from '../services/relay/relay.ts'
import { StreamTransport } from '../services/relay/transport/stream-transport.ts'
import { TracedTransport } from '../services/relay/transport/traced-transport.ts'
import { parsePluginOptions } from './options.ts'

export interface Publisher {
  /**
   * Resolves when the first way of the chain that can has taken the message. By default that is the journal: the message is durable then,
   * and the relay brings it to the queue exactly once, whatever Redis does.
   * Without an origin it gets a correlation id of its own.
   * @throws FST_BRK_MESSAGE_INVALID (400), FST_BRK_JOURNAL_FULL (503), FST_BRK_STORE_UNAVAILABLE (503): nothing is acknowledged then.
   *   docs/publishing.md lists those of the other ways.
   */
  publish (message: ModelReadyMessage, origin?: Origin, options?: PublishOptions): Promise<Published>
  /** What the relay has done so far, or null where Redis is disabled or there is no store, and nothing is relayed. */
  stats (): Readonly<RelayStats> | null
}

declare module 'fastify' {
  interface FastifyInstance {
    publisher: Publisher
  }
}

export const PublisherOptionsSchema = Type.Object({
  chain: Type.Array(Type.Union([Type.Literal('queue'), Type.Literal('journal'), Type.Literal('log')]), {
    minItems: 1, uniqueItems: true, description: 'The ways to publish, tried in this order. Default: PUBLISHER.'
  }),
  logAcknowledges: Type.Boolean({ description: 'A message that only reached the log counts as accepted. Default: PUBLISHER_LOG_ACKNOWLEDGES.' }),
  deadlineMs: Type.Integer({ minimum: 1, description: 'How long `queue` tries to find out whether Redis has a message. Default 2000.' }),
  queueName: Type.String({ minLength: 1, description: 'The Redis list. Default: QUEUE_NAME.' }),
  transport: Type.Union([Type.Literal('list'), Type.Literal('stream')], { description: 'Default: QUEUE_TRANSPORT.' }),
  streamMaxLength: Type.Integer({ minimum: 0, description: 'Longest stream; 0: no limit. Default: QUEUE_STREAM_MAX_LENGTH.' }),
  minReplicas: Type.Integer({ minimum: 0, description: 'Replicas that must have a message before it counts as published. Default: PUBLISH_MIN_REPLICAS.' }),
  replicaTimeoutMs: Type.Integer({ minimum: 1, description: 'How long a batch waits for them. Default: PUBLISH_REPLICA_TIMEOUT_MS.' }),
  retentionMs: Type.Integer({ minimum: 0, description: 'How long published messages are kept for repair. Default: JOURNAL_RETENTION_MS.' }),
  emptyRedisPolicy: Type.Union([Type.Literal('replay'), Type.Literal('ignore')], {
    description: 'When Redis comes back empty: send retained messages again, or count them as consumed. Default: REDIS_EMPTY_POLICY.'
  }),
  leaseMs: Type.Integer({ minimum: 100, description: 'How long a dead relay blocks the next one. Default 5000.' }),
  commandTimeoutMs: Type.Integer({ minimum: 1, description: 'Deadline of one batch. Default 2000.' })
}, { additionalProperties: false })

/** Each defaults to `fastify.config`; without that plugin, to the default of its variable. */
export type PublisherOptions = Partial<Static<typeof PublisherOptionsSchema>>

interface Neighbours {
  tracing?: Tracing | null
  store?: { journal: Journal }
  redisGuard?: RedisGuard | null
}

const plugin: FastifyPluginAsync<PublisherOptions> = async (fastify, options) => {
  const settings = settle(parsePluginOptions('publisher', PublisherOptionsSchema, options), fastify)
  const { store, redisGuard, tracing } = fastify as Neighbours
  const logger = fastify.log.child({ component: 'publisher' }) as typeof fastify.log & RecordLogger
  const client = redisGuard === null ? null : redisGuard?.client
  const untraced = createPublisher({ ...settings, logger, journal: store?.journal, client })
  const publisher = tracing ? tracedPublisher(untraced, new QueueTracing(tracing, settings.queueName)) : untraced
  fastify.addHook('onClose', async () => { publisher.close() })
  // What is journaled must be relayed, whoever journaled it: registrations do, whatever the chain says.
  const relay = store === undefined ? null : startRelay(fastify, store.journal, settings)
  fastify.decorate('publisher', {
    publish: (message, origin = { correlationId: randomUUID() }, options = {}) => publisher.publish(message, origin, options),
    stats: () => relay?.stats ?? null
  } satisfies Publisher)
}

type Settings = ReturnType<typeof settle>

function settle (given: PublisherOptions, fastify: FastifyInstance) {
  const config: Partial<Config['publisher']> = fastify.hasDecorator('config') ? fastify.config.publisher : {}
  return {
    chain: given.chain ?? config.chain ?? ['journal'],
    logAcknowledges: given.logAcknowledges ?? config.logAcknowledges ?? false,
    deadlineMs: given.deadlineMs ?? 2000,
    queueName: given.queueName ?? config.queueName ?? 'hokusai:model_ready_queue',
    transport: given.transport ?? config.transport ?? 'list',
    streamMaxLength: given.streamMaxLength ?? config.streamMaxLength ?? 0,
    minReplicas: given.minReplicas ?? config.minReplicas ?? 0,
    replicaTimeoutMs: given.replicaTimeoutMs ?? config.replicaTimeoutMs ?? 1000,
    retentionMs: given.retentionMs ?? config.retentionMs ?? 900_000,
    emptyPolicy: given.emptyRedisPolicy ?? config.emptyRedisPolicy ?? 'replay',
    leaseMs: given.leaseMs ?? 5000,
    commandTimeoutMs: given.commandTimeoutMs ?? 2000
  }
}

function startRelay (fastify: FastifyInstance, journal: Journal, settings: Settings): Relay | null {
  const { redisGuard, tracing } = fastify as Neighbours
  const logger = fastify.log.child({ component: 'relay' })
  if (redisGuard === undefined) throw new PublisherIncomplete('the journal needs a relay, and there is no Redis client; register the Redis plugin first')
  if (redisGuard === null) {
    // The configuration has said so already, once.
    logger.debug('Redis is disabled: messages are journaled and wait for a process with Redis')
    return null
  }
  const { queueName, transport, streamMaxLength, minReplicas, replicaTimeoutMs, emptyPolicy, retentionMs, leaseMs } = settings
  const connection = redisGuard.spawn('relay', { commandTimeoutMs: settings.commandTimeoutMs })
  const untraced = transport === 'stream'
    ? new StreamTransport(connection, queueName, { maxLength: streamMaxLength, minReplicas, replicaTimeoutMs })
    : new RedisTransport(connection, queueName, { minReplicas, replicaTimeoutMs })
  const relay = new Relay({
    journal,
    transport: tracing ? new TracedTransport(untraced, new QueueTracing(tracing, queueName)) : untraced,
    logger,
    emptyPolicy,
    retentionMs,
    leaseMs
  })
  relay.start()
  // The connection is closed by the guard that spawned it, together with all others.
  fastify.addHook('onClose', () => relay.stop())
  return relay
}

/** Which neighbours it needs depends on the chain, so that services without any database can publish too; it says what is missing. */
export default fp(plugin, { name: 'breakwater-publisher', fastify: '5.x' })
