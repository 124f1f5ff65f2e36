import { LeaseLost } from '../journal/errors.ts'
import type { EmptyPolicy, Journal, Reconciliation } from '../journal/journal.ts'
import type { Logger } from '../observability/logger.ts'
import { fullJitter } from '../resilience/backoff.ts'
import { Housekeeping } from './housekeeping.ts'
import { Leadership } from './leadership.ts'
import { RelaySession } from './session.ts'
import type { Burial, StepResult } from './session.ts'
import type { Transport } from './transport/transport.ts'
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
  /** How often old messages are pruned; and how often an idle relay asks where the queue stands, to notice a flush that broke no connection. Default 5000 ms. */
  checkMs?: number
  /** Limits of a batch. Defaults 500 messages and 1 MiB. */
  maxRows?: number
  maxBytes?: number
}

export interface RelayStats {
  leader: boolean
  published: number
  rewound: number
  lost: number
  /** Times that Redis came back knowing nothing. */
  emptied: number
  /** Messages that became dead letters. */
  buried: number
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
  readonly #options: Required<Omit<RelayOptions, 'maxRows' | 'maxBytes'>> & Pick<RelayOptions, 'maxRows' | 'maxBytes'>
  /** Ended by new messages. */
  readonly #rest = new WakeUp()
  /** Not ended by them: whoever waits for Redis or for the lease is not helped by more work. */
  readonly #pause = new WakeUp()
  readonly #leadership: Leadership
  readonly #housekeeping: Housekeeping
  readonly #stats: RelayStats = { leader: false, published: 0, rewound: 0, lost: 0, emptied: 0, buried: 0, lastError: null }
  #session: RelaySession | null = null
  #failures = 0
  #checkedAt = Date.now()
  #loop: Promise<void> | null = null
  #stopped = false
  #unsubscribe: (() => void)[] = []

  constructor (options: RelayOptions) {
    this.#options = { emptyPolicy: 'replay', leaseMs: 5000, retentionMs: 900_000, idleMs: 1000, checkMs: 5000, ...options }
    this.#leadership = new Leadership(options.journal, this.#options.leaseMs)
    this.#housekeeping = new Housekeeping(this.#options)
  }

  get stats (): Readonly<RelayStats> { return this.#stats }

  start (): void {
    if (this.#loop !== null) return
    const { journal, transport } = this.#options
    this.#unsubscribe = [journal.onAppend(() => this.#rest.call()), transport.onAvailable(() => this.#pause.call())]
    this.#loop = this.#run()
  }

  /** Finishes the step in hand, within 250 ms, and hands the lease over, within another. Never rejects. */
  async stop (): Promise<void> {
    this.#stopped = true
    this.#unsubscribe.splice(0).forEach((unsubscribe) => unsubscribe())
    this.#rest.call()
    this.#pause.call()
    await within(STOP_BUDGET_MS, this.#loop)
    await within(STOP_BUDGET_MS, this.#resign())
  }

  async #run (): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#turn()
      } catch (err) {
        await this.#pause.wait(this.#failed(err as Error))
      }
    }
    // The lease that was on its way when stop() gave up waiting.
    await this.#resign()
  }

  /** One turn of the loop, with the rest after it. */
  async #turn (): Promise<void> {
    const { transport } = this.#options
    this.#session ??= await this.#lead()
    if (this.#session === null) return await this.#pause.wait(this.#leadership.pollMs)
    await this.#leadership.keep()
    if (!transport.available) return await this.#pause.wait(this.#restMs)
    const result = await this.#session.step()
    if (result === 'published' || result === 'idle') return await this.#succeeded(this.#session, result)
    if (result === 'retry' && ++this.#failures > QUICK_RETRIES) await this.#pause.wait(this.#retryDelay())
  }

  async #succeeded (session: RelaySession, result: StepResult): Promise<void> {
    this.#leadership.extended()
    this.#recovered()
    if (session.published !== null) this.#housekeeping.published(session.published)
    const unfinished = await this.#housekeeping.slice(session.lease)
    if (result === 'published' || unfinished) return
    await this.#housekeeping.settle()
    this.#recheck(session)
    await this.#rest.wait(this.#restMs)
  }

  /** Publishing proves where the queue stands; an idle relay has to ask. */
  #recheck (session: RelaySession): void {
    if (Date.now() - this.#checkedAt < this.#options.checkMs) return
    this.#checkedAt = Date.now()
    session.recheck()
  }

  get #restMs (): number {
    return Math.min(this.#options.idleMs, this.#leadership.renewMs)
  }

  async #lead (): Promise<RelaySession | null> {
    const { logger } = this.#options
    const lease = await this.#leadership.acquire()
    this.#stats.leader = lease !== null
    if (lease === null) return null
    logger.info({ term: lease }, 'relay leads')
    return new RelaySession({
      ...this.#options,
      lease,
      onReconciled: (outcome) => this.#reconciled(outcome),
      onPublished: (count) => { this.#stats.published += count },
      onBuried: (burial) => this.#buried(burial)
    })
  }

  async #resign (): Promise<void> {
    this.#session = null
    this.#stats.leader = false
    await this.#leadership.release().catch((err) => this.#options.logger.debug({ err }, 'lease not released'))
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
      this.#leadership.lost()
      this.#stats.leader = false
      logger.warn({ err }, 'relay lost its lease')
      return this.#leadership.pollMs
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

  #buried (burial: Burial): void {
    this.#stats.buried++
    this.#options.logger.error({ ...burial }, 'message rejected by the queue, it is a dead letter now')
  }
}

async function within (budgetMs: number, work: Promise<void> | null): Promise<void> {
  const timer = new WakeUp()
  await Promise.race([work, timer.wait(budgetMs)])
  timer.call()
}
