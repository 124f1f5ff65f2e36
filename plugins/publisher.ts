import { randomUUID } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import type { Origin } from '../services/queue/envelope.ts'
import type { ModelReadyMessage } from '../services/queue/message.ts'
import { JournalPublisher } from '../services/queue/publisher.ts'
import type { Published } from '../services/queue/publisher.ts'
import { RedisTransport } from '../services/relay/redis-transport.ts'
import { Relay } from '../services/relay/relay.ts'
import type { RelayStats } from '../services/relay/relay.ts'
import { parsePluginOptions } from './options.ts'

export interface Publisher {
  /**
   * Resolves when the message is durable in the journal; the relay brings it to the queue exactly once, whatever Redis does.
   * Without an origin it gets a correlation id of its own.
   * @throws FST_BRK_MESSAGE_INVALID (400), FST_BRK_JOURNAL_FULL (503), FST_BRK_STORE_UNAVAILABLE (503). Nothing is stored then.
   */
  publish (message: ModelReadyMessage, origin?: Origin): Promise<Published>
  /** What the relay has done so far, or null where Redis is disabled and messages only wait in the journal. */
  stats (): Readonly<RelayStats> | null
}

declare module 'fastify' {
  interface FastifyInstance {
    publisher: Publisher
  }
}

const PublisherOptionsSchema = Type.Object({
  queueName: Type.String({ minLength: 1, description: 'The Redis list. Default: QUEUE_NAME.' }),
  retentionMs: Type.Integer({ minimum: 0, description: 'How long published messages are kept for repair. Default: JOURNAL_RETENTION_MS.' }),
  emptyRedisPolicy: Type.Union([Type.Literal('replay'), Type.Literal('ignore')], {
    description: 'When Redis comes back empty: send retained messages again, or count them as consumed. Default: REDIS_EMPTY_POLICY.'
  }),
  leaseMs: Type.Integer({ minimum: 100, description: 'How long a dead relay blocks the next one. Default 5000.' }),
  commandTimeoutMs: Type.Integer({ minimum: 1, description: 'Deadline of one batch. Default 2000.' })
}, { additionalProperties: false })

/** Queue, retention and policy default to `fastify.config`; without that plugin, to its defaults. */
export type PublisherOptions = Partial<Static<typeof PublisherOptionsSchema>>

const plugin: FastifyPluginAsync<PublisherOptions> = async (fastify, options) => {
  const given = parsePluginOptions('publisher', PublisherOptionsSchema, options)
  const config = fastify.hasDecorator('config') ? fastify.config.publisher : null
  const logger = fastify.log.child({ component: 'publisher' })
  const journalPublisher = new JournalPublisher(fastify.store.journal)
  const guard = fastify.redisGuard
  let relay: Relay | null = null

  fastify.decorate('publisher', {
    publish: (message, origin = { correlationId: randomUUID() }) => journalPublisher.publish(message, origin),
    stats: () => relay?.stats ?? null
  } satisfies Publisher)

  if (guard === null) {
    // The configuration has said so already, once.
    logger.debug('Redis is disabled: messages are journaled and wait for a process with Redis')
    return
  }
  const connection = guard.spawn('relay', { commandTimeoutMs: given.commandTimeoutMs ?? 2000 })
  relay = new Relay({
    journal: fastify.store.journal,
    transport: new RedisTransport(connection, given.queueName ?? config?.queueName ?? 'hokusai:model_ready_queue'),
    logger,
    emptyPolicy: given.emptyRedisPolicy ?? config?.emptyRedisPolicy ?? 'replay',
    retentionMs: given.retentionMs ?? config?.retentionMs ?? 900_000,
    leaseMs: given.leaseMs ?? 5000
  })
  relay.start()
  // The connection is closed by the guard that spawned it, together with all others.
  fastify.addHook('onClose', () => relay.stop())
}

export default fp(plugin, {
  name: 'breakwater-publisher',
  fastify: '5.x',
  dependencies: ['breakwater-store', 'breakwater-redis'],
  decorators: { fastify: ['store', 'redisGuard'] }
})
