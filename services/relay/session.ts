import type { Batch, EmptyPolicy, Journal, Position, Reconciliation } from '../journal/journal.ts'
import { MessageRejected } from './errors.ts'
import { Isolation } from './isolation.ts'
import type { Transport } from './transport/transport.ts'

/** A message that went to the dead letters; its contents are there. */
export interface Burial extends Position {
  reason: string
  attempts: number
}

export interface SessionOptions {
  journal: Journal
  transport: Transport
  /** The term that this leadership started. */
  lease: string
  leaseMs: number
  emptyPolicy: EmptyPolicy
  /** Batch limits. Defaults 500 messages and 1 MiB. */
  maxRows?: number
  maxBytes?: number
  now?: () => number
  /** Told of each check that found the queue elsewhere than the journal thought. */
  onReconciled?: (outcome: Reconciliation) => void
  /** Told of each batch that the queue has taken, with the number of its messages. */
  onPublished?: (count: number) => void
  onBuried?: (burial: Burial) => void
}

/**
 * `retry`: the queue refused, or the connection changed; the next step finds out where the queue stands. `isolating`: contents were
 * rejected, and the next step goes on with less of them.
 */
export type StepResult = 'published' | 'idle' | 'retry' | 'isolating'

/**
 * One leadership, step by step. The rules that make it exactly-once:
 * - what an earlier connection replied is void, so each new connection begins with a check of the watermarks;
 * - a mark or a rewind is a transaction that proves the lease;
 * - anything unclear is sent again, and the queue's watermark decides.
 * At most two batches are in memory: one on its way, and the next.
 */
export class RelaySession {
  readonly #options: Required<SessionOptions>
  readonly #isolation = new Isolation()
  #reconciledEpoch: number | null = null
  #next: Batch | null = null
  #published: Position | null = null

  constructor (options: SessionOptions) {
    const ignore = () => {}
    const defaults = { maxRows: 500, maxBytes: 1024 * 1024, now: Date.now, onReconciled: ignore, onPublished: ignore, onBuried: ignore }
    this.#options = { ...defaults, ...options }
  }

  get lease (): string { return this.#options.lease }

  /** The last position known to be in the queue, for retention. */
  get published (): Position | null { return this.#published }

  /** The next step checks the watermarks again, as it does after a reconnect. */
  recheck (): void {
    this.#reconciledEpoch = null
  }

  /**
   * Does the next thing. After a rejection the state in memory is dropped, and the next call begins from what journal and
   * queue say.
   *
   * @throws {MessageRejected} for a message that is rejected alone: the next step tries it again, so pause before.
   */
  async step (): Promise<StepResult> {
    try {
      if (this.#reconciledEpoch !== this.#options.transport.epoch) await this.#reconcile()
      return await this.#publishNext()
    } catch (err) {
      this.#drop()
      throw err
    }
  }

  #drop (): void {
    this.#next = null
    this.#published = null
    this.#reconciledEpoch = null
  }

  async #publishNext (): Promise<StepResult> {
    const { transport } = this.#options
    const epoch = this.#reconciledEpoch
    this.#next ??= await this.#advance(this.#published)
    const batch = this.#next
    if (batch === null) return 'idle'
    if (transport.epoch !== epoch) return 'retry'

    const end = { term: batch.term, seq: batch.last }
    // The journal works on the next batch while this one travels; not while its size depends on how this one fares.
    const [sent, following] = await Promise.allSettled([transport.publish(batch), this.#isolation.active ? null : this.#advance(end)])
    if (sent.status === 'rejected') return await this.#failed(batch, sent.reason)
    if (following.status === 'rejected') throw following.reason
    if (!sent.value || transport.epoch !== epoch) {
      this.#drop()
      return 'retry'
    }
    this.#isolation.accepted(batch)
    this.#published = end
    this.#options.onPublished(countOf(batch.bodies))
    this.#next = following.value
    return 'published'
  }

  async #failed (batch: Batch, reason: unknown): Promise<StepResult> {
    if (!(reason instanceof MessageRejected)) throw reason
    this.#drop()
    const verdict = this.#isolation.rejected(batch, reason)
    if (verdict === 'retry') throw reason
    if (verdict === 'bury') await this.#bury({ term: batch.term, seq: batch.first, reason: reason.reason, attempts: this.#isolation.attempts })
    return 'isolating'
  }

  async #bury (burial: Burial): Promise<void> {
    const { journal, lease, onBuried } = this.#options
    const { term, seq, reason, attempts } = burial
    await journal.bury(lease, { term, seq }, reason, attempts)
    this.#isolation.clear()
    onBuried(burial)
  }

  async #advance (after: Position | null): Promise<Batch | null> {
    const { journal, lease, leaseMs, maxRows, maxBytes, now } = this.#options
    return await journal.advance({
      lease,
      leaseUntil: now() + leaseMs,
      published: this.#published,
      after,
      maxRows: this.#isolation.limit(this.#published, maxRows),
      maxBytes
    })
  }

  /** Asks the queue where it stands and moves the journal there: after a failover, a restart, a flush, or a takeover. */
  async #reconcile (): Promise<void> {
    const { journal, transport, lease, emptyPolicy, onReconciled } = this.#options
    this.#drop()
    const { epoch } = transport
    const terms = await journal.terms(lease)
    const watermarks = await transport.watermarks(terms)
    const outcome = await journal.reconcile(lease, terms.map((term, index) => ({ term, watermark: watermarks[index]! })), emptyPolicy)
    let current = true
    for (const { term, expected, to } of outcome.rebases) {
      current = await transport.rebase(term, expected, to) && current
    }
    if (outcome.empty || outcome.rewound > 0 || outcome.lost > 0) onReconciled(outcome)
    this.#published = outcome.published
    if (current && transport.epoch === epoch) this.#reconciledEpoch = epoch
  }
}

/** Of the messages among them: an empty body is only a number. */
function countOf (bodies: string[]): number {
  return bodies.includes('') ? bodies.filter((body) => body !== '').length : bodies.length
}
