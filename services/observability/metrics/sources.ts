/** What the metrics are read from: figures that the services keep anyway. Every call is synchronous and free of I/O. */
export interface MetricSources {
  redis: Record<string, RedisSource>
  journal: (() => JournalFigures) | null
  relay: (() => RelayFigures | null) | null
  /** Null while nobody knows: before the first look, and during an outage. */
  queue: (() => QueueFigures | null) | null
  health: (() => { status: string, checks: Record<string, { status: string }> }) | null
}

export interface RedisSource {
  state (): { healthy: boolean, breaker: string, writes: string }
  figures (): {
    commands: number
    failures: Readonly<Record<string, number>>
    timeouts: number
    rejected: number
    retries: number
    reconnects: number
    latencyMs: { p50: number, p99: number } | null
  }
  /** Times that the breaker entered each state. */
  transitions (): Readonly<Record<string, number>>
}

export interface JournalFigures {
  pendingRows: number
  pendingBytes: number
  retainedRows: number
  oldestPendingAgeMs: number
  deadRows: number
  pressure: string
}

export interface RelayFigures {
  leader: boolean
  published: number
  rewound: number
  lost: number
  emptied: number
  buried?: number
  lastError: object | null
}

/** Messages in each of the queue's places. */
export interface QueueFigures { waiting: number, processing: number, delayed: number, dead: number }
