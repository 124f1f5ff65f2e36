// A consumer without HTTP and without Fastify. It drains on SIGTERM; a message that was not handled comes again.
import { Redis } from 'ioredis'
import { Consumer, ListSource, MessageUnrecoverable, RedisDeduplication } from 'fastify-breakwater/consumer'
import { pino } from 'pino'

const logger = pino({ level: 'warn' }, pino.destination(2))
const queue = process.env.QUEUE_NAME ?? 'example:models'
const client = connect()
const blocking = connect()

const consumer = new Consumer({
  source: new ListSource({ client, blocking, queue }),
  deduplication: new RedisDeduplication({ client, queue }),
  concurrency: 4,
  logger,
  handler: async ({ message_type: type, payload }, { attempt }) => {
    if (type !== 'model_ready_to_deploy') throw new MessageUnrecoverable(`nobody here knows ${type}`)
    console.log(`deploying ${payload.model_name} ${payload.model_version}, attempt ${attempt}`)
  }
})

/** A take that is sent twice takes twice: nothing may be sent again behind the consumer's back. */
function connect (): Redis {
  const client = new Redis(process.env.REDIS_URL ?? 'redis://127.0.0.1:6379', {
    enableOfflineQueue: false, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, retryStrategy: (attempt) => Math.min(50 * attempt, 1000)
  })
  client.on('error', (err) => { logger.debug({ err }, 'connection failed') })
  return client
}

process.once('SIGTERM', () => { void consumer.stop() })
await consumer.run()
client.disconnect()
blocking.disconnect()
