import type { Redis } from 'ioredis'
import type { BreakerState, CircuitBreaker } from '../resilience/circuit-breaker.ts'
import type { LastError } from './circuit.ts'
import type { ConnectionSettings } from './connection/bounded-client.ts'
import type { GuardLog } from './guard-log.ts'
import type { GuardOptions, ShardState } from './guard-options.ts'
import type { Retries } from './retry/retries.ts'
import type { Statistics } from './command/statistics.ts'

/** Told at once. */
export interface LineListener {
  /** A connection is there, with a server that commands may be sent to. */
  connected (again: boolean): void
  /** Commands are let through that were refused before. */
  admitting (): void
  /** Replies from before are void for another reason: other servers answer for some of the keys. */
  moved (): void
}

export interface LineOptions {
  guard: GuardOptions
  settings: ConnectionSettings
  commandTimeoutMs: number
  statistics: Statistics
  retries: Retries
  log: GuardLog
  /** It waits for calls without a deadline. */
  blocking: boolean
  listener: LineListener
}

/** What a guard guards: a client for one server or for many, and the circuits that it shares with those that were spawned from it. */
export interface Line {
  readonly client: Redis
  readonly breaker: CircuitBreaker
  readonly lastError: LastError | null
  readonly connection: Redis['status']
  /** Of the circuit of writes; in a cluster of the first shard that takes them, else of any. */
  readonly writes: BreakerState
  /** A command would be sent now: in a cluster, to one shard at least. */
  readonly usable: boolean
  /** Of a cluster. */
  shards (): ShardState[]
  /** Asks on connections of its own. Rejects within bounded time, with the kind of the failure. */
  probe (): Promise<{ latencyMs: number, role: string }>
  /** Told of everything that goes wrong. Returns the way out. */
  onFailure (listener: (error: LastError) => void): () => void
  reconnect (): void
  forceClose (): void
  reset (): void
  /** From here on every command is refused. */
  refuse (): void
  /** Says goodbye to whoever listens. */
  quit (): Promise<unknown>
  /** Cuts the line; resolves when everything that was pending is rejected. */
  shutDown (): Promise<void>
  /** Another client behind the same circuits. */
  spawn (options: LineOptions): Line
  /** No more events. */
  detach (): void
  /** What the lines share ends with the first of them: at once, then with all that belongs to it. */
  stopShared (): void
  closeShared (): Promise<void>
}
