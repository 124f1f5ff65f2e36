import type { CircuitBreakerOptions, Transition } from '../../resilience/circuit-breaker.ts'
import { Listeners } from '../../resilience/listeners.ts'
import type { ConnectionSettings } from '../connection/bounded-client.ts'
import { RedisCircuit } from '../circuit.ts'
import type { Classification } from '../classify.ts'
import { RedisConnectionFailed } from '../errors.ts'
import { HealthConnection } from '../connection/health-connection.ts'
import type { Health } from '../connection/health-connection.ts'
import { addressOf, nodeKey } from './slot-view.ts'
import type { NatMap, NodeAddress, SlotView } from './slot-view.ts'
import { ClusterTopology } from './topology.ts'
import type { Informant } from './topology.ts'

export type NodeCircuit = RedisCircuit<HealthConnection>

export interface ClusterCircuitOptions {
  seeds: readonly NodeAddress[]
  breaker: CircuitBreakerOptions
  /** Of a health connection; host and port are filled in. */
  health: ConnectionSettings
  commandTimeoutMs: number
  natMap: NatMap | undefined
  /** Of one node's circuit. */
  onTransition: (transition: Transition, key: string, circuit: NodeCircuit) => void
  onWritesTransition: (transition: Transition, key: string, circuit: NodeCircuit) => void
}

/** A redirection led there although no view names it: a node that slots are about to move to. */
const KEEP_STRANGER_MS = 30_000

/**
 * What all clients of one cluster share: who serves which slot, a circuit for each node, so that one shard that is out refuses nobody
 * else's commands, and one above them, which a human can open and which is open while no shard can be used at all.
 */
export class ClusterCircuit {
  readonly root: RedisCircuit
  readonly topology: ClusterTopology
  readonly #options: ClusterCircuitOptions
  readonly #circuits = new Map<string, NodeCircuit>()
  readonly #seeds: Informant[]
  readonly #strangers = new Map<string, number>()
  readonly #openListeners = new Listeners<string>('A listener of a node\'s circuit')
  readonly #admittingListeners = new Listeners<void>('A listener of the Redis guard')
  #primaries: string[] = []

