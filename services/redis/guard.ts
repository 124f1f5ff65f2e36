import { setTimeout as delay } from 'node:timers/promises'
import type { Cluster, Redis } from 'ioredis'
import { CredentialStore } from '../credentials/credential-store.ts'
import { silentLogger } from '../observability/logger.ts'
import type { CircuitBreaker } from '../resilience/circuit-breaker.ts'
import { Listeners } from '../resilience/listeners.ts'
import { RetryBudget } from '../resilience/retry-budget.ts'
import type { LastError } from './circuit.ts'
import { connectionSettings } from './connection/client-options.ts'
import { ClusterLine } from './cluster/cluster-line.ts'
import { RedisClosed } from './errors.ts'
import type { GuardOptions, GuardState, ShardState, SpawnOptions } from './guard-options.ts'
import { GuardLog } from './guard-log.ts'
import type { Line, LineOptions } from './line.ts'
import { SingleLine } from './single-line.ts'
import { Retries } from './retry/retries.ts'
import { Statistics } from './command/statistics.ts'
import type { GuardStatistics } from './command/statistics.ts'

export type { FailureKind } from './errors.ts'
export type { LastError } from './circuit.ts'
export type { GuardStatistics } from './command/statistics.ts'
export type { GuardOptions, GuardState, ShardState, SpawnOptions } from './guard-options.ts'

const QUIT_BUDGET_MS = 250

/** What a guard hands on to those that are spawned from it. */
interface Parent {
  readonly line: Line
  readonly credentials: CredentialStore | undefined
  readonly budget: RetryBudget
  readonly blocking: boolean
}

/**
 * A connection to Redis that answers in bounded time, whatever Redis does. `client` is an ioredis client; everything sent through it,
 * by whomever, passes the guard.
 */
export class RedisGuard {
  readonly #line: Line
  readonly #name: string
  readonly #options: GuardOptions
  readonly #statistics = new Statistics()
  readonly #readyListeners: Listeners<void>
  readonly #log: GuardLog
  readonly #spawned = new Set<RedisGuard>()
  readonly #root: boolean
  readonly #credentials: CredentialStore | undefined
  readonly #budget: RetryBudget
  readonly #retries: Retries
  #epoch = 0
  #closing: Promise<void> | null = null

