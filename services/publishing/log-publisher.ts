import type { Durability } from '../journal/journal.ts'
import type { Logger } from '../observability/logger.ts'
import { PublisherLink } from './publisher.ts'
import type { DeliverOptions, SealedMessage } from './publisher.ts'
import { OnlyLogged } from './errors.ts'

/** pino's logger tells which levels it writes; one that cannot tell is not trusted with an acknowledgement. */
export interface RecordLogger extends Pick<Logger, 'warn'> {
  isLevelEnabled? (level: string): boolean
}

export interface LogPublisherOptions {
  logger: RecordLogger
  queueName: string
  /** A logged message counts as published. Default false. */
  acknowledges?: boolean | undefined
}

/** The last resort: one structured record with the whole envelope, from which the message can be put into the queue by hand. */
export class LogPublisher extends PublisherLink {
  readonly name = 'log'
  readonly #options: LogPublisherOptions

  constructor (options: LogPublisherOptions) {
    super()
    this.#options = options
  }

  /** @throws FST_BRK_ONLY_LOGGED (503), unless `acknowledges` is set and the logger writes warnings */
  async deliver ({ messageId, body }: SealedMessage, { possiblyTaken = false }: DeliverOptions = {}): Promise<Durability> {
    const { logger, queueName, acknowledges = false } = this.#options
    const record = { event: 'message_not_queued', messageId, queue: queueName, possiblyQueued: possiblyTaken, envelope: body }
    logger.warn(record, 'message not queued, its envelope is in this record')
    if (logger.isLevelEnabled?.('warn') === false) throw new OnlyLogged('and the log takes no warnings', messageId, possiblyTaken)
    if (!acknowledges || logger.isLevelEnabled === undefined) throw new OnlyLogged('it is only in the log', messageId, possiblyTaken)
    return 'none'
  }
}
