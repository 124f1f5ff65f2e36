/** One message in hand. Exactly one of `acknowledge`, `retry`, `bury` and `handBack` ends it. */
export interface Delivery {
  /** The exact bytes taken. */
  readonly body: Buffer
  /** Proves to the source that the message is still ours. Unique to this delivery. */
  readonly receipt: string
  /** Times that the source has given this message to anybody, this time included, as far as it knows; at least 1. */
  readonly deliveries: number
}

export interface Recovered {
  /** Messages put back because the lease of whoever had them ran out. */
  abandoned: number
  /** Messages whose delay is over. */
  due: number
}

/**
 * Where a consumer's messages come from: a list with `…:processing` beside it, or a stream with a group. Every call settles within the
 * connection's deadline, plus the time it may wait; a rejection means that the outcome is unknown, and the call may be repeated.
 * False: the message is not ours any more (its lease ran out), and nothing was changed.
 */
export interface Source {
  /** Takes up to `max` messages, oldest first, and leases them. Waits up to `waitMs` for the first. */
  take (max: number, waitMs: number): Promise<Delivery[]>
  /** Extends the leases. Returns the receipts that are still ours. */
  renew (deliveries: Delivery[]): Promise<Set<string>>
  acknowledge (delivery: Delivery): Promise<boolean>
  /** Gives it back to come again, as `body`, after `delayMs`: one atomic step. */
  retry (delivery: Delivery, body: Buffer, delayMs: number): Promise<boolean>
  /** Moves it to the dead letters: one atomic step. */
  bury (delivery: Delivery, letter: Buffer): Promise<boolean>
  /** Puts unfinished messages back to where they came from, in their old order, to be taken next. Returns how many were still ours. */
  handBack (deliveries: Delivery[]): Promise<number>
  /** Puts back what dead consumers left, and what is due again. Bounded; safe to run in every consumer at once. */
  recover (): Promise<Recovered>
}
