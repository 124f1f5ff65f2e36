import type { Durability, SqlTransaction } from '../journal/journal.ts'
import { buildEnvelope } from '../queue/envelope.ts'
import type { Origin } from '../queue/envelope.ts'
import { assertModelReady } from '../queue/message.ts'
import type { ModelReadyMessage } from '../queue/message.ts'

/** The ways to publish: straight into Redis, into the journal that a relay empties into Redis, or into the log. */
export type PublisherName = 'queue' | 'journal' | 'log'

export interface PublishOptions {
  /** The caller's transaction in the journal's database: the message is published if and only if it commits. */
  transaction?: SqlTransaction | undefined
  /** How long `queue` goes on trying to find out whether Redis has the message. Default: the publisher's, 2000 ms. */
  deadlineMs?: number | undefined
}

export interface Published {
  messageId: string
  /**
   * What the acceptance survives. `none` for `queue` and `log`: nothing of ours keeps the message, it lives as long as Redis, or the log,
   * keeps it. Within a transaction it holds from the caller's commit on.
   */
  durability: Durability
  via: PublisherName
}

export interface Publisher {
  /**
   * @throws FST_BRK_MESSAGE_INVALID (400), and what the way that was taken throws; see docs/publishing.md. An error with `notApplied: true`
   *   proves that no consumer will ever see the message.
   */
  publish (message: ModelReadyMessage, origin: Origin, options?: PublishOptions): Promise<Published>
}

/** A checked message with the id and the bytes that it keeps, whichever way it takes. */
export interface SealedMessage {
  messageId: string
  /** Messages with equal keys keep their order. */
  key: string
  /** The list element. */
  body: string
}

export interface DeliverOptions extends PublishOptions {
  /** An earlier way may have taken the message already. */
  possiblyTaken?: boolean | undefined
}

/** @throws FST_BRK_MESSAGE_INVALID */
export function seal (message: ModelReadyMessage, origin: Origin): SealedMessage {
  assertModelReady(message)
  return { key: message.model_name, ...buildEnvelope(message, origin) }
}

/** One way to publish: a publisher of its own, and a link of a {@link PublisherChain}. */
export abstract class PublisherLink implements Publisher {
  abstract readonly name: PublisherName

  /** Resolves when this way has taken exactly these bytes. An error's `notApplied: true` means that it certainly has not. */
  abstract deliver (message: SealedMessage, options?: DeliverOptions): Promise<Durability>

  async publish (message: ModelReadyMessage, origin: Origin, options: PublishOptions = {}): Promise<Published> {
    const sealed = seal(message, origin)
    const durability = await this.deliver(sealed, options)
    return { messageId: sealed.messageId, durability, via: this.name }
  }
}
