/** What a consumer did since it was made. */
export interface ConsumerCounters {
  taken: number
  /** Handled and acknowledged. */
  handled: number
  /** Found to have been handled before, and acknowledged. */
  duplicates: number
  /** Failed attempts that come again. */
  retried: number
  /** Put off by `PostponeMessage`. */
  postponed: number
  deadLettered: number
  /** Attempts whose handler ignored its signal. */
  ignored: number
  /** Messages that were somebody else's when they were done. */
  leasesLost: number
  handedBack: number
  /** Messages of dead consumers that this one put back into the queue. */
  recovered: number
}

export interface ConsumerStats extends ConsumerCounters {
  running: boolean
  /** Messages in hand now. */
  inHand: number
  /** Whether the source answers. */
  available: boolean
}

export function newCounters (): ConsumerCounters {
  return {
    taken: 0, handled: 0, duplicates: 0, retried: 0, postponed: 0, deadLettered: 0, ignored: 0, leasesLost: 0, handedBack: 0, recovered: 0
  }
}
