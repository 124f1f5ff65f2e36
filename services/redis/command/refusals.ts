import type { Command } from 'ioredis'

/** In one turn of the event loop; far more than a request sends. */
const AT_ONCE = 256
/** About as long as an attempt to connect takes. */
const PAUSE_MS = 50

/** A turn of the event loop belongs to the process, so this does too. */
let inThisTurn = 0

/**
 * Tells the caller no. A library that tries again as soon as it hears so, without a pause, would do that in microtasks for ever: no timer and no
 * socket would get its turn, and the process could not even notice that Redis is back.
 */
export function tellNo (command: Command, refusal: Error): void {
  if (++inThisTurn === 1) setImmediate(() => { inThisTurn = 0 })
  if (inThisTurn > AT_ONCE) setImmediate(() => command.reject(refusal))
  else command.reject(refusal)
}

/** The same after a moment: on connections of their own, workers loop and no request waits. */
export function tellNoLater (command: Command, refusal: Error): void {
  setTimeout(() => command.reject(refusal), PAUSE_MS)
}