  constructor (options: ClusterCircuitOptions) {
    const { seeds, breaker, commandTimeoutMs, natMap, health: { clock, random } } = options
    this.#options = options
    this.root = new RedisCircuit({ breaker, commandTimeoutMs, random, health: () => this.#anyShard() })
    this.#seeds = seeds.map((address) => ({ address, health: this.#connectionTo(address, (failure) => this.root.evidence(failure)) }))
    this.topology = new ClusterTopology({
      nodes: () => this.#informants(),
      seeds: this.#seeds,
      natMap,
      troubled: () => this.topology.view?.ok !== true || this.#primaries.some((key) => !this.circuitOf(key).admitting),
      onFailure: (failure) => this.#topologyFailed(failure),
      clock,
      random
    })
    this.topology.onView((view) => this.#seen(view))
  }

  /** Primaries that serve slots, by the last view. */
  get primaries (): readonly string[] { return this.#primaries }

  circuitOf (key: string): NodeCircuit {
    let circuit = this.#circuits.get(key)
    if (circuit === undefined) {
      circuit = this.#makeCircuit(key)
      this.#circuits.set(key, circuit)
    }
    return circuit
  }

  /** A redirection named this node. */
  redirectedTo (key: string): void {
    this.#strangers.set(key, this.#options.health.clock())
  }

  isStranger (key: string): boolean {
    const seenAt = this.#strangers.get(key)
    if (seenAt === undefined) return false
    if (this.#options.health.clock() - seenAt < KEEP_STRANGER_MS) return true
    return !this.#strangers.delete(key)
  }

  /** A node's circuit has opened. */
  onNodeOpen (listener: (key: string) => void): () => void {
    return this.#openListeners.add(listener)
  }

  /** Commands are let through that were refused before, to one node or to all. */
  onAdmitting (listener: () => void): () => void {
    const off = [this.root.onAdmitting(listener), this.#admittingListeners.add(listener)]
    return () => { for (const each of off) each() }
  }

  /** Asks every shard; rejects with the first failure. */
  async probe (): Promise<{ latencyMs: number, role: string }> {
    const { view } = this.topology
    if (view === null) throw this.#lastFailure()
    const latencies = await Promise.all(this.#primaries.map(async (key) => await this.circuitOf(key).health.ping()))
    if (!view.ok) throw new RedisConnectionFailed('overload', 'CLUSTERDOWN')
    return { latencyMs: Math.max(...latencies), role: 'master' }
  }

  /** By hand, for every node. */
  forEachBreaker (action: (circuit: RedisCircuit) => void): void {
    action(this.root)
    for (const circuit of this.#circuits.values()) action(circuit)
  }

  stop (): void {
    this.topology.stop()
    this.forEachBreaker((circuit) => circuit.stop())
  }

  async close (): Promise<void> {
    await Promise.all([this.root.close(), ...[...this.#circuits.values(), ...this.#seeds.map(({ health }) => health)].map((part) => part.close())])
  }

  #makeCircuit (key: string): NodeCircuit {
    const { breaker, commandTimeoutMs, health: { random }, onTransition, onWritesTransition } = this.#options
    const circuit: NodeCircuit = new RedisCircuit({
      breaker,
      commandTimeoutMs,
      random,
      health: (onFailure) => this.#connectionTo(addressOf(key), onFailure)
    })
    circuit.onFailure((error) => this.root.learn(error))
    circuit.breaker.onTransition((transition) => {
      onTransition(transition, key, circuit)
      if (transition.to === 'open') this.#nodeOpened(key)
    })
    circuit.writes.breaker.onTransition((transition) => {
      onWritesTransition(transition, key, circuit)
      if (transition.to === 'open') this.#openListeners.tell(key)
    })
    circuit.onAdmitting(() => {
      if (!this.root.admitting) this.root.connected()
      this.#admittingListeners.tell()
    })
    return circuit
  }

  #connectionTo ({ host, port }: NodeAddress, onFailure: (failure: Classification) => void): HealthConnection {
    const { health, commandTimeoutMs } = this.#options
    return new HealthConnection({ ...health, options: { ...health.options, host, port } }, commandTimeoutMs, onFailure)
  }

  #nodeOpened (key: string): void {
    this.#openListeners.tell(key)
    if (this.#primaries.includes(key)) this.topology.refresh()
    this.#considerAll()
  }

  #considerAll (): void {
    if (this.#primaries.length > 0 && !this.#primaries.some((key) => this.circuitOf(key).admitting)) this.root.trip('no-shard')
  }

  #topologyFailed (failure: Classification): void {
    if (this.topology.view === null) this.root.connectionFailed(failure)
  }

  #seen (view: SlotView): void {
    const wasDown = this.root.lastError?.code === 'CLUSTERDOWN'
    this.#primaries = [...new Set(view.ranges.flatMap(({ nodes: [primary] }) => primary === undefined ? [] : [nodeKey(primary)]))]
    const named = new Set(view.ranges.flatMap(({ nodes }) => nodes.map(nodeKey)))
    for (const [key, circuit] of this.#circuits) {
      if (named.has(key) || this.isStranger(key)) continue
      this.#circuits.delete(key)
      circuit.stop()
      void circuit.close()
    }
    if (wasDown && view.ok) this.forEachBreaker((circuit) => { if (!circuit.admitting) circuit.attest() })
    if (!this.root.admitting) this.root.connected()
    this.#considerAll()
  }

  /** Nodes to ask for a view: those without trouble first, in any order. */
  #informants (): Informant[] {
    const { random } = this.#options.health
    const keys = [...new Set(this.topology.view?.ranges.flatMap(({ nodes }) => nodes.map(nodeKey)) ?? [])]
    return keys
      .map((key) => ({ key, order: random() + (this.circuitOf(key).admitting ? 0 : 1) }))
      .sort((one, other) => one.order - other.order)
      .map(({ key }) => ({ address: addressOf(key), health: this.circuitOf(key).health }))
  }

  /** Whether anything can be used; asked by the recovery of the whole. */
  #anyShard (): Health {
    return {
      ping: async () => {
        const usable = this.#primaries.filter((key) => this.circuitOf(key).admitting)
        if (usable.length === 0) throw this.#lastFailure()
        return await Promise.any(usable.slice(0, 3).map(async (key) => await this.circuitOf(key).health.ping()))
          .catch(() => { throw this.#lastFailure() })
      },
      renew: () => {},
      close: async () => {}
    }
  }

  #lastFailure (): RedisConnectionFailed {
    const { lastError } = this.root
    return new RedisConnectionFailed(lastError?.kind ?? 'transport', lastError?.code ?? 'CLOSED')
  }
}
