import type { JournalFigures, OperationsSources } from './sources.ts'

/**
 * Counts the messages that came into the journal: those that wait, and those that left. Only the relay that leads knows the latter,
 * because it carries all of them.
 */
export class Arrivals {
  readonly #sources: Pick<OperationsSources, 'journal' | 'relay'>
  #seen: JournalFigures | null = null
  #total: number | null = null

  constructor (sources: Pick<OperationsSources, 'journal' | 'relay'>) {
    this.#sources = sources
  }

  /** Since an unknown beginning; null while unknown. */
  get total (): number | null { return this.#total }

  /**
   * To be called much more often than the journal is measured: what waited a while ago and what has left by now do not add up, so both
   * are taken at the moment at which a new measurement is there.
   */
  look (): void {
    const journal = this.#sources.journal?.() ?? null
    if (journal === this.#seen) return
    this.#seen = journal
    const relay = this.#sources.relay?.() ?? null
    // Repaired messages wait a second time without anybody having sent them again.
    this.#total = journal === null || relay?.leader !== true ? null : journal.pendingRows + relay.published + relay.buried - relay.rewound
  }
}
