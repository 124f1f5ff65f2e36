import type { FailureKind } from '../errors.ts'

const SAMPLES = 512

export interface GuardStatistics {
  /** Commands that were let through. */
  readonly commands: number
  readonly failures: Readonly<Record<FailureKind, number>>
  readonly timeouts: number
  /** Timeouts for which our own event loop is to blame; no vote for the breaker. */
  readonly localTimeouts: number
  /** Commands refused without touching a socket. */
  readonly rejected: number
  /** Attempts after the first, of commands that failed; and those that the budget did not pay for. */
  readonly retries: number
  readonly retriesRefused: number
  /** Connections that replaced an earlier one. */
  readonly reconnects: number
  /** Of the last 512 answered commands; null before the first. */
  readonly latencyMs: { readonly p50: number, readonly p99: number } | null
}

/** Counters of one connection; recording allocates nothing. */
export class Statistics {
  commands = 0
  timeouts = 0
  localTimeouts = 0
  rejected = 0
  retries = 0
  retriesRefused = 0
  /** Connections that replaced an earlier one. */
  reconnects = 0
  readonly #failures: Record<FailureKind, number> = { transport: 0, timeout: 0, overload: 0, auth: 0, configuration: 0, caller: 0 }
  readonly #latencies = new Float64Array(SAMPLES)
  #answered = 0

  answered (latencyMs: number): void {
    this.#latencies[this.#answered++ % SAMPLES] = latencyMs
  }

  failed (kind: FailureKind): void {
    this.#failures[kind]++
  }

  /** A failure that was not the last word: the command was sent again. */
  forgive (kind: FailureKind): void {
    this.#failures[kind]--
  }

  snapshot (): GuardStatistics {
    return {
      commands: this.commands,
      failures: { ...this.#failures },
      timeouts: this.timeouts,
      localTimeouts: this.localTimeouts,
      rejected: this.rejected,
      retries: this.retries,
      retriesRefused: this.retriesRefused,
      reconnects: this.reconnects,
      latencyMs: this.#percentiles()
    }
  }

  #percentiles (): GuardStatistics['latencyMs'] {
    const count = Math.min(this.#answered, SAMPLES)
    if (count === 0) return null
    const sorted = this.#latencies.slice(0, count).sort()
    const at = (share: number) => sorted[Math.min(count - 1, Math.floor(count * share))]!
    return { p50: at(0.5), p99: at(0.99) }
  }
}
