import { healthReport } from '../health/report.ts'
import type { HealthReport } from '../health/report.ts'
import type { ShownConfiguration } from './configuration.ts'
import type { BreakerChange, Columns, History, Sample } from './history.ts'
import type { OperationsSources, RelayFigures } from './sources.ts'

/** What changes from moment to moment. */
export interface LiveState {
  /** By the clock of the service, so that readers need not trust their own. Epoch ms. */
  now: number
  overall: { status: string, since: number, ready: boolean, reason: string | null }
  checks: HealthReport['checks']
  breaker: { state: string, retry_after_ms: number, last_error: { kind: string, code: string } | null, changes: readonly BreakerChange[] } | null
  journal: { pressure: string } | null
  relay: { leader: boolean, last_error: { code: string, kind: string } | null } | null
}

/** Everything that the page shows. */
export interface OperationsState extends LiveState {
  queue: string
  interval_ms: number
  window_ms: number
  configuration: ShownConfiguration
  history: Columns
}

/** One step forward from a state. */
export interface Update extends LiveState { sample: Sample }

export interface DeskOptions {
  sources: OperationsSources
  history: History
  configuration: ShownConfiguration
  queueName: string
  /** Epoch ms. Default `Date.now`. */
  now?: (() => number) | undefined
}

/** Writes the documents of the page. Synchronous, without I/O. */
export class OperationsDesk {
  readonly #options: DeskOptions
  readonly #now: () => number

  constructor (options: DeskOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  state (): OperationsState {
    const { history, configuration, queueName } = this.#options
    const { intervalMs, windowMs } = history
    return { ...this.#live(), queue: queueName, interval_ms: intervalMs, window_ms: windowMs, configuration, history: history.columns() }
  }

  update (sample: Sample): Update {
    return { ...this.#live(), sample }
  }

  #live (): LiveState {
    const { sources, history } = this.#options
    const { status, ready, reason, checks } = healthReport(sources.health())
    const journal = sources.journal?.() ?? null
    return {
      now: this.#now(),
      overall: { status, since: history.since(sources.health().status), ready, reason },
      checks,
      breaker: this.#breaker(),
      journal: journal === null ? null : { pressure: journal.pressure },
      relay: showRelay(sources.relay?.() ?? null)
    }
  }

  #breaker (): LiveState['breaker'] {
    const { sources: { redis }, history } = this.#options
    if (redis === null) return null
    const { breaker: { state, retryAfterMs }, lastError } = redis
    const error = lastError === null ? null : { kind: lastError.kind, code: lastError.code }
    return { state, retry_after_ms: Math.round(retryAfterMs), last_error: error, changes: history.changes }
  }
}

function showRelay (relay: RelayFigures | null): LiveState['relay'] {
  if (relay === null) return null
  const { leader, lastError } = relay
  return { leader, last_error: lastError === null ? null : { code: lastError.code, kind: lastError.kind } }
}
