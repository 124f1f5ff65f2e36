import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { JournalLimits, JournalStats } from '../journal.ts'
import { JournalFull } from '../errors.ts'
import { SqlitePressure } from './pressure.ts'
import type { SqlitePruning } from './pruning.ts'
import type { SqliteTotals } from './totals.ts'

const PRUNE_AHEAD_ROWS = 500
/** Rows of one INSERT. */
const CHUNK = 16
const COLUMNS = 4

/**
 * The accepting side of the journal: entries in, sums kept, bounds held. Runs inside the caller's transaction. Rows are collected and
 * written together: whoever reads the journal in the same transaction calls `flush` first.
 */
export class SqliteAppend {
  readonly #limits: JournalLimits
  readonly #now: () => number
  readonly #totals: SqliteTotals
  readonly #pruning: SqlitePruning
  readonly #insertOne: StatementSync
  readonly #insertChunk: StatementSync
  readonly pressure: SqlitePressure
  /** Values of the rows to come, in the order of the columns. */
  #values: (string | number)[] = []

  constructor (database: DatabaseSync, limits: JournalLimits, now: () => number, totals: SqliteTotals, pruning: SqlitePruning) {
    this.#limits = limits
    this.#now = now
    this.#totals = totals
    this.#pruning = pruning
    this.pressure = new SqlitePressure(database, limits, now)
    const insert = (rows: number) => database.prepare(
      `INSERT INTO journal (key, body, size_bytes, created_at) VALUES ${Array.from({ length: rows }, () => '(?, ?, ?, ?)').join(', ')}`)
    this.#insertOne = insert(1)
    this.#insertChunk = insert(CHUNK)
  }

  /**
   * Takes keys and bodies in turn.
   * @throws {JournalFull} when the messages do not fit below the high-water mark; nothing is stored then
   */
  append (keysAndBodies: string[]): void {
    const rows = keysAndBodies.length / 2
    const sizes: number[] = []
    let bytes = 0
    for (let index = 1; index < keysAndBodies.length; index += 2) {
      const size = Buffer.byteLength(keysAndBodies[index]!)
      sizes.push(size)
      bytes += size
    }
    this.#makeRoom(rows, bytes)
    const now = this.#now()
    for (let row = 0; row < rows; row++) this.#values.push(keysAndBodies[2 * row]!, keysAndBodies[2 * row + 1]!, sizes[row]!, now)
    this.#totals.add({ pending_rows: rows, pending_bytes: bytes, total_rows: rows, total_bytes: bytes })
  }

  #makeRoom (rows: number, bytes: number): void {
    const totals = this.#totals.read()
    if (this.pressure.refuses(totals, rows, bytes)) throw new JournalFull(totals.pending_rows, totals.pending_bytes)
    const { maxRows, maxBytes } = this.#limits
    // Retention gives way before acceptance does: the disk is bounded, and a shorter repair window loses nothing accepted.
    while (totals.total_rows + rows > maxRows || totals.total_bytes + bytes > maxBytes) {
      if (this.#pruning.pruneOldest(Math.max(rows, PRUNE_AHEAD_ROWS)) === 0) return
    }
  }

  /** Writes the rows collected so far. */
  flush (): void {
    const values = this.#values
    if (values.length === 0) return
    this.#values = []
    let index = 0
    for (; index + CHUNK * COLUMNS <= values.length; index += CHUNK * COLUMNS) this.#insertChunk.run(...values.slice(index, index + CHUNK * COLUMNS))
    for (; index < values.length; index += COLUMNS) this.#insertOne.run(values[index]!, values[index + 1]!, values[index + 2]!, values[index + 3]!)
  }

  /** Forgets rows of a transaction that was undone. */
  discard (): void {
    this.#values = []
  }

  /** A write that changes nothing: that its commit succeeds proves that the next message would be durable. */
  touch (): void {
    this.#totals.add({ total_rows: 0 })
  }

  stats (): JournalStats {
    this.flush()
    const totals = this.#totals.read()
    const oldestPendingAgeMs = this.pressure.oldestAgeMs(totals)
    return {
      pendingRows: totals.pending_rows,
      pendingBytes: totals.pending_bytes,
      retainedRows: totals.total_rows - totals.pending_rows,
      retainedBytes: totals.total_bytes - totals.pending_bytes,
      oldestPendingAgeMs,
      deadRows: totals.dead_rows,
      pressure: this.pressure.level(totals, oldestPendingAgeMs)
    }
  }
}
