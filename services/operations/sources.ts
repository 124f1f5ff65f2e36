import type { HealthSnapshot } from '../health/snapshot.ts'
import type { BreakerState, Transition, TransitionListener } from '../resilience/circuit-breaker.ts'

/** Where the page's figures come from: what the services know anyway. Every call is synchronous and free of I/O. */
export interface OperationsSources {
  health: () => HealthSnapshot
  journal: (() => JournalFigures) | null
  /** Null answers: nothing is relayed. */
  relay: (() => RelayFigures | null) | null
  /** Null: Redis is disabled. */
  redis: RedisSource | null
}

export interface JournalFigures {
  pendingRows: number
  pendingBytes: number
  oldestPendingAgeMs: number
  deadRows: number
  pressure: string
}

/** Counters of this process. */
export interface RelayFigures {
  leader: boolean
  published: number
  rewound: number
  buried: number
  lastError: { code: string, kind: string } | null
}

export interface RedisSource {
  readonly breaker: {
    readonly state: BreakerState
    readonly retryAfterMs: number
    readonly history: readonly Transition[]
    onTransition (listener: TransitionListener): () => void
  }
  readonly lastError: { kind: string, code: string } | null
  stats (): { failures: Readonly<Record<string, number>>, rejected: number, latencyMs: { p50: number, p99: number } | null }
}
