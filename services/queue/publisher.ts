import type { Durability, Journal } from '../journal/journal.ts'
import { buildEnvelope } from './envelope.ts'
import type { Origin } from './envelope.ts'
import { assertModelReady } from './message.ts'
import type { ModelReadyMessage } from './message.ts'

export interface Published {
  messageId: string
  /** What the acceptance survives. */
  durability: Durability
}

/** Accepts messages for the queue. Redis has no part in it: the journal takes them, the relay carries them. */
export class JournalPublisher {
  readonly #journal: Journal

  constructor (journal: Journal) {
    this.#journal = journal
  }

  /**
   * Resolves when the message is durable in the journal (I2); it reaches the queue exactly once, as soon as Redis can be reached.
   * @throws FST_BRK_MESSAGE_INVALID (400), FST_BRK_JOURNAL_FULL (503), FST_BRK_STORE_UNAVAILABLE (503). Nothing is stored then.
   */
  async publish (message: ModelReadyMessage, origin: Origin): Promise<Published> {
    assertModelReady(message)
    const { messageId, body } = buildEnvelope(message, origin)
    await this.#journal.append([{ key: message.model_name, body }])
    return { messageId, durability: this.#journal.durability }
  }
}
