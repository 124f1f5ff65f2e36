import { randomUUID } from 'node:crypto'
import { LeaseLost } from '../journal/errors.ts'
import type { EmptyPolicy, Journal, Reconciliation } from '../journal/journal.ts'
import type { Logger } from '../observability/logger.ts'
import { fullJitter } from '../resilience/backoff.ts'
import { Retention } from './retention.ts'
import { RelaySession } from './session.ts'
import type { Transport } from './transport.ts'
import { WakeUp } from './wake-up.ts'

export interface RelayOptions {
  journal: Journal
  transport: Transport
  logger: Logger
  emptyPolicy?: EmptyPolicy
  /** How long a dead relay blocks the next one. Default 5000 ms. */
  leaseMs?: number
  /** How long published messages are kept for repair. Default 900 000 ms. */
  retentionMs?: number
  /** How often an idle relay looks for messages of other processes. Default 1000 ms. */
  idleMs?: number
  /** How often an idle relay asks where the queue stands, to notice a flush that broke no connection. Default 5000 ms. */
  checkMs?: number
}

export interface RelayStats {
  leader: boolean
  published: number
  rewound: number
  lost: number
  /** Times that Redis came back knowing nothing. */
  emptied: number
  /** Why the last attempt failed; null once one has succeeded again. */
  lastError: { code: string, kind: string } | null
}

const FIRST_RETRY_MS = 20
const MAX_RETRY_MS = 1000
const STOP_BUDGET_MS = 250
/** Refusals in a row before the loop slows down: one is normal after a failover, a series means that something fights us. */
const QUICK_RETRIES = 3

/** Carries accepted messages to the queue, in order, by one relay at a time, for as long as it takes. */
export class Relay {
  readonly #options: Required<RelayOptions>
  readonly #owner = randomUUID()
  readonly #wakeUp = new WakeUp()
  readonly #retention: Retention
  readonly #stats: RelayStats = { leader: false, published: 0, rewound: 0, lost: 0, emptied: 0, lastError: null }
  #session: RelaySession | null = null
  #leaseUntil = 0
  #failures = 0
  #checkedAt = 0
  #loop: Promise<void> | null = null
  #stopped = false
  #unsubscribe: (() => void)[] = []

  constructor (options: RelayOptions) {
    this.#options = { emptyPolicy: 'replay', leaseMs: 5000, retentionMs: 900_000, idleMs: 1000, checkMs: 5000, ...options }
    this.#retention = new Retention(options.journal, this.#options.retentionMs)
  }

