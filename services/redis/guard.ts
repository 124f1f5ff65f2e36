import { setTimeout as delay } from 'node:timers/promises'
import type { Redis, RedisOptions } from 'ioredis'
import type { RedisTarget } from '../config/redis-target.ts'
import { silentLogger } from '../observability/logger.ts'
import type { Logger } from '../observability/logger.ts'
import type { CircuitBreaker, CircuitBreakerOptions, BreakerState } from '../resilience/circuit-breaker.ts'
import { Listeners } from '../resilience/listeners.ts'
import type { ConnectionSettings } from './bounded-client.ts'
import { RedisCircuit } from './circuit.ts'
import type { LastError } from './circuit.ts'
import { clientOptions } from './client-options.ts'
import type { TlsOptions } from './client-options.ts'
import { RedisClosed, RedisNotConnected } from './errors.ts'
import { GuardLog } from './guard-log.ts'
import { GuardedRedis } from './guarded-client.ts'
import { Statistics } from './statistics.ts'
import type { GuardStatistics } from './statistics.ts'
import { Traffic } from './traffic.ts'

export type { FailureKind } from './errors.ts'
export type { LastError } from './circuit.ts'
export type { GuardStatistics } from './statistics.ts'

export interface GuardOptions {
  target: RedisTarget
  /** In logs and in Redis' list of clients. Default `breakwater`. */
  name?: string | undefined
  /** Deadline of every command. Default 500. */
  commandTimeoutMs?: number | undefined
  /** Deadline of every attempt to connect, TLS included. Default 1000. */
  connectTimeoutMs?: number | undefined
  tls?: TlsOptions | undefined
  /** More of ioredis' options, for example `keyPrefix`. Those that docs/redis-client.md lists as forced are ignored. */
  redisOptions?: Partial<RedisOptions> | undefined
  breaker?: CircuitBreakerOptions | undefined
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
  readonly healthy: boolean
  readonly closed: boolean
  readonly connectionEpoch: number
  readonly retryAfterMs: number
  readonly lastError: LastError | null
}

const QUIT_BUDGET_MS = 250

/**
 * A connection to Redis that answers in bounded time, whatever Redis does. `client` is an ioredis client; everything sent through it,
 * by whomever, passes the guard.
 */
export class RedisGuard {
  readonly client: Redis
  readonly #client: GuardedRedis
  readonly #name: string
  readonly #options: GuardOptions
  readonly #circuit: RedisCircuit
  readonly #statistics = new Statistics()
  readonly #readyListeners: Listeners<void>
  readonly #log: GuardLog
  readonly #spawned = new Set<RedisGuard>()
  readonly #root: boolean
  readonly #detach: () => void
  #epoch = 0
  #closing: Promise<void> | null = null

