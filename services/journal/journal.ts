/** What a durable write survives: nothing (memory), the process and its host's restart (`node`), or the loss of a host. */
export type Durability = 'none' | 'node' | 'cluster'

/** One message: its ordering key and the exact bytes that the queue will hold. */
export interface JournalEntry { key: string, body: string }

/** A place in the queue's order: the lease's term and the dense number, from 1, within it. */
export interface Position { term: string, seq: number }

/** Consecutive messages of one term, ready to publish. */
export interface Batch {
  term: string
  first: number
  last: number
  /** One for each number from `first` to `last`. Empty: the message became a dead letter, its number counts, nothing is queued. */
  bodies: string[]
  /** The term before this one and its last number: it must be complete in the queue first. Null where there is none. */
  previous: Position | null
}

export interface AdvanceRequest {
  /** The lease's term: the transaction proves that nobody took it over. */
  lease: string
  /** Extends the lease to this epoch in milliseconds. */
  leaseUntil: number
  /** Everything up to here is in the queue. */
  published: Position | null
  /** The last message that the caller already holds; the next batch begins after it. */
  after: Position | null
  maxRows: number
  maxBytes: number
}

/** A term whose watermark must be set by hand because the rows in between are gone. */
export interface Rebase { term: string, expected: number, to: number }

export interface Reconciliation {
  /** The queue knows nothing of what we published: Redis came back empty. */
  empty: boolean
  /** Published messages that the queue had lost and that will be sent again. */
  rewound: number
  /** Messages that were in the queue already, though the journal did not know. */
  confirmed: number
  rebases: Rebase[]
  /** Messages lost for good: the queue forgot them and retention had already pruned them. */
  lost: number
  /** The last message in the queue's order that the journal now counts as published. */
  published: Position | null
}

/** How near the journal is to its limits: `high` from a share of any of them on, `full` where new messages are refused. */
export type JournalPressure = 'none' | 'high' | 'full'

export interface JournalStats {
  pendingRows: number
  pendingBytes: number
  retainedRows: number
  retainedBytes: number
  oldestPendingAgeMs: number
  /** Messages that the queue rejected on their own merits. */
  deadRows: number
  pressure: JournalPressure
}

export interface JournalLimits {
  maxRows: number
  maxBytes: number
  /** New messages are refused while the oldest one waits longer than this. Default: no such limit. */
  maxAgeMs?: number | null
  /** Share of each limit from which the pressure is `high`. Default 0.8. */
  highRatio?: number
}

/** The caller's own transaction in the journal's database, whatever library it is of; see `fromPg` and `fromKysely`. */
export interface SqlTransaction {
  query (text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
}

/** A message that the queue rejected on its own merits, with the exact bytes that were accepted. */
export interface DeadLetter {
  /** Of the journal's own; grows with time. */
  id: string
  key: string
  body: string
  reason: string
  attempts: number
  /** Epoch ms. */
  acceptedAt: number
  failedAt: number
}

export interface DeadLetterQuery {
  limit: number
  /** Continue after this id: listings go from the newest to the oldest. */
  before?: string | null
  key?: string | null
}

/** What to do when Redis comes back empty: send the retained messages again, or count them as consumed. */
export type EmptyPolicy = 'replay' | 'ignore'

/**
 * The durable log between an accepted message and the queue. Every method settles within the engine's deadline.
 * A method that takes a `lease` rejects with FST_BRK_LEASE_LOST once another relay holds it, and changes nothing then.
 */
export interface Journal {
  readonly durability: Durability
  /**
   * Resolves when every entry is durable; with `within`, when it is part of the caller's transaction, whose commit makes it so.
   * @throws FST_BRK_JOURNAL_FULL, FST_BRK_STORE_UNAVAILABLE, FST_BRK_TRANSACTION_UNSUPPORTED (the engine cannot join one)
   */
  append (entries: JournalEntry[], within?: SqlTransaction): Promise<void>
  /** Takes a free or expired lease and starts a new term; null while another relay holds it. */
  acquireLease (owner: string, ttlMs: number): Promise<string | null>
  renewLease (lease: string, leaseUntil: number): Promise<void>
  releaseLease (lease: string): Promise<void>
  /** One transaction: marks what is published, numbers what is new, and returns the next batch. */
  advance (request: AdvanceRequest): Promise<Batch | null>
  /** Terms in order of their numbers, for the check against the queue's watermark. */
  terms (lease: string): Promise<string[]>
  /** Adjusts the journal to where the queue stands; `watermarks` belong to the terms given. */
  reconcile (lease: string, watermarks: { term: string, watermark: number | null }[], policy: EmptyPolicy): Promise<Reconciliation>
  /** Deletes up to `limit` published messages at or before `until`, and returns how many. */
  prune (lease: string, until: Position, limit: number): Promise<number>
  /** Terms that nothing needs any more, older than `before` (epoch ms). The caller deletes their watermarks, then calls `forgetTerms`. */
  retireTerms (lease: string, before: number): Promise<string[]>
  forgetTerms (lease: string, terms: string[]): Promise<void>
  /** Moves the message at `position` to the dead letters. Its number stays, with an empty body. Repeating it changes nothing. */
  bury (lease: string, position: Position, reason: string, attempts: number): Promise<void>
  deadLetters (query: DeadLetterQuery): Promise<DeadLetter[]>
  /** Appends them again, byte for byte, as the newest messages of their keys. Returns the ids that were there. @throws FST_BRK_JOURNAL_FULL */
  replayDeadLetters (ids: string[]): Promise<string[]>
  /** Deletes them for good. Returns the ids that were there. */
  purgeDeadLetters (ids: string[]): Promise<string[]>
  /** Flushes the write-ahead log into the database; for idle moments. */
  checkpoint (): Promise<void>
  stats (): Promise<JournalStats>
  /** Calls back after commits of new entries, at least those made through this object. Returns the unsubscribe function. */
  onAppend (listener: () => void): () => void
}
