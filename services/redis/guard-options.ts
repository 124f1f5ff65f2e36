import type { Redis, RedisOptions } from 'ioredis'
import type { RedisTarget } from '../config/redis/redis-target.ts'
import type { Logger } from '../observability/logger.ts'
import type { CircuitBreakerOptions, BreakerState } from '../resilience/circuit-breaker.ts'
import type { LastError } from './circuit.ts'
import type { TlsOptions } from './connection/client-options.ts'
import type { CredentialProvider } from '../credentials/provider.ts'

export interface GuardOptions {
  target: RedisTarget
  /** In logs and in Redis' list of clients. Default `breakwater`. */
  name?: string | undefined
  /** Deadline of every command. Default 500. */
  commandTimeoutMs?: number | undefined
  /** Deadline of every attempt to connect, TLS included. Default 1000. */
  connectTimeoutMs?: number | undefined
  tls?: TlsOptions | undefined
  /** Where user and password come from. Default: what the target says. */
  credentials?: CredentialProvider | undefined
  /** More of ioredis' options, for example `keyPrefix`. Those that docs/redis-client.md lists as forced are ignored. */
  redisOptions?: Partial<RedisOptions> | undefined
  breaker?: CircuitBreakerOptions | undefined
  /** Further attempts of a command that failed, within its deadline. Default 2; 0: none. */
  retries?: number | undefined
  /** What is repeated although it may have been executed: what changes nothing, or also what leaves the same. Default `read`. */
  retryAmbiguous?: 'read' | 'idempotent' | undefined
  logger?: Logger | undefined
  /** Monotonic time in ms. */
  clock?: (() => number) | undefined
  random?: (() => number) | undefined
}

export interface SpawnOptions {
  commandTimeoutMs?: number | undefined
  /** For calls that block on the server, even without a deadline: they end when another connection finds the line dead. Default false. */
  blocking?: boolean | undefined
}

export interface GuardState {
  readonly connection: Redis['status']
  readonly breaker: BreakerState
  /** Of the circuit that refuses writes alone: OOM, READONLY, MISCONF, NOREPLICAS. */
  readonly writes: BreakerState
  readonly healthy: boolean
  readonly closed: boolean
  readonly connectionEpoch: number
  readonly retryAfterMs: number
  readonly lastError: LastError | null
}

/** One primary of a cluster and the slots it serves. */
export interface ShardState {
  /** `host:port`, as the cluster announces it. */
  readonly node: string
  readonly slots: number
  readonly writes: BreakerState
  readonly connection: Redis['status']
  readonly breaker: BreakerState
  readonly lastError: LastError | null
}
