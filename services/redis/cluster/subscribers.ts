import type { Command } from 'ioredis'
import { ReconnectBackoff } from '../connection/reconnect-backoff.ts'
import type { ConnectionSettings } from '../connection/bounded-client.ts'
import type { ClusterCircuit } from './cluster-circuit.ts'
import type { NodeFactory } from './node-factory.ts'
import { SubscriberLine } from './subscriber-line.ts'
import type { Subscription, SubscriptionKind } from './subscriber-line.ts'

export interface SubscribersOptions {
  circuit: ClusterCircuit
  nodes: NodeFactory
  settings: ConnectionSettings
  commandTimeoutMs: number
  ownerOf: (slot: number) => string | undefined
  emit: (event: string, ...args: unknown[]) => void
}

const NAMES = new Set(['subscribe', 'psubscribe', 'ssubscribe', 'unsubscribe', 'punsubscribe', 'sunsubscribe'])
const MAX_REDIRECTIONS = 3
const PULSE_MS = 5000
/** To prove that it lives, for a line that is idle. */
const SUSPICION_MS = 150

/**
 * Subscriptions of a cluster client: a list of what is wanted, and connections that are made to agree with it after every change: of the
 * list, of a connection, or of who serves what. Channels are on any node, because the nodes pass messages on; a shard channel is on its slot's.
 */
export class ClusterSubscribers {
  readonly #options: SubscribersOptions
  readonly #wanted = new Map<string, Subscription>()
  readonly #lines = new Map<string, SubscriberLine>()
  readonly #backoff: ReconnectBackoff
  #home: string | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = true

  constructor (options: SubscribersOptions) {
    this.#options = options
    this.#backoff = new ReconnectBackoff(options.settings.clock, options.settings.random)
  }

  static takes ({ name }: Command): boolean {
    return name.length >= 9 && NAMES.has(name.toLowerCase())
  }

  send (command: Command): unknown {
    const name = command.name.toLowerCase()
    const key = name.startsWith('ss') || name.startsWith('sun') ? this.#options.ownerOf(command.getSlot() ?? -1) : this.#homeKey()
    if (command.args.length === 0 && name.includes('unsub')) {
      if (name === 'sunsubscribe') return this.#leaveAllShards(command)
      this.#nameAll(command, name)
    }
    if (key === undefined) {
      command.reject(new Error('CLUSTERDOWN Hash slot not served'))
      return command.promise
    }
    const line = this.#line(key)
    const refusal = line.node.begin(command)
    if (refusal !== null) {
      command.reject(refusal)
      return command.promise
    }
    this.#follow(command, name, key)
    return line.node.sendCommand(command)
  }

  /** Who serves what may have changed, or a connection is gone. */
  reconcile (): void {
    if (this.#closed) return
    const desired = this.#desired()
    for (const [key, line] of this.#lines) {
      const mine = desired.get(key)
      // One that holds what belongs elsewhere by now would deliver it twice.
      if (mine === undefined ? !line.busy : [...line.held].some((id) => !mine.has(id))) this.#drop(key)
    }
    for (const [key, subscriptions] of desired) {
      const line = this.#line(key)
      line.restore(subscriptions)
      line.pulse(PULSE_MS)
    }
  }

  /** Some line of the cluster was found dead; these may be too. */
  suspect (): void {
    for (const line of this.#lines.values()) line.pulse(0, Math.min(SUSPICION_MS, this.#options.commandTimeoutMs))
  }

  open (): void {
    this.#closed = false
  }

  async close (): Promise<void> {
    this.#closed = true
    this.#wanted.clear()
    clearTimeout(this.#timer)
    const lines = [...this.#lines.values()]
    this.#lines.clear()
    await Promise.all(lines.map((line) => line.close()))
  }

  #desired (): Map<string, Map<string, Subscription>> {
    const desired = new Map<string, Map<string, Subscription>>()
    for (const [id, subscription] of this.#wanted) {
      const key = subscription.kind === 'ssubscribe' ? this.#options.ownerOf(subscription.slot) : this.#homeKey()
      if (key === undefined) continue
      const list = desired.get(key) ?? new Map<string, Subscription>()
      desired.set(key, list.set(id, subscription))
    }
    return desired
  }

  #homeKey (): string | undefined {
    const { circuit: { primaries }, settings: { random } } = this.#options
    if (this.#home === undefined || !primaries.includes(this.#home)) this.#home = primaries[Math.floor(random() * primaries.length)]
    return this.#home
  }

  #line (key: string): SubscriberLine {
    let line = this.#lines.get(key)
    if (line === undefined) {
      const { nodes, emit, commandTimeoutMs: timeoutMs, settings: { clock } } = this.#options
      this.#backoff.attempting()
      line = new SubscriberLine(nodes.subscriber(key), {
        emit,
        timeoutMs,
        clock,
        ready: () => {
          this.#backoff.connected()
          this.reconcile()
        },
        ended: () => this.#ended(key),
        moved: () => {
          this.#drop(key)
          this.#ended(key)
        }
      })
      this.#lines.set(key, line)
    }
    return line
  }

  #ended (key: string): void {
    this.#lines.delete(key)
    if (this.#home === key) this.#home = undefined
    if (this.#closed) return
    this.#options.circuit.topology.refresh()
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.reconcile(), this.#backoff.next())
    this.#timer.unref()
  }

  #drop (key: string): void {
    const line = this.#lines.get(key)
    this.#lines.delete(key)
    void line?.close()
  }

  /** Notes what was agreed, and asks the right node when a shard channel is served elsewhere by now. */
  #follow (command: Command, name: string, key: string): void {
    const { resolve, reject } = command
    let current = key
    let redirections = 0
    command.resolve = (reply) => {
      this.#note(command, name, current)
      return resolve(reply)
    }
    command.reject = (error) => {
      const [token, , to] = error.message.split(' ')
      if (token !== 'MOVED' || to === undefined || redirections++ === MAX_REDIRECTIONS || this.#closed) return reject(error)
      this.#options.circuit.topology.refresh()
      current = to
      this.#line(to).node.sendCommand(command)
    }
  }

  #note (command: Command, name: string, key: string): void {
    const held = this.#lines.get(key)?.held
    const leaving = name.includes('unsubscribe')
    const kind = name.replace('unsub', 'sub') as SubscriptionKind
    for (const channel of command.args as (string | Buffer)[]) {
      const id = `${kind} ${channel.toString('latin1')}`
      if (leaving) {
        this.#wanted.delete(id)
        held?.delete(id)
      } else {
        this.#wanted.set(id, { kind, channel, slot: kind === 'ssubscribe' ? command.getSlot()! : -1 })
        held?.add(id)
      }
    }
  }

  /** ioredis would wait for the last subscription of any kind to go. */
  #nameAll (command: Command, name: string): void {
    const kind = name.replace('unsub', 'sub')
    for (const subscription of this.#wanted.values()) {
      if (subscription.kind === kind) (command.args as (string | Buffer)[]).push(subscription.channel)
    }
  }

  #leaveAllShards (command: Command): unknown {
    for (const [id, { kind }] of this.#wanted) if (kind === 'ssubscribe') this.#wanted.delete(id)
    this.reconcile()
    command.resolve(0)
    return command.promise
  }
}