  /** `parent` is for {@link RedisGuard.spawn}. */
  constructor (options: GuardOptions, parent?: Parent) {
    const { name = 'breakwater', commandTimeoutMs = 500, logger = silentLogger } = options
    this.#options = options
    this.#name = name
    this.#root = parent === undefined
    this.#credentials = parent === undefined ? openCredentials(options) : parent.credentials
    this.#log = new GuardLog(logger, name)
    this.#readyListeners = new Listeners(`A listener of the Redis guard "${name}"`)
    this.#budget = parent?.budget ?? new RetryBudget()
    const settings = connectionSettings(options, this.#credentials)
    const { retries = 2, retryAmbiguous: ambiguous = 'read' } = options
    const { clock, random } = settings
    this.#retries = new Retries({ retries, ambiguous, budget: this.#budget, statistics: this.#statistics, logger, clock, random })
    const line: LineOptions = {
      guard: options,
      settings,
      commandTimeoutMs,
      statistics: this.#statistics,
      retries: this.#retries,
      log: this.#log,
      blocking: parent?.blocking ?? false,
      listener: {
        connected: (again) => this.#connected(again),
        admitting: () => this.#tellReady(),
        moved: () => { this.#epoch++ }
      }
    }
    this.#line = parent?.line.spawn(line) ?? (options.target.topology === 'cluster' ? new ClusterLine(line) : new SingleLine(line))
  }

  /** The guarded client. In a cluster it is a `Cluster`, which has the same commands; its type is that of `fastify.redis`. */
  get client (): Redis { return this.#line.client }

  /** The same client with the type it has, or null where it talks to one server. */
  get cluster (): Cluster | null { return this.client.isCluster ? this.client as unknown as Cluster : null }

  /** In a cluster: of all shards together; each has its own below it. */
  get breaker (): CircuitBreaker { return this.#line.breaker }

  get state (): GuardState {
    const { breaker, lastError, connection, writes } = this.#line
    return {
      connection,
      breaker: breaker.state,
      writes,
      healthy: this.isHealthy(),
      closed: this.#closing !== null,
      connectionEpoch: this.#epoch,
      retryAfterMs: breaker.retryAfterMs,
      lastError
    }
  }

  /** Whether any command would be sent now, reads and writes; in a cluster, to one shard at least. No I/O. */
  isHealthy (): boolean {
    return this.#closing === null && this.#line.usable
  }

  /** The primaries of a cluster, each with its connection and circuit; empty elsewhere. */
  shards (): ShardState[] {
    return this.#line.shards()
  }

  /** Grows by one with each new connection, and when slots move: what was replied before, or is forgotten now, is void. */
  get connectionEpoch (): number { return this.#epoch }

  /** Without secrets and addresses; null before the first. */
  get lastError (): LastError | null { return this.#line.lastError }

  /** Calls back whenever the guard becomes healthy: connected, and both circuits closed. In a cluster, for each shard. Returns the way out. */
  onReady (listener: () => void): () => void {
    return this.#readyListeners.add(listener)
  }

  /**
   * Calls back when a connection fails for a reason that only a human can change: a certificate, a password that is stated and not
   * fetched… Returns the way out.
   */
  onHopeless (listener: () => void): () => void {
    return this.#line.onFailure(({ kind }) => {
      if (kind === 'configuration' || (kind === 'auth' && this.#credentials === undefined)) listener()
    })
  }

  stats (): GuardStatistics {
    return this.#statistics.snapshot()
  }

  /** Another connection to the same target, behind the same breaker, with deadlines of its own. Closed with this guard at the latest. */
  spawn (role: string, { commandTimeoutMs = this.#options.commandTimeoutMs, blocking = false }: SpawnOptions = {}): RedisGuard {
    if (this.#closing !== null) throw new RedisClosed()
    const parent: Parent = { line: this.#line, credentials: this.#credentials, budget: this.#budget, blocking }
    const guard = new RedisGuard({ ...this.#options, name: `${this.#name}-${role}`, commandTimeoutMs }, parent)
    this.#spawned.add(guard)
    return guard
  }

  /** Asks Redis on a connection of its own, whatever the breaker says; in a cluster every shard. Rejects within bounded time, with the kind of the failure. */
  async probe (): Promise<{ latencyMs: number, role: string }> {
    return await this.#line.probe()
  }

  /** Replaces the connection, or ends the pause before the next attempt. */
  reconnect (): void {
    if (this.#closing === null) this.#line.reconnect()
  }

  /** Refuses every command until every holder has disposed of what this returns. */
  forceOpen (): Disposable { return this.breaker.isolate() }

  /** Lets commands through at once, whatever the breaker knows. */
  forceClose (): void { this.#line.forceClose() }

  /** As {@link forceClose}, and the breaker forgets its past. */
  reset (): void { this.#line.reset() }

  /**
   * Says goodbye if Redis listens, then cuts the line; what is still pending is rejected. Ends within the budget, never rejects, and
   * can be called again.
   */
  close (budgetMs = 500): Promise<void> {
    this.#closing ??= this.#close(Math.min(budgetMs, 500))
    return this.#closing
  }

  async #close (budgetMs: number): Promise<void> {
    this.#line.refuse()
    this.#retries.close()
    this.#line.detach()
    if (this.#root) {
      this.#line.stopShared()
      this.#credentials?.close()
    }
    const spawned = [...this.#spawned].map((guard) => guard.close(budgetMs))
    const abort = new AbortController()
    const timer = delay(Math.min(QUIT_BUDGET_MS, budgetMs / 2), null, { signal: abort.signal }).catch(() => {})
    await Promise.race([this.#line.quit().catch(() => {}), timer])
    abort.abort()
    await Promise.all([this.#line.shutDown(), ...spawned])
    if (this.#root) await this.#line.closeShared()
    this.#log.closed()
  }

  #connected (again: boolean): void {
    this.#epoch++
    if (again) this.#statistics.reconnects++
  }

  #tellReady (): void {
    if (this.isHealthy()) this.#readyListeners.tell()
  }
}

/** What the target holds itself needs no keeping. */
function openCredentials ({ credentials, target, logger, random }: GuardOptions): CredentialStore | undefined {
  return credentials === undefined ? CredentialStore.of(target, { logger, random }) : new CredentialStore({ provider: credentials, logger, random })
}
