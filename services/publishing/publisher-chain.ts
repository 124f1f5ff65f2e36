import { silentLogger } from '../observability/logger.ts'
import type { Logger } from '../observability/logger.ts'
import type { Origin } from '../queue/envelope.ts'
import type { ModelReadyMessage } from '../queue/message.ts'
import { seal } from './publisher.ts'
import type { PublishOptions, Published, Publisher, PublisherLink, PublisherName, SealedMessage } from './publisher.ts'
import { ChainWithoutTransaction, PossiblyPublished } from './errors.ts'

/** Certain, although the errors themselves do not say so: nothing is stored then. */
const REFUSALS = new Set(['FST_BRK_JOURNAL_FULL'])

/**
 * Tries one way after the other. The message is checked and sealed once: every way gets the same id and the same bytes.
 *
 * A way that may have taken the message without being able to say so is followed by the next one all the same, or an outage would lose it.
 * That is the one seam where a message can be in the queue twice, both copies with the same `message_id`, and it exists only in chains that
 * begin with `queue`: the journal's own relay is exact.
 */
export class PublisherChain implements Publisher {
  readonly #links: readonly PublisherLink[]
  readonly #logger: Logger
  #current: PublisherName

  /** @param links in the order in which they are tried; at least one */
  constructor (links: readonly [PublisherLink, ...PublisherLink[]], logger: Logger = silentLogger) {
    this.#links = links
    this.#logger = logger
    this.#current = links[0].name
  }

  /**
   * @throws FST_BRK_MESSAGE_INVALID before anything was tried; FST_BRK_POSSIBLY_PUBLISHED when all ways failed and one of them is in doubt;
   *   else what the last way throws.
   */
  async publish (message: ModelReadyMessage, origin: Origin, options: PublishOptions = {}): Promise<Published> {
    const sealed = seal(message, origin)
    return options.transaction === undefined ? await this.#tryAll(sealed, options) : await this.#within(sealed, options)
  }

  async #tryAll (sealed: SealedMessage, options: PublishOptions): Promise<Published> {
    const { messageId } = sealed
    let possiblyTaken = false
    let lastError: unknown
    for (const link of this.#links) {
      try {
        const durability = await link.deliver(sealed, { ...options, possiblyTaken })
        this.#tookOver(link.name, lastError)
        return { messageId, durability, via: link.name }
      } catch (err) {
        lastError = err
        possiblyTaken ||= !isRefusal(err)
      }
    }
    throw this.#links.length > 1 && possiblyTaken && isRefusal(lastError) ? new PossiblyPublished(messageId, lastError) : lastError
  }

  /** Elsewhere the message would be visible before the commit, or in spite of a rollback. */
  async #within (sealed: SealedMessage, options: PublishOptions): Promise<Published> {
    const journal = this.#links.find(({ name }) => name === 'journal')
    if (journal === undefined) throw new ChainWithoutTransaction()
    return { messageId: sealed.messageId, durability: await journal.deliver(sealed, options), via: 'journal' }
  }

  /** One line for each change of the way, not for each message. */
  #tookOver (name: PublisherName, err: unknown): void {
    if (name === this.#current) return
    this.#current = name
    if (name === this.#links[0]!.name) this.#logger.info({ via: name }, 'messages take the first way again')
    else this.#logger.warn({ via: name, err }, 'messages take another way')
  }
}

function isRefusal (error: unknown): boolean {
  const { notApplied, code } = Object(error) as { notApplied?: unknown, code?: unknown }
  return notApplied === true || REFUSALS.has(code as string)
}
