import { LeaseLost } from '../../../services/journal/errors.ts'
import type {
  AdvanceRequest, Batch, DeadLetter, DeadLetterQuery, EmptyPolicy, JournalEntry, JournalStats, Position, Reconciliation
} from '../../../services/journal/journal.ts'

interface Row { key: string, body: string, at: number, term: string | null, seq: number }
interface Term { name: string, createdAt: number, assigned: number, published: number, retired: boolean }

/** The whole journal as one would explain it: a list of rows and a list of terms. Slow and obvious; limits are not part of it. */
export class JournalModel {
  rows: Row[] = []
  terms: Term[] = []
  dead: DeadLetter[] = []
  lease: { term: string, expiresAt: number } | null = null
  #lastDead = 0
  readonly #now: () => number

  constructor (now: () => number) {
    this.#now = now
  }

  append (entries: JournalEntry[]): void {
    for (const { key, body } of entries) this.rows.push({ key, body, at: this.#now(), term: null, seq: 0 })
  }

  /** `name`: what the engine called the new term, as only it can choose that. */
  acquireLease (name: string | null, ttlMs: number): string | null {
    if (this.lease !== null && this.lease.expiresAt > this.#now()) return null
    this.terms = this.terms.filter(({ assigned }) => assigned > 0)
    this.terms.push({ name: name!, createdAt: this.#now(), assigned: 0, published: 0, retired: false })
    this.lease = { term: name!, expiresAt: this.#now() + ttlMs }
    return name
  }

  #prove (lease: string): void {
    if (this.lease?.term !== lease) throw new LeaseLost()
  }

  renewLease (lease: string, until: number): void {
    this.#prove(lease)
    this.lease!.expiresAt = until
  }

  releaseLease (lease: string): void {
    this.#prove(lease)
    this.lease = null
  }

  #find (name: string): Term | undefined {
    return this.terms.find((term) => term.name === name && !term.retired)
  }

  #chain (): Term[] {
    return this.terms.filter(({ assigned, retired }) => assigned > 0 && !retired)
  }

  #of (term: Term): Row[] {
    return this.rows.filter((row) => row.term === term.name).sort((a, b) => a.seq - b.seq)
  }

  advance (request: AdvanceRequest): Batch | null {
    const { lease, leaseUntil, published, after, maxRows, maxBytes } = request
    this.renewLease(lease, leaseUntil)
    const marked = published === null ? undefined : this.#find(published.term)
    if (marked !== undefined) marked.published = Math.max(marked.published, Math.min(published!.seq, marked.assigned))
    const chain = this.#chain()
    const held = chain.findIndex(({ name }) => name === after?.term)
    for (const term of chain.slice(Math.max(0, held))) {
      const from = after?.term === term.name ? Math.max(after.seq, term.published) : term.published
      const rows = this.#of(term).filter(({ seq }) => seq > from)
      if (rows.length > 0) return this.#batch(term, fitting(rows, maxRows, maxBytes))
    }
    const rows = fitting(this.rows.filter(({ term }) => term === null), maxRows, maxBytes)
    if (rows.length === 0) return null
    const term = this.#find(lease)!
    for (const row of rows) Object.assign(row, { term: lease, seq: ++term.assigned })
    return this.#batch(term, rows)
  }

  #batch (term: Term, rows: Row[]): Batch {
    const chain = this.#chain()
    const before = chain[chain.indexOf(term) - 1]
    return {
      term: term.name,
      first: rows[0]!.seq,
      last: rows.at(-1)!.seq,
      bodies: rows.map(({ body }) => body),
      previous: before === undefined ? null : { term: before.name, seq: before.assigned }
    }
  }

  getTerms (lease: string): string[] {
    this.#prove(lease)
    return this.#chain().map(({ name }) => name)
  }

  reconcile (lease: string, watermarks: { term: string, watermark: number | null }[], policy: EmptyPolicy): Reconciliation {
    this.#prove(lease)
    const known = new Map(watermarks.map(({ term, watermark }) => [term, watermark]))
    const chain = this.#chain().filter(({ name }) => known.has(name))
    const empty = chain.some(({ published }) => published > 0) && chain.every(({ name }) => known.get(name) === null)
    const outcome: Reconciliation = { empty, rewound: 0, confirmed: 0, rebases: [], lost: 0, published: null }
    for (const term of chain) {
      const watermark = known.get(term.name) ?? 0
      if (empty && policy === 'ignore') {
        if (term.published > 0) outcome.rebases.push({ term: term.name, expected: 0, to: term.published })
      } else {
        const wanted = Math.min(watermark, term.assigned)
        const between = this.#of(term).filter(({ seq }) => seq > Math.min(wanted, term.published) && seq <= Math.max(wanted, term.published)).length
        if (wanted < term.published) outcome.rewound += between
        else outcome.confirmed += between
        const pruned = term.assigned - this.#of(term).length
        term.published = Math.max(wanted, pruned)
        if (pruned > wanted) {
          outcome.rebases.push({ term: term.name, expected: watermark, to: pruned })
          if (!empty) outcome.lost += pruned - wanted
        }
      }
      if (term.published > 0) outcome.published = { term: term.name, seq: term.published }
    }
    return outcome
  }

  prune (lease: string, until: Position, limit: number): number {
    this.#prove(lease)
    const last = this.terms.findIndex(({ name }) => name === until.term)
    const due = this.#chain().flatMap((term) => {
      const index = this.terms.indexOf(term)
      if (index > last) return []
      return this.#of(term).filter(({ seq }) => seq <= (index === last ? Math.min(until.seq, term.published) : term.published))
    }).slice(0, limit)
    this.rows = this.rows.filter((row) => !due.includes(row))
    return due.length
  }

  retireTerms (lease: string, before: number): string[] {
    this.#prove(lease)
    for (const term of this.terms) {
      const idle = term.name !== lease && term.createdAt < before && term.published === term.assigned && this.#of(term).length === 0
      if (idle) term.retired = true
    }
    return this.terms.filter(({ retired }) => retired).map(({ name }) => name)
  }

  forgetTerms (lease: string, terms: string[]): void {
    this.#prove(lease)
    this.terms = this.terms.filter(({ name, retired }) => !(retired && terms.includes(name)))
  }

  bury (lease: string, { term: name, seq }: Position, reason: string, attempts: number): void {
    this.#prove(lease)
    const term = this.#find(name)
    const row = this.rows.find((row) => row.term === name && row.seq === seq && row.body !== '')
    if (term === undefined || row === undefined || seq <= term.published) return
    this.dead.push({ id: String(++this.#lastDead), key: row.key, body: row.body, reason, attempts, acceptedAt: row.at, failedAt: this.#now() })
    row.body = ''
  }

  deadLetters ({ limit, before = null, key = null }: DeadLetterQuery): DeadLetter[] {
    return this.dead.filter((letter) => (before === null || Number(letter.id) < Number(before)) && (key === null || letter.key === key)).reverse().slice(0, limit)
  }

  replayDeadLetters (ids: string[]): string[] {
    this.append(this.dead.filter(({ id }) => ids.includes(id)))
    return this.purgeDeadLetters(ids)
  }

  purgeDeadLetters (ids: string[]): string[] {
    const gone = this.dead.filter(({ id }) => ids.includes(id)).map(({ id }) => id)
    this.dead = this.dead.filter(({ id }) => !gone.includes(id))
    return gone
  }

  stats (): JournalStats {
    const published = new Map(this.terms.map((term) => [term.name, term.published]))
    const waits = ({ term, seq }: Row) => term === null || seq > published.get(term)!
    const pending = this.rows.filter(waits)
    const retained = this.rows.filter((row) => !waits(row))
    return {
      pendingRows: pending.length,
      pendingBytes: bytesOf(pending),
      retainedRows: retained.length,
      retainedBytes: bytesOf(retained),
      oldestPendingAgeMs: pending.length === 0 ? 0 : this.#now() - Math.min(...pending.map(({ at }) => at)),
      deadRows: this.dead.length,
      pressure: 'none'
    }
  }
}

function bytesOf (rows: Row[]): number {
  return rows.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0)
}

/** As many as fit, and always the first. */
function fitting (rows: Row[], maxRows: number, maxBytes: number): Row[] {
  const end = rows.findIndex((_, index) => index > 0 && bytesOf(rows.slice(0, index + 1)) > maxBytes)
  return rows.slice(0, Math.min(maxRows, end === -1 ? rows.length : end))
}