  get stats (): Readonly<RelayStats> { return this.#stats }

  start (): void {
    if (this.#loop !== null) return
    const { journal, transport } = this.#options
    this.#unsubscribe = [journal.onAppend(() => this.#wakeUp.call()), transport.onAvailable(() => this.#wakeUp.call())]
    this.#loop = this.#run()
  }

  /** Finishes the step in hand, within 250 ms, and hands the lease over. Never rejects. */
  async stop (): Promise<void> {
    this.#stopped = true
    this.#unsubscribe.splice(0).forEach((unsubscribe) => unsubscribe())
    this.#wakeUp.call()
    const timer = new WakeUp()
    await Promise.race([this.#loop, timer.wait(STOP_BUDGET_MS)])
    timer.call()
    if (this.#session === null) return
    const { lease } = this.#session
    this.#session = null
    this.#stats.leader = false
    await this.#options.journal.releaseLease(lease).catch((err) => this.#options.logger.debug({ err }, 'lease not released'))
  }

  async #run (): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#wakeUp.wait(await this.#turn())
      } catch (err) {
        await this.#wakeUp.wait(this.#failed(err as Error))
      }
    }
  }

  /** One turn of the loop; returns how long to wait before the next, in ms. */
  async #turn (): Promise<number> {
    const { transport, leaseMs, idleMs } = this.#options
    this.#session ??= await this.#lead()
    if (this.#session === null) return leaseMs / 3
    if (!transport.available) {
      await this.#keepLease(this.#session)
      return Math.min(idleMs, leaseMs / 3)
    }
    const session = this.#session
    const result = await session.step()
    this.#leaseUntil = Date.now() + leaseMs
    if (session.published !== null) this.#retention.mark(session.published)
    if (result === 'retry') return ++this.#failures > QUICK_RETRIES ? this.#retryDelay() : 0
    this.#recovered()
    if (result === 'published') return 0
    await this.#housekeeping(session)
    return Math.min(idleMs, leaseMs / 3)
  }

  async #lead (): Promise<RelaySession | null> {
    const { journal, transport, leaseMs, emptyPolicy, logger } = this.#options
    const lease = await journal.acquireLease(this.#owner, leaseMs)
    this.#stats.leader = lease !== null
    if (lease === null) return null
    this.#leaseUntil = Date.now() + leaseMs
    logger.info({ term: lease }, 'relay leads')
    return new RelaySession({
      journal,
      transport,
      lease,
      leaseMs,
      emptyPolicy,
      onReconciled: (outcome) => this.#reconciled(outcome),
      onPublished: (count) => { this.#stats.published += count }
    })
  }

  /** Holds the lease through an outage, so that the order of what waits stays in one hand. */
  async #keepLease (session: RelaySession): Promise<void> {
    const { journal, leaseMs } = this.#options
    if (this.#leaseUntil - Date.now() > leaseMs * 2 / 3) return
    const leaseUntil = Date.now() + leaseMs
    await journal.renewLease(session.lease, leaseUntil)
    this.#leaseUntil = leaseUntil
  }

  async #housekeeping (session: RelaySession): Promise<void> {
    const { journal, transport } = this.#options
    if (Date.now() - this.#checkedAt >= this.#options.checkMs) {
      this.#checkedAt = Date.now()
      session.recheck()
    }
    if (await this.#retention.sweep(session.lease) > 0) await journal.checkpoint()
    await this.#retention.sweepTerms(session.lease, (terms) => transport.forget(terms))
  }

  /** The queue has everything, or took what was sent. */
  #recovered (): void {
    if (this.#stats.lastError !== null) this.#options.logger.info({}, 'relay works again')
    this.#stats.lastError = null
    this.#failures = 0
  }

  /** Notes what went wrong and returns how long to wait, in ms. */
  #failed (err: Error): number {
    if (this.#stopped) return 0
    const { logger } = this.#options
    if (err instanceof LeaseLost) {
      this.#session = null
      this.#stats.leader = false
      logger.warn({ err }, 'relay lost its lease')
      return this.#options.leaseMs / 3
    }
    // One line when the trouble begins; the attempts that follow are for debugging only.
    if (this.#stats.lastError === null) logger.warn({ err }, 'relay cannot publish, messages wait in the journal')
    else logger.debug({ err }, 'relay attempt failed')
    const { code = err.name, kind = 'error' } = err as { code?: string, kind?: string }
    this.#stats.lastError = { code, kind }
    this.#failures++
    return this.#retryDelay()
  }

  #retryDelay (): number {
    return fullJitter(this.#failures, FIRST_RETRY_MS, MAX_RETRY_MS)
  }

  #reconciled (outcome: Reconciliation): void {
    const { logger, emptyPolicy } = this.#options
    const { empty, rewound, lost } = outcome
    this.#stats.rewound += rewound
    this.#stats.lost += lost
    this.#stats.emptied += Number(empty)
    if (empty) logger.error({ rewound, policy: emptyPolicy }, 'Redis came back empty')
    else if (rewound > 0) logger.warn({ rewound }, 'Redis had forgotten messages, they are sent again')
    if (lost > 0) logger.error({ lost, rebases: outcome.rebases }, 'Redis had forgotten messages that retention has pruned, they are lost')
  }
}
