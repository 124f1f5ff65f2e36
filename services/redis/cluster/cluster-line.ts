import type { Redis } from 'ioredis'
import type { LastError } from '../circuit.ts'
import type { Line, LineOptions } from '../line.ts'
import type { ShardState } from '../guard-options.ts'
import { ClusterCircuit } from './cluster-circuit.ts'
import { GuardedCluster } from './guarded-cluster.ts'
import { nodeKey } from './slot-view.ts'
import type { NatMap, NodeAddress } from './slot-view.ts'

/** A Redis Cluster: one client for all shards, with a circuit for each. */
export class ClusterLine implements Line {
  readonly #client: GuardedCluster
  readonly #circuit: ClusterCircuit
  readonly #options: LineOptions
  readonly detach: () => void
  /** Nodes that were connected before. */
  readonly #met = new Set<string>()

  constructor (options: LineOptions, circuit?: ClusterCircuit) {
    this.#options = options
    this.#circuit = circuit ?? makeCircuit(options)
    const { settings, commandTimeoutMs, statistics, listener, log } = options
    this.#client = new GuardedCluster({
      settings,
      seeds: seedsOf(options),
      circuit: this.#circuit,
      statistics,
      commandTimeoutMs,
      retries: options.retries,
      natMap: settings.options.natMap as NatMap | undefined,
      listener: {
        nodeReady: (key) => this.#connected(key),
        nodeLost: (key, wasReady) => log.disconnected(wasReady, this.#circuit.circuitOf(key).lastError, key),
        moved: () => {
          listener.moved()
          listener.admitting()
        }
      }
    })
    const detach = [
      this.#circuit.onAdmitting(() => listener.admitting()),
      this.#circuit.onNodeOpen((key) => this.#reconsider(key))
    ]
    this.detach = () => { for (const off of detach) off() }
    if (circuit === undefined) this.#circuit.topology.start()
  }

  get client (): Redis { return this.#client as unknown as Redis }

  get breaker () { return this.#circuit.root.breaker }

  get lastError () { return this.#circuit.root.lastError }

  /** `ready` with one shard at least. */
  get connection (): Redis['status'] {
    if (this.#client.status !== 'ready') return this.#client.status as Redis['status']
    return this.#circuit.primaries.some((key) => this.#client.table.connectionTo(key) === 'ready') ? 'ready' : 'reconnecting'
  }

  get writes () {
    const states = this.#circuit.primaries.map((key) => this.#circuit.circuitOf(key).writes.state)
    return states.includes('closed') ? 'closed' : states[0] ?? 'closed'
  }

  get usable (): boolean { return this.#client.usable }

  shards (): ShardState[] {
    const slots = new Map<string, number>()
    for (const { first, last, nodes: [primary] } of this.#circuit.topology.view?.ranges ?? []) {
      if (primary !== undefined) slots.set(nodeKey(primary), (slots.get(nodeKey(primary)) ?? 0) + last - first + 1)
    }
    return [...slots].map(([node, count]) => {
      const { breaker, writes, lastError } = this.#circuit.circuitOf(node)
      return { node, slots: count, connection: this.#client.table.connectionTo(node), breaker: breaker.state, writes: writes.state, lastError }
    })
  }

  probe (): Promise<{ latencyMs: number, role: string }> { return this.#circuit.probe() }

  onFailure (listener: (error: LastError) => void): () => void { return this.#circuit.root.onFailure(listener) }

  reconnect (): void {
    this.#circuit.topology.refresh()
    if (this.#client.status === 'end') void this.#client.connect().catch(() => {})
    else this.#client.disconnect(true)
  }

  forceClose (): void { this.#circuit.forEachBreaker((circuit) => circuit.forceClose()) }

  reset (): void { this.#circuit.forEachBreaker((circuit) => circuit.reset()) }

  refuse (): void { this.#client.refuse() }

  async quit (): Promise<void> { await this.#client.quit() }

  shutDown (): Promise<void> { return this.#client.shutDown() }

  spawn (options: LineOptions): Line { return new ClusterLine(options, this.#circuit) }

  stopShared (): void { this.#circuit.stop() }

  closeShared (): Promise<void> { return this.#circuit.close() }

  #connected (key: string): void {
    const { log, listener } = this.#options
    log.connected(key)
    listener.connected(this.#met.has(key))
    this.#met.add(key)
    const circuit = this.#circuit.circuitOf(key)
    if (circuit.usable) listener.admitting()
    else circuit.connected()
  }

  /** What opened a node's circuit may be a fact about the connection of this client too. */
  #reconsider (key: string): void {
    const { code } = this.#circuit.circuitOf(key).lastError ?? {}
    if (code === 'READONLY' || code === 'CLUSTERDOWN') this.#circuit.topology.refresh()
    if (code !== 'SILENT') return
    this.#client.suspect()
    this.#circuit.root.suspectDuplicates()
    if (this.#options.blocking) this.#client.table.reconnect(key)
  }
}

/** Where to ask first. */
function seedsOf ({ guard: { target } }: LineOptions): readonly NodeAddress[] {
  return target.nodes ?? [{ host: target.host!, port: target.port! }]
}

function makeCircuit (options: LineOptions): ClusterCircuit {
  const { guard, settings, commandTimeoutMs, log } = options
  const { natMap, connectionName } = settings.options
  const circuit = new ClusterCircuit({
    seeds: seedsOf(options),
    breaker: guard.breaker ?? {},
    health: { ...settings, options: { ...settings.options, connectionName: `${connectionName}-health` } },
    commandTimeoutMs,
    natMap: natMap as NatMap | undefined,
    onTransition: (transition, key, { lastError }) => log.transition(transition, lastError, key),
    onWritesTransition: (transition, key, { lastError }) => log.writesTransition(transition, lastError, key)
  })
  circuit.root.breaker.onTransition((transition) => log.transition(transition, circuit.root.lastError))
  return circuit
}
