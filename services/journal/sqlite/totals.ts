import type { DatabaseSync } from 'node:sqlite'

/** Sums over the journal. Counting a million rows on every request would be the backlog's revenge, so they are kept. */
export interface Totals {
  /** Accepted and not known to be in the queue. */
  pending_rows: number
  pending_bytes: number
  /** Pending and retained. */
  total_rows: number
  total_bytes: number
  /** Every row up to here belongs to a term. */
  last_numbered_id: number
  dead_rows: number
}

/** The sums within one transaction: read once, changed in memory, and written once before the commit. */
export class SqliteTotals {
  readonly #select
  readonly #update
  #current: Totals | null = null
  #changed = false

  constructor (database: DatabaseSync) {
    this.#select = database.prepare('SELECT pending_rows, pending_bytes, total_rows, total_bytes, last_numbered_id, dead_rows FROM journal_totals')
    this.#update = database.prepare(`UPDATE journal_totals SET pending_rows = ?, pending_bytes = ?, total_rows = ?, total_bytes = ?,
      last_numbered_id = ?, dead_rows = ?`)
  }

  /** Another process may have written since the last transaction. */
  begin (): void {
    this.#current = null
    this.#changed = false
  }

  read (): Readonly<Totals> {
    return this.#load()
  }

  #load (): Totals {
    this.#current ??= this.#select.get() as unknown as Totals
    return this.#current
  }

  add (delta: Partial<Totals>): void {
    const totals = this.#load()
    for (const name of Object.keys(delta) as (keyof Totals)[]) totals[name] += delta[name]!
    this.#changed = true
  }

  store (): void {
    if (!this.#changed) return
    const totals = this.#load()
    this.#update.run(totals.pending_rows, totals.pending_bytes, totals.total_rows, totals.total_bytes, totals.last_numbered_id, totals.dead_rows)
    this.#changed = false
  }

  /** A point to return to when what follows is undone. */
  mark (): () => void {
    const [totals, changed] = [{ ...this.#load() }, this.#changed]
    return () => {
      this.#current = totals
      this.#changed = changed
    }
  }
}
