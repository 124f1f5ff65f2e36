import { LeaseLost } from '../../../services/journal/errors.ts'
import type { AdvanceRequest, Batch, Journal, Position, Reconciliation } from '../../../services/journal/journal.ts'
import type { Transport } from '../../../services/relay/transport/transport.ts'

/** The part of the journal that the protocol is made of. */
export type ProtocolJournal = Pick<Journal, 'acquireLease' | 'advance' | 'terms' | 'reconcile'>
export type ProtocolQueue = Pick<Transport, 'publish' | 'watermarks' | 'rebase'>

export const LEASE_MS = 5000

interface Row { body: string, term: string | null, seq: number, published: boolean }

/** The journal as one would explain it: an array of rows, each with its number and whether it is published. Slow and obvious. */
export class ModelJournal implements ProtocolJournal {
  rows: Row[] = []
  order: string[] = []
  lease: { term: string, expiresAt: number } | null = null
  readonly #now: () => number

  constructor (now: () => number) {
    this.#now = now
  }

  add (body: string): void {
    this.rows.push({ body, term: null, seq: 0, published: false })
  }

  async acquireLease (_owner: string, ttlMs: number): Promise<string | null> {
    if (this.lease !== null && this.lease.expiresAt > this.#now()) return null
    const term = `term-${this.order.length + 1}`
    this.order.push(term)
    this.lease = { term, expiresAt: this.#now() + ttlMs }
    return term
  }

  #prove (lease: string): void {
    if (this.lease?.term !== lease) throw new LeaseLost()
  }

  #of (term: string): Row[] {
    return this.rows.filter((row) => row.term === term).sort((a, b) => a.seq - b.seq)
  }

  #chain (): string[] {
    return this.order.filter((term) => this.#of(term).length > 0)
  }

  async advance ({ lease, leaseUntil, published, after, maxRows }: AdvanceRequest): Promise<Batch | null> {
    this.#prove(lease)
    this.lease!.expiresAt = leaseUntil
    if (published !== null) {
      for (const row of this.#of(published.term)) if (row.seq <= published.seq) row.published = true
    }
    const held = (row: Row) => after !== null && !this.#isAfter(row, after)
    let next = this.#numbered().filter((row) => !row.published && !held(row))
    if (next.length === 0) {
      const unnumbered = this.rows.filter((row) => row.term === null).slice(0, maxRows)
      const last = this.#of(lease).at(-1)?.seq ?? 0
      unnumbered.forEach((row, index) => Object.assign(row, { term: lease, seq: last + 1 + index }))
      next = unnumbered
    }
    const first = next[0]
    if (first === undefined) return null
    const rows = next.filter((row) => row.term === first.term).slice(0, maxRows)
    const before = this.#chain()[this.#chain().indexOf(first.term!) - 1]
    return {
      term: first.term!,
      first: first.seq,
      last: rows.at(-1)!.seq,
      bodies: rows.map(({ body }) => body),
      previous: before === undefined ? null : { term: before, seq: this.#of(before).at(-1)!.seq }
    }
  }

  #numbered (): Row[] {
    return this.order.flatMap((term) => this.#of(term))
  }

  #isAfter (row: Row, position: Position): boolean {
    const [mine, theirs] = [this.order.indexOf(row.term!), this.order.indexOf(position.term)]
    return mine > theirs || (mine === theirs && row.seq > position.seq)
  }

  async terms (lease: string): Promise<string[]> {
    this.#prove(lease)
    return this.#chain()
  }

  async reconcile (lease: string, watermarks: { term: string, watermark: number | null }[]): Promise<Reconciliation> {
    this.#prove(lease)
    for (const { term, watermark } of watermarks) {
      for (const row of this.#of(term)) row.published = row.seq <= (watermark ?? 0)
    }
    return { empty: false, rewound: 0, confirmed: 0, rebases: [], lost: 0, published: null }
  }
}

/** What a queue forgets when it is wrong: each flag switches one rule of the publish script off, to see that the checker notices. */
export interface Sabotage { ignoreChain?: boolean, ignoreGap?: boolean, ignoreWatermark?: boolean }

/** The queue as one would explain it: a list, and for each term the last number in it. */
export class ModelQueue implements ProtocolQueue {
  list: string[] = []
  marks = new Map<string, number>()
  readonly #sabotage: Sabotage

  constructor (sabotage: Sabotage = {}) {
    this.#sabotage = sabotage
  }

  async publish ({ term, first, last, bodies, previous }: Batch): Promise<boolean> {
    const mark = this.#sabotage.ignoreWatermark ? first - 1 : this.marks.get(term) ?? 0
    if (mark >= last) return true
    if (first > mark + 1 && !this.#sabotage.ignoreGap) return false
    const chainBroken = previous !== null && (this.marks.get(previous.term) ?? 0) < previous.seq
    if (mark === 0 && chainBroken && !this.#sabotage.ignoreChain) return false
    this.list.push(...bodies.slice(Math.max(0, mark + 1 - first)))
    this.marks.set(term, last)
    return true
  }

  async watermarks (terms: string[]): Promise<(number | null)[]> {
    return terms.map((term) => this.marks.get(term) ?? null)
  }

  async rebase (): Promise<boolean> {
    return true
  }
}

/** The relay as one would explain it: check after each reconnect, number, send, mark. One batch at a time. */
export class ModelRelay {
  readonly #journal: ProtocolJournal
  readonly #queue: ProtocolQueue & { readonly epoch: number }
  readonly #lease: string
  readonly #now: () => number
  #checked: number | null = null
  #published: Position | null = null

  constructor (journal: ProtocolJournal, queue: ProtocolQueue & { readonly epoch: number }, lease: string, now: () => number) {
    this.#journal = journal
    this.#queue = queue
    this.#lease = lease
    this.#now = now
  }

  async step (): Promise<string> {
    const { epoch } = this.#queue
    try {
      if (this.#checked !== epoch) {
        this.#published = null
        const terms = await this.#journal.terms(this.#lease)
        const marks = await this.#queue.watermarks(terms)
        await this.#journal.reconcile(this.#lease, terms.map((term, index) => ({ term, watermark: marks[index]! })), 'replay')
        this.#checked = epoch
      }
      const batch = await this.#journal.advance({
        lease: this.#lease, leaseUntil: this.#now() + LEASE_MS, published: this.#published, after: null, maxRows: 3, maxBytes: 1e6
      })
      this.#published = null
      if (batch === null) return 'idle'
      const accepted = await this.#queue.publish(batch)
      if (accepted && this.#queue.epoch === epoch) this.#published = { term: batch.term, seq: batch.last }
      else this.#checked = null
      return 'published'
    } catch (err) {
      this.#checked = null
      throw err
    }
  }
}
