import type { Cluster, Redis } from 'ioredis'
import type { Journal } from '../journal/journal.ts'
import type { Logger } from '../observability/logger.ts'
import { DirectPublisher } from './direct-publisher.ts'
import { JournalPublisher } from './journal-publisher.ts'
import { LogPublisher } from './log-publisher.ts'
import type { RecordLogger } from './log-publisher.ts'
import type { Publisher, PublisherLink, PublisherName } from './publisher.ts'
import { PublisherChain } from './publisher-chain.ts'
import { PublisherIncomplete } from './errors.ts'

export interface CreatePublisherOptions {
  /** Tried in this order; each at most once. Default `['journal']`. */
  chain?: readonly PublisherName[] | undefined
  queueName: string
  logger: Logger & RecordLogger
  /** For `journal`. */
  journal?: Journal | undefined
  /** For `queue`: a guarded connection, or null where Redis is disabled. */
  client?: Redis | Cluster | null | undefined
  /** For `queue`: the same that the relay uses. Default `list`. */
  transport?: 'list' | 'stream' | undefined
  /** For `queue`, see {@link DirectPublisher}. Default 2000 ms. */
  deadlineMs?: number | undefined
  /** For `log`: a logged message counts as published. Default false. */
  logAcknowledges?: boolean | undefined
}

export interface ClosablePublisher extends Publisher {
  /** Gives up what is still unclear. The journal and the connection stay open: they are the caller's. */
  close (): void
}

/**
 * The publisher that a configuration describes.
 * @throws {PublisherIncomplete} FST_BRK_PUBLISHER_INCOMPLETE when the chain is empty, repeats itself, or names what was not given
 */
export function createPublisher (options: CreatePublisherOptions): ClosablePublisher {
  const { chain = ['journal'], logger } = options
  if (new Set(chain).size < chain.length) throw new PublisherIncomplete(`"${chain.join(',')}" names something twice`)
  const [first, ...others] = chain.map((name) => createLink(name, options))
  if (first === undefined) throw new PublisherIncomplete('its chain is empty, name at least one of queue, journal and log')
  const links = [first, ...others]
  const publisher = new PublisherChain([first, ...others], logger)
  return {
    publish: (message, origin, options) => publisher.publish(message, origin, options),
    close () {
      for (const link of links) if (link instanceof DirectPublisher) link.close()
    }
  }
}

function createLink (name: PublisherName, options: CreatePublisherOptions): PublisherLink {
  const { queueName, journal, client, transport, deadlineMs, logger, logAcknowledges } = options
  if (name === 'log') return new LogPublisher({ logger, queueName, acknowledges: logAcknowledges })
  if (name === 'journal') {
    if (journal === undefined) throw new PublisherIncomplete('its chain has "journal", and there is no store; register the store plugin first')
    return new JournalPublisher(journal)
  }
  if (client === undefined) throw new PublisherIncomplete('its chain has "queue", and there is no Redis client; register the Redis plugin first')
  return new DirectPublisher({ client, queueName, transport, deadlineMs })
}
