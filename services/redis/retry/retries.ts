import type { Logger } from '../../observability/logger.ts'
import { fullJitter } from '../../resilience/backoff.ts'
import type { RetryBudget } from '../../resilience/retry-budget.ts'
import type { Classification } from '../classify.ts'
import type { GuardedRedis } from '../command/guarded-client.ts'
import type { PendingCommand } from '../command/pending-command.ts'
import type { Statistics } from '../command/statistics.ts'
import { categoryOf } from './category.ts'

export interface RetriesOptions {
  /** Further attempts at most; 0: none. */
  retries: number
  /** What is repeated although it may have been executed. */
  ambiguous: 'read' | 'idempotent'
  /** Shared by all that talk to the same target. */
  budget: RetryBudget
  statistics: Statistics
  logger: Logger
  clock: () => number
  random: () => number
}

interface Parked {
  readonly pending: PendingCommand
  readonly client: GuardedRedis
  readonly error: Error
  dueAt: number
}

const BASE_MS = 25
const CAP_MS = 200
/** How often to look whether commands are let through again, while some wait for that. */
const LOOK_MS = 10

/**
 * Commands that have failed and are sent again: within their one deadline, after a pause with full jitter, never while the circuit refuses, and as
 * long as what succeeds pays for it. Whoever is not sent again in time gets the error that he would have got at first.
 */
export class Retries {
  readonly #options: RetriesOptions
  readonly #parked = new Set<Parked>()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor (options: RetriesOptions) {
    this.#options = options
  }

  /** At its first attempt. */
  succeeded (): void {
    this.#options.budget.succeed()
  }

  /** Whether it takes the command over, which then stays unsettled. */
  take (pending: PendingCommand, failure: Classification, error: Error, client: GuardedRedis): boolean {
    const { retries, budget, statistics, logger, clock, random } = this.#options
    if (this.#closed || pending.attempts >= retries || !this.#mayRepeat(pending, failure)) return false
    const delayMs = fullJitter(pending.attempts, BASE_MS, CAP_MS, random)
    const now = clock()
    if (now + delayMs >= pending.dueAt) return false
    if (!budget.spend()) {
      statistics.retriesRefused++
      return false
    }
    pending.park(error)
    statistics.retries++
    logger.debug({ command: pending.command.name, attempt: pending.attempts, reason: failure.reason, delayMs: Math.round(delayMs) }, 'a Redis command is tried again')
    this.#parked.add({ pending, client, error, dueAt: now + delayMs })
    this.#arm(delayMs)
    return true
  }

  /** Whoever waits hears what has gone wrong before. */
  close (): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const { pending } of this.#parked) pending.giveUp()
    this.#parked.clear()
  }

  /** Only what was sent alone: the results of a pipeline belong together. */
  #mayRepeat ({ command, sent, blocking, inTransaction, timeoutMs }: PendingCommand, { kind, notApplied, ambiguous }: Classification): boolean {
    if (!sent || blocking || inTransaction || command.inTransaction || timeoutMs === 0 || isPipelined(command)) return false
    const category = categoryOf(command)
    if (notApplied) return kind === 'overload' && category !== 'never'
    if (!ambiguous || kind !== 'transport') return false
    return category === 'read' || (category === 'idempotent' && this.#options.ambiguous === 'idempotent')
  }

  #arm (delayMs: number): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#look()
    }, Math.min(delayMs, LOOK_MS)).unref()
  }

  #look (): void {
    const now = this.#options.clock()
    for (const parked of this.#parked) {
      const { pending, client } = parked
      if (pending.settled) this.#parked.delete(parked)
      else if (parked.dueAt <= now && client.again(pending)) this.#parked.delete(parked)
    }
    if (this.#parked.size > 0) this.#arm(LOOK_MS)
  }
}

function isPipelined (command: object): boolean {
  return (command as { pipelineIndex?: number }).pipelineIndex !== undefined
}
