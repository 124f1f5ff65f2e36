import { JournalFull } from '../errors.ts'
import type { JournalEntry, JournalLimits, JournalPressure, JournalStats } from '../journal.ts'
import type { PostgresDatabase } from './database.ts'
import { measure } from './measure.ts'
import type { Measurement } from './measure.ts'

const SAMPLE_MAX_AGE_MS = 1000
/** Measuring takes no more than this share of the time, however often it is asked for. */
const MEASURING_SHARE = 0.2
const DEFAULT_HIGH_RATIO = 0.8

interface Sample extends Measurement { takenAt: number, tookMs: number }

/**
 * The bounds, approximately: what was measured within the last second, and what this process has appended since. A row of sums
 * that every append updates would be exact, and every writer would wait for the slowest transaction that holds it.
 */
export class JournalGauge {
  readonly #database: PostgresDatabase
  readonly #limits: JournalLimits
  readonly #fixedNow: (() => number) | null
  #sample: Sample | null = null
  #measuring: Promise<unknown> = Promise.resolve()
  #refreshing: Promise<Sample> | null = null
  /** On their way into the database. */
  readonly #underWay = { rows: 0, bytes: 0 }
  /** Committed after the sample was begun. */
  readonly #appended = { rows: 0, bytes: 0 }
  /** The relay has moved since the sample: it may say more than is true by now. */
  #outdated = false

  constructor (database: PostgresDatabase, limits: JournalLimits, fixedNow: (() => number) | null) {
    this.#database = database
    this.#limits = limits
    this.#fixedNow = fixedNow
  }

  /**
   * Lets `append` run, and counts its entries.
   * @throws {JournalFull} when they do not fit below a limit, by a sample that is new enough
   */
  async admit (entries: JournalEntry[], append: () => Promise<void>): Promise<void> {
    const rows = entries.length
    const bytes = entries.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0)
    await this.#makeSure(rows, bytes)
    add(this.#underWay, rows, bytes)
    try {
      await append()
      add(this.#appended, rows, bytes)
    } finally {
      add(this.#underWay, -rows, -bytes)
    }
  }

  async #makeSure (rows: number, bytes: number): Promise<void> {
    const { takenAt } = this.#sample ?? await this.#refresh()
    const old = performance.now() - takenAt > SAMPLE_MAX_AGE_MS
    if (this.#fits(rows, bytes)) {
      if (old) this.#refresh().catch(() => {})
      return
    }
    if (old || this.#outdated) await this.#refresh()
    if (!this.#fits(rows, bytes)) throw new JournalFull(this.#rows, this.#bytes)
  }

  get #rows (): number { return this.#sample!.pendingRows + this.#appended.rows + this.#underWay.rows }

  get #bytes (): number { return this.#sample!.pendingBytes + this.#appended.bytes + this.#underWay.bytes }

  #fits (rows: number, bytes: number): boolean {
    const { maxRows, maxBytes, maxAgeMs = null } = this.#limits
    const { oldestPendingAt, now, takenAt } = this.#sample!
    if (this.#rows + rows > maxRows || this.#bytes + bytes > maxBytes) return false
    if (maxAgeMs === null || oldestPendingAt === null) return true
    const current = this.#fixedNow?.() ?? now + performance.now() - takenAt
    return current - oldestPendingAt <= maxAgeMs
  }

  /** The relay has published something: a refusal needs a new sample from now on. */
  moved (): void {
    this.#outdated = true
  }

  /** Retention has let rows go. */
  pruned (rows: number): void {
    if (this.#sample === null || this.#sample.retainedRows === 0) return
    const { retainedRows, retainedBytes } = this.#sample
    const left = Math.max(0, retainedRows - rows)
    Object.assign(this.#sample, { retainedRows: left, retainedBytes: retainedBytes * left / retainedRows })
  }

  /** How many of the published rows must go, so that all that is stored fits below the limits. */
  async excessRows (): Promise<number> {
    const { maxRows, maxBytes } = this.#limits
    const old = this.#sample === null || performance.now() - this.#sample.takenAt > SAMPLE_MAX_AGE_MS
    const { retainedRows, retainedBytes } = old ? await this.#refresh() : this.#sample!
    if (retainedRows === 0) return 0
    const excessBytes = this.#bytes + retainedBytes - maxBytes
    return Math.min(retainedRows, Math.max(0, this.#rows + retainedRows - maxRows, Math.ceil(excessBytes * retainedRows / Math.max(1, retainedBytes))))
  }

  /** Measures now. */
  async stats (): Promise<JournalStats> {
    const sample = await this.#take()
    const { pendingRows, pendingBytes, retainedRows, retainedBytes, deadRows, oldestPendingAt, now } = sample
    const oldestPendingAgeMs = oldestPendingAt === null ? 0 : Math.max(0, now - oldestPendingAt)
    return {
      pendingRows, pendingBytes, retainedRows, retainedBytes, oldestPendingAgeMs, deadRows, pressure: this.#pressure(pendingRows, pendingBytes, oldestPendingAgeMs)
    }
  }

  #pressure (rows: number, bytes: number, ageMs: number): JournalPressure {
    const { maxRows, maxBytes, maxAgeMs = null, highRatio = DEFAULT_HIGH_RATIO } = this.#limits
    if (rows >= maxRows || bytes >= maxBytes || (maxAgeMs !== null && ageMs > maxAgeMs)) return 'full'
    const share = Math.max(rows / maxRows, bytes / maxBytes, maxAgeMs === null ? 0 : ageMs / maxAgeMs)
    return share >= highRatio ? 'high' : 'none'
  }

  /** A measurement that begins soon, shared by all who ask meanwhile. */
  #refresh (): Promise<Sample> {
    this.#refreshing ??= this.#pause().then(() => this.#take()).finally(() => { this.#refreshing = null })
    return this.#refreshing
  }

  async #pause (): Promise<void> {
    if (this.#sample === null) return
    const { takenAt, tookMs } = this.#sample
    const waitMs = takenAt + tookMs / MEASURING_SHARE - performance.now()
    if (waitMs > 0) await new Promise((resolve) => { setTimeout(resolve, waitMs) })
  }

  /** One at a time, or what was appended meanwhile would be taken off twice. */
  #take (): Promise<Sample> {
    const taken = this.#measuring.then(() => this.#measure())
    this.#measuring = taken.catch(() => {})
    return taken
  }

  async #measure (): Promise<Sample> {
    const takenAt = performance.now()
    const before = { ...this.#appended }
    this.#outdated = false
    const measured = await measure(this.#database, this.#fixedNow?.() ?? null)
    // What was appended while it was measured may count twice, rather than not at all.
    add(this.#appended, -before.rows, -before.bytes)
    this.#sample = { ...measured, takenAt, tookMs: performance.now() - takenAt }
    return this.#sample
  }
}

function add (sum: { rows: number, bytes: number }, rows: number, bytes: number): void {
  sum.rows += rows
  sum.bytes += bytes
}
