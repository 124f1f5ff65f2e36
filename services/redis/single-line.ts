import type { Redis, RedisOptions } from 'ioredis'
import type { ConnectionSettings } from './connection/bounded-client.ts'
import { RedisCircuit } from './circuit.ts'
import type { LastError } from './circuit.ts'
import { RedisNotConnected } from './errors.ts'
import { GuardedRedis } from './command/guarded-client.ts'
import { HealthConnection } from './connection/health-connection.ts'
import type { Line, LineOptions } from './line.ts'
import type { NatMap } from './cluster/slot-view.ts'
import { PrimaryResolver } from './sentinel/primary-resolver.ts'
import { sentinelConnector } from './sentinel/sentinel-connector.ts'
import { Traffic } from './command/traffic.ts'

/** What the lines to one target have in common. */
interface Shared {
  readonly circuit: RedisCircuit<HealthConnection>
  /** Where Sentinel says where the primary is. */
  readonly resolver: PrimaryResolver | null
}

/** One server, by its address or found through Sentinel. */
export class SingleLine implements Line {
  readonly #client: GuardedRedis
  readonly #circuit: RedisCircuit<HealthConnection>
  readonly #shared: Shared
  readonly #options: LineOptions
  readonly detach: () => void
  #connections = 0
  #closed = false

  constructor (options: LineOptions, shared: Shared = share(options)) {
    this.#options = options
    this.#shared = shared
    this.#circuit = shared.circuit
    const { commandTimeoutMs, statistics, listener, log } = options
    const settings = throughSentinel(options.settings, shared.resolver)
    const detach = [
      followPrimary(shared.resolver, () => this.#client),
      this.#circuit.onAdmitting(() => listener.admitting()),
      this.breaker.onTransition(({ to }) => { if (to === 'open') this.#reconsider() }),
      this.#circuit.writes.breaker.onTransition(({ to }) => { if (to === 'open') this.#reconsider() })
    ]
    this.detach = () => { for (const off of detach) off() }
    this.#client = new GuardedRedis({
      settings,
      traffic: new Traffic({ admission: this.#circuit, statistics, commandTimeoutMs, retries: options.retries, clock: settings.clock }),
      refusal: () => this.#refusal(),
      onDuplicate: (client) => {
        this.#circuit.adopt(client)
        client.once('end', followPrimary(shared.resolver, () => client))
      },
      listener: {
        ready: () => this.#connected(),
        lost: (wasReady, explained, attemptedAt) => {
          if (this.#closed) return
          this.#circuit.connectionLost(explained, attemptedAt)
          log.disconnected(wasReady, this.lastError)
        },
        failed: (failure, _error, attemptedAt) => { if (!this.#closed) this.#circuit.connectionFailed(failure, attemptedAt) }
      }
    })
  }

  get client (): Redis { return this.#client }

  get breaker () { return this.#circuit.breaker }

  get lastError () { return this.#circuit.lastError }

  get connection (): Redis['status'] { return this.#client.status }

  get writes () { return this.#circuit.writes.state }

  get usable (): boolean { return this.#client.status === 'ready' && this.#circuit.usable }

  shards (): [] { return [] }

  async probe (): Promise<{ latencyMs: number, role: string }> {
    const { health } = this.#circuit
    const latencyMs = await health.ping()
    return { latencyMs, role: await health.role() }
  }

  onFailure (listener: (error: LastError) => void): () => void { return this.#circuit.onFailure(listener) }

  reconnect (): void { this.#client.reconnect() }

  forceClose (): void { this.#circuit.forceClose() }

  reset (): void { this.#circuit.reset() }

  refuse (): void {
    this.#closed = true
    this.#client.refuse()
  }

  async quit (): Promise<void> {
    if (this.#client.status === 'ready') await this.#client.quit()
  }

  shutDown (): Promise<void> { return this.#client.shutDown() }

  spawn (options: LineOptions): Line { return new SingleLine(options, this.#shared) }

  stopShared (): void { this.#circuit.stop() }

  async closeShared (): Promise<void> {
    await Promise.all([this.#circuit.close(), this.#shared.resolver?.close()])
  }

  #connected (): void {
    this.#options.log.connected()
    this.#options.listener.connected(this.#connections++ > 0)
    if (this.#circuit.usable) this.#options.listener.admitting()
    else this.#circuit.connected()
  }

  /** What opened the circuit may be a fact about this connection too. */
  #reconsider (): void {
    const { code } = this.lastError ?? {}
    if (code === 'SILENT') this.#circuit.suspectDuplicates()
    // The primary was demoted: its name may lead to another server by now. Or: a blocked call waits on a line that is dead.
    if (code === 'READONLY' || (this.#options.blocking && code === 'SILENT')) this.#client.reconnect()
  }

  #refusal (): RedisNotConnected {
    const { lastError } = this.#circuit
    const { status } = this.#client
    const standing = status === 'ready' ? 'closing' : status
    const reason = lastError === null ? standing : `${standing}; last error: ${lastError.kind}, ${lastError.code}`
    return new RedisNotConnected(reason, lastError?.kind ?? 'transport', this.#client.backoff.delayMs)
  }
}

function share (options: LineOptions): Shared {
  const { guard: { target: { sentinel } }, settings, commandTimeoutMs } = options
  const resolver = sentinel === undefined ? null : new PrimaryResolver({ sentinel, settings: sentinelSettings(settings), commandTimeoutMs, natMap: settings.options.natMap as NatMap | undefined })
  resolver?.watch()
  return { circuit: makeCircuit({ ...options, settings: throughSentinel(settings, resolver) }), resolver }
}

/** Who only listens would not notice that the old primary is frozen, or cut off with it. Returns the way out. */
function followPrimary (resolver: PrimaryResolver | null, client: () => GuardedRedis): () => void {
  return resolver?.onMoved(() => { if (client().status === 'ready') client().reconnect() }) ?? (() => {})
}

function throughSentinel (settings: ConnectionSettings, resolver: PrimaryResolver | null): ConnectionSettings {
  if (resolver === null) return settings
  return { ...settings, options: { ...settings.options, Connector: sentinelConnector(resolver, settings.connectTimeoutMs) } }
}

function sentinelSettings (settings: ConnectionSettings): ConnectionSettings {
  const { tls, family, connectionName } = settings.options
  return { ...settings, options: { tls, family, connectionName: `${connectionName}-sentinel` } as RedisOptions }
}

function makeCircuit ({ guard, settings, commandTimeoutMs, log }: LineOptions): RedisCircuit<HealthConnection> {
  const health = { ...settings, options: { ...settings.options, connectionName: `${settings.options.connectionName}-health` } }
  const circuit = new RedisCircuit({
    breaker: guard.breaker ?? {},
    health: (onFailure) => new HealthConnection(health, commandTimeoutMs, onFailure),
    commandTimeoutMs,
    random: settings.random
  })
  circuit.breaker.onTransition((transition) => log.transition(transition, circuit.lastError))
  circuit.writes.breaker.onTransition((transition) => log.writesTransition(transition, circuit.lastError))
  return circuit
}
