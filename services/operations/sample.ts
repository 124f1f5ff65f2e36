import type { HealthStatus } from '../health/snapshot.ts'
import type { BreakerState } from '../resilience/circuit-breaker.ts'
import type { OperationsSources } from './sources.ts'

/** Everything at one moment. Null: not known, or not in use. */
export interface Figures {
  /** Epoch ms. */
  at: number
  status: HealthStatus
  breaker: BreakerState | null
  pending_rows: number | null
  pending_bytes: number | null
  oldest_pending_age_ms: number | null
  /** Dead letters of the publish side. */
  journal_dead: number | null
  waiting: number | null
  processing: number | null
  delayed: number | null
  /** Dead letters of the consumer side. */
  queue_dead: number | null
  latency_p50_ms: number | null
  latency_p99_ms: number | null
}

/** What only grows; rates are differences of these. */
export interface Counters {
  published: number | null
  repaired: number | null
  /** Messages that came into the journal. */
  accepted: number | null
  /** Redis commands that failed. */
  failures: number | null
  /** Redis commands that the open breaker refused. */
  rejected: number | null
}

export interface Observation { figures: Figures, counters: Counters }

/** Asks nobody: the depths of the queue are those that its health check found. `accepted` is counted by {@link Arrivals}. */
export function observe (sources: OperationsSources, at: number, accepted: number | null): Observation {
  const health = sources.health()
  const redis = sources.redis?.stats() ?? null
  return {
    figures: {
      at,
      status: health.status,
      breaker: sources.redis?.breaker.state ?? null,
      ...journalFigures(sources),
      ...queueDepths(health.checks.queue),
      latency_p50_ms: hundredths(redis?.latencyMs?.p50),
      latency_p99_ms: hundredths(redis?.latencyMs?.p99)
    },
    counters: {
      ...relayCounters(sources),
      accepted,
      failures: redis === null ? null : Object.values(redis.failures).reduce((sum, count) => sum + count, 0),
      rejected: redis?.rejected ?? null
    }
  }
}

function journalFigures ({ journal }: OperationsSources) {
  const stats = journal?.() ?? null
  return {
    pending_rows: stats?.pendingRows ?? null,
    pending_bytes: stats?.pendingBytes ?? null,
    oldest_pending_age_ms: stats === null ? null : Math.round(stats.oldestPendingAgeMs),
    journal_dead: stats?.deadRows ?? null
  }
}

/** A look that failed tells nothing of now. */
function queueDepths (check: { status: string, details: Record<string, unknown> | null } | undefined) {
  const depths = check?.status === 'ok' ? check.details : null
  const depth = (place: string) => typeof depths?.[place] === 'number' ? depths[place] : null
  return { waiting: depth('waiting'), processing: depth('processing'), delayed: depth('delayed'), queue_dead: depth('dead') }
}

function relayCounters ({ relay }: OperationsSources): Pick<Counters, 'published' | 'repaired'> {
  const stats = relay?.() ?? null
  return { published: stats?.published ?? null, repaired: stats?.rewound ?? null }
}

function hundredths (ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms * 100) / 100
}
