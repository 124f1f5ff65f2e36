import { Cluster } from 'ioredis'
import type { ClusterOptions, Command, RedisOptions } from 'ioredis'
import { RedisClosed } from '../errors.ts'
import { pendingOf, refuse } from '../command/guarded-client.ts'
import type { WriteableStream } from '../connection/ioredis-internals.ts'
import { clusterInternals } from './cluster-internals.ts'
import type { ClusterInternals } from './cluster-internals.ts'
import type { ClusterNode } from './cluster-node.ts'
import { clusterOptions } from './cluster-options.ts'
import type { GuardedClusterOptions } from './cluster-options.ts'
import { NodeFactory, notConnected } from './node-factory.ts'
import { ClusterSubscribers } from './subscribers.ts'
import { SlotTable } from './slot-table.ts'
import { addressOf, nodeKey, translate } from './slot-view.ts'
import type { SlotView } from './slot-view.ts'

interface Destination { slot: number | null, redis?: ClusterNode | undefined }

const QUIT_BUDGET_MS = 250
const noop = () => {}

/**
 * An ioredis Cluster that is guarded at `sendCommand`, once for each command, whatever redirections follow. ioredis routes and follows
 * redirections; who serves which slot, connections, deadlines and the end of it all are ours.
 */
export class GuardedCluster extends Cluster {
  readonly #options: GuardedClusterOptions
  readonly #internals: ClusterInternals
  /** Connections by node. */
  readonly #table: SlotTable
  readonly #nodes: NodeFactory
  readonly #subscribers: ClusterSubscribers
  #closed = false
  #detach: () => void = noop

