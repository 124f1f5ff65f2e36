import { randomUUID } from 'node:crypto'
import type { Journal } from '../journal/journal.ts'

/** Often enough that a clean hand-over takes half a second, whatever the lease. */
const MAX_POLL_MS = 250

/** One relay's side of the lease: taking it, keeping it, giving it back. */
export class Leadership {
  readonly #journal: Journal
  readonly #leaseMs: number
  readonly #owner = randomUUID()
  #term: string | null = null
  #until = 0

  constructor (journal: Journal, leaseMs: number) {
    this.#journal = journal
    this.#leaseMs = leaseMs
  }

  /** How often a relay that waits asks for the lease. */
  get pollMs (): number { return Math.min(MAX_POLL_MS, this.#leaseMs / 20) }

  /** The longest that a leader may rest without renewing. */
  get renewMs (): number { return this.#leaseMs / 3 }

  /** Returns the new term, or null while another relay leads. */
  async acquire (): Promise<string | null> {
    const askedAt = Date.now()
    this.#term = await this.#journal.acquireLease(this.#owner, this.#leaseMs)
    this.#until = askedAt + this.#leaseMs
    return this.#term
  }

  /** The journal has just extended the lease together with other work. */
  extended (): void {
    this.#until = Date.now() + this.#leaseMs
  }

  /** Renews the lease where nothing else has for a while: through an outage the order of what waits stays in one hand. @throws {LeaseLost} */
  async keep (): Promise<void> {
    if (this.#term === null || this.#until - Date.now() > this.#leaseMs - this.renewMs) return
    const until = Date.now() + this.#leaseMs
    await this.#journal.renewLease(this.#term, until)
    this.#until = until
  }

  lost (): void {
    this.#term = null
  }

  async release (): Promise<void> {
    const term = this.#term
    this.#term = null
    if (term !== null) await this.#journal.releaseLease(term)
  }
}
