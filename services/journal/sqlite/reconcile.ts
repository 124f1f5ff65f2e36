import type { DatabaseSync } from 'node:sqlite'
import type { EmptyPolicy, Reconciliation } from '../journal.ts'
import type { SqliteLeadership, Term } from './leadership.ts'
import type { SqliteNumbering } from './numbering.ts'

type Watermarks = Map<string, number | null>

/**
 * Brings the journal back to where the queue really stands. Replication is prefix-consistent, so what a failover lost is a
 * suffix: moving the cursors back and sending again restores both the messages and their order.
 */
export class SqliteReconcile {
  readonly #leadership: SqliteLeadership
  readonly #numbering: SqliteNumbering
  readonly #firstAfter

  constructor (database: DatabaseSync, leadership: SqliteLeadership, numbering: SqliteNumbering) {
    this.#leadership = leadership
    this.#numbering = numbering
    this.#firstAfter = database.prepare('SELECT min(id) AS id FROM journal WHERE id > ? AND id <= ?')
  }

  reconcile (lease: string, watermarks: { term: string, watermark: number | null }[], policy: EmptyPolicy): Reconciliation {
    this.#leadership.prove(lease)
    const known: Watermarks = new Map(watermarks.map(({ term, watermark }) => [term, watermark]))
    const chain = this.#leadership.chain().filter(({ term }) => known.has(term))
    const empty = chain.some((term) => term.published_seq > 0) && chain.every(({ term }) => known.get(term) === null)
    const outcome: Reconciliation = { empty, rewound: 0, confirmed: 0, rebases: [], lost: 0, published: null }
    for (const term of chain) {
      if (empty && policy === 'ignore') this.#keepCursor(term, outcome)
      else this.#follow(term, known.get(term.term) ?? 0, outcome)
      if (term.published_seq > 0) outcome.published = { term: term.term, seq: term.published_seq }
    }
    return outcome
  }

  /** The queue is taken to have been consumed: numbering goes on where it stood. */
  #keepCursor (term: Term, outcome: Reconciliation): void {
    if (term.published_seq > 0) outcome.rebases.push({ term: term.term, expected: 0, to: term.published_seq })
  }

  #follow (term: Term, watermark: number, outcome: Reconciliation): void {
    const target = Math.min(watermark, term.assigned_seq)
    const before = term.published_seq
    if (target !== before) {
      const moved = this.#numbering.movePublished(term, target)
      outcome[target < before ? 'rewound' : 'confirmed'] += moved
    }
    if (target === term.assigned_seq) return
    // Retention may have pruned what the queue now lacks: the watermark must step over the missing numbers.
    const { id } = this.#firstAfter.get(term.base_id + target, term.base_id + term.assigned_seq) as { id: number | null }
    const next = id === null ? term.assigned_seq + 1 : id - term.base_id
    if (next === target + 1) return
    outcome.rebases.push({ term: term.term, expected: watermark, to: next - 1 })
    if (!outcome.empty) outcome.lost += next - 1 - target
    this.#numbering.movePublished(term, next - 1)
  }
}
