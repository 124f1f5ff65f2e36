import type { Batch } from '../../journal/journal.ts'

/**
 * The way to a queue that keeps a watermark for each term. Every call settles within the connection's deadline; a rejection
 * means that the outcome is unknown, and the caller simply sends again.
 */
export interface Transport {
  /** Grows with every new connection: what an earlier one replied is void. */
  readonly epoch: number
  /** False while it is pointless to try. */
  readonly available: boolean
  /**
   * Moves elements and watermark in one atomic step; an empty body is only a number. False: refused, the queue lacks something that
   * comes before.
   *
   * @throws {MessageRejected} only when the queue will never take these contents: the relay then looks for the culprit and buries it
   */
  publish (batch: Batch): Promise<boolean>
  /** Where the queue stands in each term; null where it has never heard of it. */
  watermarks (terms: string[]): Promise<(number | null)[]>
  /** Sets a watermark if it still stands at `expected`. False: it does not. */
  rebase (term: string, expected: number, to: number): Promise<boolean>
  /** Drops the watermarks of terms that nothing needs any more. */
  forget (terms: string[]): Promise<void>
  /** Calls back when the connection is usable again. Returns the unsubscribe function. */
  onAvailable (listener: () => void): () => void
}
