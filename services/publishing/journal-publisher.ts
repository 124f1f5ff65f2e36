import type { Durability, Journal } from '../journal/journal.ts'
import { PublisherLink } from './publisher.ts'
import type { DeliverOptions, SealedMessage } from './publisher.ts'

/** Accepts messages for the queue. Redis has no part in it: the journal takes them, the relay carries them. */
export class JournalPublisher extends PublisherLink {
  readonly name = 'journal'
  readonly #journal: Journal

  constructor (journal: Journal) {
    super()
    this.#journal = journal
  }

  /**
   * Resolves when the message is durable in the journal (I2), or part of the caller's transaction; it reaches the queue exactly once, as
   * soon as Redis can be reached.
   * @throws FST_BRK_JOURNAL_FULL (503), FST_BRK_STORE_UNAVAILABLE (503), FST_BRK_TRANSACTION_UNSUPPORTED. Nothing is acknowledged then.
   */
  async deliver ({ key, body }: SealedMessage, { transaction }: DeliverOptions = {}): Promise<Durability> {
    await this.#journal.append([{ key, body }], transaction)
    return this.#journal.durability
  }
}