  constructor (options: GuardedClusterOptions) {
    super([...options.seeds], clusterOptions(options.settings))
    this.#options = options
    this.#internals = clusterInternals(this)
    this.#table = new SlotTable(this.#internals, options.circuit, options.settings.random)
    this.#nodes = new NodeFactory(options)
    this.#subscribers = new ClusterSubscribers({
      ...options,
      nodes: this.#nodes,
      ownerOf: (slot) => this.#internals.slots[slot]?.[0],
      emit: (event, ...args) => { this.emit(event, ...args) }
    })
    const { connectionPool } = this.#internals
    connectionPool.createRedisFromOptions = (node, readOnly) => this.#makeNode(nodeKey(node), readOnly)
    connectionPool.getSampleInstance = (role) => this.#table.sample(role)
    // Without nodes it would think that it is closed.
    connectionPool.removeAllListeners('drain')
    this.on('error', noop)
    this.#begin()
  }

  override sendCommand (command: Command, stream?: WriteableStream, node?: Destination): unknown {
    if (ClusterSubscribers.takes(command)) return this.#subscribe(command)
    if (command.name === 'quit') return this.#quitBy(command)
    const to = node ?? (command.getSlot() === null ? { slot: null, redis: this.#table.sample('master') } : undefined)
    const refusal = this.#admit(command, stream, to)
    if (refusal === null) return super.sendCommand(command, stream, to)
    refuse(command, refusal, stream, this.#options.patient)
    return command.promise
  }

  /** Before ioredis follows a redirection: the node must be known, also to pipelines, and only this slot moves. */
  override handleError (...[error, ttl, handlers]: Parameters<Cluster['handleError']>): void {
    const [kind, slot, key] = error.message.split(' ')
    // Who has been sent around for too long hears what the last node said, which is that nothing was executed.
    const known = { ...handlers, maxRedirections: () => handlers.maxRedirections(error) }
    if ((kind === 'MOVED' || kind === 'ASK') && key !== undefined) {
      const address = translate(addressOf(key), this.#options.natMap)
      this.#options.circuit.redirectedTo(nodeKey(address))
      this.#internals.connectionPool.findOrCreate(address)
      this.#table.isolate(Number(slot))
      // ioredis would translate the address for the connection, but not for the table it looks into next.
      return super.handleError(new Error(`${kind} ${slot} ${nodeKey(address)}`), ttl, known)
    }
    super.handleError(error, ttl, known)
  }

  /** Calls back when it has asked, or failed to; a storm of calls is one question. */
  override refreshSlotsCache (callback?: (error?: Error | null) => void): void {
    this.#options.circuit.topology.refresh(callback)
  }

  /** Pipelines wait for the slots with this; ioredis would let them wait for ever. */
  override delayUntilReady (callback: (error?: Error | null) => void): void {
    process.nextTick(callback, this.#gate() ?? this.#refusal())
  }

  override async connect (): Promise<void> {
    if (!this.#closed) return
    this.#closed = false
    this.#begin()
    await new Promise<void>((resolve) => { this.refreshSlotsCache(() => resolve()) })
    if (this.#internals.slots.length === 0) throw this.#refusal()
  }

  /** `true`: new connections to all nodes. */
  override disconnect (reconnect = false): void {
    if (!reconnect) void this.shutDown()
    else for (const node of this.#table.all()) if (node.status !== 'wait') node.reconnect()
  }

  /** Says goodbye to whoever listens, and always ends well. */
  override async quit (callback?: (error: null, reply: 'OK') => void): Promise<'OK'> {
    this.refuse()
    const farewells = this.#table.all().filter(({ status }) => status === 'ready').map((node) => node.quit().catch(noop))
    let timer: NodeJS.Timeout | undefined
    await Promise.race([Promise.all(farewells), new Promise((resolve) => { timer = setTimeout(resolve, QUIT_BUDGET_MS) })])
    clearTimeout(timer)
    await this.shutDown()
    callback?.(null, 'OK')
    return 'OK'
  }

  /** A guarded client of its own, on connections of its own, that follows the same slots. Options of its nodes can be overridden. */
  override duplicate (first?: unknown[] | RedisOptions, override: ClusterOptions = {}): any {
    const { settings } = this.#options
    // As a single node's, which others may take this for; the start nodes of a cluster's are ours to know.
    const { password, ...others } = Array.isArray(first) || first === undefined ? { ...override.redisOptions, keyPrefix: override.keyPrefix ?? settings.options.keyPrefix } : first
    const client = new GuardedCluster({
      ...this.#options,
      settings: { ...settings, options: { ...settings.options, ...others }, ...password === undefined ? {} : { password: () => password ?? null, credentials: undefined } },
      listener: {},
      patient: true
    })
    this.#options.circuit.root.adopt(client)
    return client
  }

  refuse (): void {
    this.#closed = true
    for (const node of this.#table.all()) node.refuse()
  }

  /** Who only listens does not notice that its line is dead. */
  suspect (): void {
    this.#subscribers.suspect()
  }

  /** Cuts all lines; resolves when everything that was pending is rejected. */
  async shutDown (): Promise<void> {
    if (this.status === 'end') return
    this.refuse()
    this.#detach()
    const { setStatus, connectionPool } = this.#internals
    setStatus.call(this, 'disconnecting')
    const nodes = this.#table.all()
    for (const key of Object.keys(connectionPool.nodes.all)) connectionPool.removeNode(key)
    await Promise.all([this.#subscribers.close(), ...nodes.map((node) => node.shutDown())])
    this.#internals.slots = []
    setStatus.call(this, 'close')
    setStatus.call(this, 'end')
  }

  /** Who serves what, and the connections. */
  get table (): SlotTable { return this.#table }

  /** One of its connections is there, and its circuit closed. */
  get usable (): boolean {
    const { circuit } = this.#options
    return this.status === 'ready' && !this.#closed && circuit.root.admitting && circuit.primaries.some((key) => this.#table.isUsable(key))
  }

  toJSON (): object {
    return { status: this.status }
  }

  [Symbol.for('nodejs.util.inspect.custom')] (): string {
    return `GuardedCluster { status: '${this.status}' }`
  }

  #begin (): void {
    const { circuit: { topology } } = this.#options
    this.#internals.setStatus('connecting')
    this.#subscribers.open()
    this.#detach = topology.onView((view) => this.#follow(view))
    if (topology.view !== null) this.#take(topology.view)
  }

  #follow (view: SlotView): void {
    if (this.#take(view)) this.#options.listener?.moved?.()
  }

  #take (view: SlotView): boolean {
    const moved = this.#table.apply(view)
    this.#subscribers.reconcile()
    if (this.#options.patient === true) this.#becomeReady()
    return moved
  }

  #becomeReady (): void {
    if (this.status !== 'connecting') return
    this.#internals.setStatus('connect')
    this.#internals.setStatus('ready')
  }

  #admit (command: Command, stream: WriteableStream | undefined, to: Destination | undefined): Error | null {
    const refusal = this.#gate()
    if (refusal !== null) return refusal
    const node = to?.redis ?? this.#table.nodeOf((to === undefined ? command.getSlot() : to.slot) ?? -1) ?? this.#table.sample('master')
    return node === undefined ? this.#refusal() : node.begin(command, stream, pendingOf(command))
  }

  #gate (): Error | null {
    if (this.#closed) return new RedisClosed()
    const { root } = this.#options.circuit
    if (this.status !== 'ready') return this.#refusal()
    return root.admitting ? null : root.breaker.openError
  }

  #refusal (): Error {
    return notConnected(this.#options.circuit, this.status)
  }

  #subscribe (command: Command): unknown {
    const refusal = this.#gate()
    if (refusal === null) return this.#subscribers.send(command)
    command.reject(refusal)
    return command.promise
  }

  #quitBy (command: Command): unknown {
    void this.quit().then(() => command.resolve(Buffer.from('OK')))
    return command.promise
  }

  #makeNode (key: string, readOnly: boolean): ClusterNode {
    const { circuit, listener = {}, patient } = this.#options
    const ready = () => {
      this.#becomeReady()
      listener.nodeReady?.(key)
    }
    // What a duplicate meets on its way says nothing to the others, as with a single node.
    return this.#nodes.commands(key, readOnly, patient === true
      ? { ready }
      : {
          ready,
          lost: (wasReady, explained, attemptedAt) => {
            circuit.circuitOf(key).connectionLost(explained, attemptedAt)
            listener.nodeLost?.(key, wasReady)
          },
          failed: (failure, _error, attemptedAt) => { if (!this.#closed) circuit.circuitOf(key).connectionFailed(failure, attemptedAt) }
        })
  }
}
