import createError from '@fastify/error'

/** Redis did not answer the consumer in time, so the connection was replaced. */
export const ConsumerTimeout = createError<[string, number]>(
  'FST_BRK_CONSUMER_TIMEOUT',
  '%s was not answered within %s ms. The consumer reconnects and goes on; check the Redis server if this persists.',
  503
)

/** The handler was still running when its time was up. It counts as a failed attempt. */
export const HandlerTimeout = createError<[number]>(
  'FST_BRK_HANDLER_TIMEOUT',
  'The message was not handled within %s ms. Make the handler faster, or raise timeoutMs.',
  503
)

/** The reason of a handler's signal: somebody else may have the message by now. What the handler returns is ignored. */
export const MessageTakenAway = createError<[string]>(
  'FST_BRK_MESSAGE_TAKEN_AWAY',
  'The message is not ours any more: %s. It is handled again, here or elsewhere; stop working on it.',
  503
)

/** For handlers: no further attempt can succeed. The message becomes a dead letter at once. */
export const MessageUnrecoverable = createError<[string]>(
  'FST_BRK_MESSAGE_UNRECOVERABLE',
  'The message can never be handled: %s. Correct its producer or the handler, then replay the dead letter.',
  422
)

/** A message was taken by consumers that died again and again. */
export const MessagePoisonous = createError<[number, number]>(
  'FST_BRK_MESSAGE_POISONOUS',
  'The message was recovered %s times within %s h from consumers that died or never finished. Find out what it does to them before replaying it.',
  422
)

/** An entry went from hand to hand, and nobody finished it. */
export const DeliveriesExhausted = createError<[number]>(
  'FST_BRK_DELIVERIES_EXHAUSTED',
  'The message was taken %s times, by consumers that died, stopped or never finished. Find out what it does to them before replaying it.',
  422
)

/** An option of a consumer or a source breaks its rule. */
export const ConsumerOptionInvalid = createError<[string]>(
  'FST_BRK_CONSUMER_OPTION',
  '%s See docs/consumers.md.',
  500
)

const LONGEST_DELAY_MS = 10 * 365 * 24 * 60 * 60 * 1000

/** For handlers: not now. The message comes again after `delayMs`, at most ten years, and this does not count as an attempt. */
export class PostponeMessage extends Error {
  readonly delayMs: number

  constructor (delayMs: number) {
    super(`postponed for ${delayMs} ms`)
    this.name = 'PostponeMessage'
    // What is no number must not stop the queue: then it comes again at once.
    this.delayMs = Math.min(Math.max(delayMs, 0) || 0, LONGEST_DELAY_MS)
  }
}
