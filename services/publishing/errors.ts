import createError from '@fastify/error'

const NotPublishedBase = createError<[reason: string, options?: ErrorOptions]>('FST_BRK_NOT_PUBLISHED',
  'The message was not published: %s. No consumer will see it; publish it again.', 503)
const PossiblyPublishedBase = createError<[messageId: string, options?: ErrorOptions]>('FST_BRK_POSSIBLY_PUBLISHED',
  'Whether message %s is in the queue is unknown. Publish it again only if its consumers can stand it twice under two ids.', 503)
const OnlyLoggedBase = createError<[reason: string, options?: ErrorOptions]>('FST_BRK_ONLY_LOGGED',
  'The message was not queued: %s. See docs/publishing.md for how to put logged messages into the queue.', 503)

/** Nothing has taken the message. */
export class NotPublished extends NotPublishedBase {
  readonly notApplied = true
  readonly retryAfterMs: number

  constructor (reason: string, cause?: unknown) {
    super(reason, { cause })
    this.retryAfterMs = retryAfterOf(cause)
  }
}

/** It was sent, and no answer came before the deadline. */
export class PossiblyPublished extends PossiblyPublishedBase {
  readonly notApplied = false
  readonly messageId: string
  readonly retryAfterMs: number

  constructor (messageId: string, cause?: unknown) {
    super(messageId, { cause })
    this.messageId = messageId
    this.retryAfterMs = retryAfterOf(cause)
  }
}

/** The log is the only place where the message is, and nobody has said that this is enough. */
export class OnlyLogged extends OnlyLoggedBase {
  /** False where the queue or the journal may have taken the message before it was logged. */
  readonly notApplied: boolean
  readonly messageId: string

  constructor (reason: string, messageId: string, possiblyTaken: boolean) {
    super(reason)
    this.messageId = messageId
    this.notApplied = !possiblyTaken
  }
}

/** The chain names something that was not given. */
export const PublisherIncomplete = createError<[string]>('FST_BRK_PUBLISHER_INCOMPLETE', 'The publisher was not made: %s.', 500)

/** No part of the chain can join a transaction. Nothing was stored or sent. */
export const ChainWithoutTransaction = createError<[]>('FST_BRK_TRANSACTION_UNSUPPORTED',
  'A message within a transaction needs the journal, and this publisher has none. Add "journal" to its chain, or publish after the commit.', 500)

/** What was given as a transaction is none. Nothing was stored. */
export const TransactionMisused = createError<[string]>('FST_BRK_TRANSACTION_MISUSED',
  'The message was not published: %s. Give the client on which BEGIN was sent, before its COMMIT.', 500)

function retryAfterOf (cause: unknown): number {
  const { retryAfterMs } = Object(cause) as { retryAfterMs?: unknown }
  return typeof retryAfterMs === 'number' ? retryAfterMs : 0
}