  /** `circuit` and `blocking` are for {@link RedisGuard.spawn}. */
  constructor (options: GuardOptions, circuit?: RedisCircuit, blocking = false) {
    const { name = 'breakwater', commandTimeoutMs = 500, connectTimeoutMs = 1000, logger = silentLogger } = options
    const { clock = () => performance.now(), random = Math.random, target } = options
    this.#options = options
    this.#name = name
    this.#root = circuit === undefined
    this.#log = new GuardLog(logger, name)
    this.#readyListeners = new Listeners(`A listener of the Redis guard "${name}"`)
    const settings: ConnectionSettings = {
      options: { ...clientOptions(target, name, options.tls ?? {}), ...options.redisOptions },
      password: () => target.password?.reveal() ?? null,
      connectTimeoutMs,
      handshakeTimeoutMs: Math.min(commandTimeoutMs, connectTimeoutMs),
      clock,
      random,
      reconnect: true
    }
    this.#circuit = circuit ?? this.#makeCircuit(settings, commandTimeoutMs)
    const traffic = new Traffic({ admission: this.#circuit, statistics: this.#statistics, commandTimeoutMs, clock })
    const detach = [
      this.#circuit.onAdmitting(() => this.#tellReady()),
      this.breaker.onTransition(({ to }) => { if (to === 'open') this.#reconsider(blocking) })
    ]
    this.#detach = () => { for (const off of detach) off() }
    this.#client = new GuardedRedis({
      settings,
      traffic,
      refusal: () => this.#refusal(),
      onDuplicate: (client) => this.#circuit.adopt(client),
      listener: {
        ready: () => this.#connected(),
        lost: (wasReady, explained) => this.#lost(wasReady, explained),
        failed: (failure) => { if (this.#closing === null) this.#circuit.connectionFailed(failure) }
      }
    })
    this.client = this.#client
  }

  get breaker (): CircuitBreaker { return this.#circuit.breaker }

  get state (): GuardState {
    const { breaker, lastError } = this.#circuit
    return {
      connection: this.#client.status,
      breaker: breaker.state,
      healthy: this.isHealthy(),
      closed: this.#closing !== null,
      connectionEpoch: this.#epoch,
      retryAfterMs: breaker.retryAfterMs,
      lastError
    }
  }

  /** Whether a command would be sent now. O(1), no I/O. */
  isHealthy (): boolean {
    return this.#client.status === 'ready' && this.#circuit.admitting && this.#closing === null
  }

  /** Grows by one with each new connection: what an earlier one replied or forgot is void. */
  get connectionEpoch (): number { return this.#epoch }

  /** Without secrets and addresses; null before the first. */
  get lastError (): LastError | null { return this.#circuit.lastError }

  /** Calls back whenever the guard becomes healthy: connected, and the circuit closed. Returns the way out. */
  onReady (listener: () => void): () => void {
    return this.#readyListeners.add(listener)
  }

  stats (): GuardStatistics {
    return this.#statistics.snapshot()
  }

  /** Another connection to the same target, behind the same breaker, with deadlines of its own. Closed with this guard at the latest. */
  spawn (role: string, { commandTimeoutMs = this.#options.commandTimeoutMs, blocking }: SpawnOptions = {}): RedisGuard {
    if (this.#closing !== null) throw new RedisClosed()
    const guard = new RedisGuard({ ...this.#options, name: `${this.#name}-${role}`, commandTimeoutMs }, this.#circuit, blocking)
    this.#spawned.add(guard)
    return guard
  }

  /** Asks Redis on a connection of its own, whatever the breaker says. Rejects within bounded time, with the kind of the failure. */
  async probe (): Promise<{ latencyMs: number, role: string }> {
    const latencyMs = await this.#circuit.health.ping()
    return { latencyMs, role: await this.#circuit.health.role() }
  }

  /** Replaces the connection, or ends the pause before the next attempt. */
  reconnect (): void {
    if (this.#closing === null) this.#client.reconnect()
  }

  /** Refuses every command until every holder has disposed of what this returns. */
  forceOpen (): Disposable { return this.breaker.isolate() }

  /** Lets commands through at once, whatever the breaker knows. */
  forceClose (): void { this.breaker.close() }

  /** As {@link forceClose}, and the breaker forgets its past. */
  reset (): void { this.breaker.reset() }

  /**
   * Says goodbye if Redis listens, then cuts the line; what is still pending is rejected. Ends within the budget, never rejects, and
   * can be called again.
   */
  close (budgetMs = 500): Promise<void> {
    this.#closing ??= this.#close(Math.min(budgetMs, 500))
    return this.#closing
  }

  async #close (budgetMs: number): Promise<void> {
    this.#client.refuse()
    this.#detach()
    if (this.#root) this.#circuit.stop()
    const spawned = [...this.#spawned].map((guard) => guard.close(budgetMs))
    if (this.#client.status === 'ready') {
      const abort = new AbortController()
      const timer = delay(Math.min(QUIT_BUDGET_MS, budgetMs / 2), null, { signal: abort.signal }).catch(() => {})
      await Promise.race([this.#client.quit().catch(() => {}), timer])
      abort.abort()
    }
    await Promise.all([this.#client.shutDown(), ...spawned])
    if (this.#root) await this.#circuit.close()
    this.#log.closed()
  }

  #makeCircuit (settings: ConnectionSettings, commandTimeoutMs: number): RedisCircuit {
    const health = { ...settings, options: { ...settings.options, connectionName: `${this.#name}-health` } }
    const circuit = new RedisCircuit({ breaker: this.#options.breaker ?? {}, health, commandTimeoutMs })
    circuit.breaker.onTransition((transition) => this.#log.transition(transition, circuit.lastError))
    return circuit
  }

  #connected (): void {
    this.#epoch++
    this.#statistics.connections++
    this.#log.connected()
    if (this.#circuit.admitting) this.#tellReady()
    else this.#circuit.connected()
  }

  #lost (wasReady: boolean, explained: boolean): void {
    if (this.#closing !== null) return
    this.#circuit.connectionLost(explained)
    this.#log.disconnected(wasReady, this.#circuit.lastError)
  }

  /** What opened the circuit may be a fact about this connection too. */
  #reconsider (blocking: boolean): void {
    const { code } = this.lastError ?? {}
    // The primary was demoted: its name may lead to another server by now. Or: a blocked call waits on a line that is dead.
    if (code === 'READONLY' || (blocking && code === 'SILENT')) this.#client.reconnect()
  }

  #tellReady (): void {
    if (this.isHealthy()) this.#readyListeners.tell()
  }

  #refusal (): RedisNotConnected {
    const { lastError } = this.#circuit
    const { status } = this.#client
    const standing = status === 'ready' ? 'closing' : status
    const reason = lastError === null ? standing : `${standing}; last error: ${lastError.kind}, ${lastError.code}`
    return new RedisNotConnected(reason, lastError?.kind ?? 'transport', this.#client.backoff.delayMs)
  }
}
