import type { EmptyPolicy, Reconciliation } from '../journal.ts'
import type { LeaderTransaction, Term } from './leader-transaction.ts'
import { cursorAt } from './positions.ts'

/**
 * Brings the journal back to where the queue really stands. Replication is prefix-consistent, so what a failover lost is a
 * suffix: moving the cursors back and sending again restores both the messages and their order.
 */
export async function reconcile (
  leader: LeaderTransaction, watermarks: { term: string, watermark: number | null }[], policy: EmptyPolicy
): Promise<Reconciliation> {
  const known = new Map(watermarks.map(({ term, watermark }) => [term, watermark]))
  const chain = leader.chain.filter(({ term }) => known.has(term))
  const empty = chain.some(({ published }) => published.seq > 0) && chain.every(({ term }) => known.get(term) === null)
  const outcome: Reconciliation = { empty, rewound: 0, confirmed: 0, rebases: [], lost: 0, published: null }
  for (const term of chain) {
    if (empty && policy === 'ignore') keepCursor(term, outcome)
    else await follow(leader, term, known.get(term.term) ?? 0, outcome)
    if (term.published.seq > 0) outcome.published = { term: term.term, seq: term.published.seq }
  }
  return outcome
}

/** The queue is taken to have been consumed: numbering goes on where it stood. */
function keepCursor ({ term, published }: Term, outcome: Reconciliation): void {
  if (published.seq > 0) outcome.rebases.push({ term, expected: 0, to: published.seq })
}

async function follow (leader: LeaderTransaction, term: Term, watermark: number, outcome: Reconciliation): Promise<void> {
  const target = Math.min(watermark, term.assigned.seq)
  const before = term.published.seq
  const { pruned } = term
  const moved = Math.abs(Math.max(target, pruned.seq) - Math.max(before, pruned.seq))
  outcome[target < before ? 'rewound' : 'confirmed'] += moved
  // Retention may have pruned what the queue now lacks: the watermark must step over the missing numbers.
  const stepped = Math.max(target, pruned.seq)
  if (stepped !== before) leader.move(term, { published: await cursorAt(leader, term, stepped) })
  if (stepped === target) return
  outcome.rebases.push({ term: term.term, expected: watermark, to: stepped })
  if (!outcome.empty) outcome.lost += stepped - target
}
