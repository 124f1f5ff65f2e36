export interface CacheStatistics {
  /** Lookups that Redis answered with a fresh value. */
  readonly hits: number
  /** Lookups that Redis answered without one: absent, expired or unreadable. */
  readonly misses: number
  /** Of the lookups that Redis answered; null before the first. An outage does not change it. */
  readonly hitRatio: number | null
  /** Lookups without an answer: Redis is disabled, out, suspected, or took longer than the patience. */
  readonly bypassed: number
  /** Of these, how many this process' memory could answer. */
  readonly memoryHits: number
  /** Expired values that were returned: because the origin failed, or while a new one is fetched. */
  readonly stale: number
  /** Failures of Redis that no caller saw. */
  readonly errorsAvoided: number
  readonly originCalls: number
  readonly originErrors: number
  /** Calls of `wrap` that joined one under way in this process. */
  readonly coalesced: number
  /** Calls of `wrap` that got what another process had fetched meanwhile. */
  readonly shared: number
  /** Stored values that could not be read. */
  readonly corrupt: number
  /** Values not stored because they are too large. */
  readonly tooLarge: number
  /** Values not stored because the codec refused them. */
  readonly unencodable: number
  /** Writes that Redis did not take, or that were not sent. */
  readonly writesLost: number
  /** Invalidations forgotten because too many waited for Redis. */
  readonly invalidationsLost: number
  /** Keys whose `set` or `delete` still waits for Redis. */
  readonly unsettled: number
  /** How long a lookup would wait for Redis now. */
  readonly patienceMs: number
  /** Redis took too long; nobody waits for it until it has answered in time again. */
  readonly suspected: boolean
}

export type Figures = Pick<CacheStatistics, 'unsettled' | 'patienceMs' | 'suspected'>

/** Counters of one cache and its namespaces. */
export class Statistics {
  hits = 0
  misses = 0
  bypassed = 0
  memoryHits = 0
  stale = 0
  errorsAvoided = 0
  originCalls = 0
  originErrors = 0
  coalesced = 0
  shared = 0
  corrupt = 0
  tooLarge = 0
  unencodable = 0
  writesLost = 0
  invalidationsLost = 0

  snapshot (figures: Figures): CacheStatistics {
    const answered = this.hits + this.misses
    return { ...this, ...figures, hitRatio: answered === 0 ? null : this.hits / answered }
  }
}
