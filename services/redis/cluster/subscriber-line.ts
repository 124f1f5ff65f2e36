import { Redis } from 'ioredis'
import type { ClusterNode } from './cluster-node.ts'

export type SubscriptionKind = 'subscribe' | 'psubscribe' | 'ssubscribe'

export interface Subscription {
  readonly kind: SubscriptionKind
  readonly channel: string | Buffer
  /** Of a shard channel. */
  readonly slot: number
}

export interface SubscriberLineOptions {
  emit: (event: string, ...args: unknown[]) => void
  ready: () => void
  ended: () => void
  /** The node has thrown out a shard channel, whose slot it serves no longer. */
  moved: () => void
  timeoutMs: number
  clock: () => number
}

const EVENTS = ['message', 'messageBuffer', 'pmessage', 'pmessageBuffer', 'smessage', 'smessageBuffer']

/** One connection that listens, and what it has been promised. */
export class SubscriberLine {
  readonly node: ClusterNode
  /** What the node has confirmed. */
  readonly held = new Set<string>()
  readonly #asked = new Set<string>()
  readonly #options: SubscriberLineOptions
  #pulseAt: number

  constructor (node: ClusterNode, options: SubscriberLineOptions) {
    this.node = node
    this.#options = options
    this.#pulseAt = options.clock()
    for (const event of EVENTS) node.on(event, (...args: unknown[]) => options.emit(event, ...args))
    node.once('ready', options.ready)
    node.once('end', options.ended)
    node.once('moved', options.moved)
    if (node.status === 'wait') node.connect().catch(() => {})
  }

  /** A first subscription may be on its way. */
  get busy (): boolean {
    return this.node.status !== 'end' && this.held.size === 0
  }

  /** Asks for what is missing; a node that refuses, or does not answer, is left. */
  restore (subscriptions: ReadonlyMap<string, Subscription>): void {
    if (this.node.status !== 'ready') return
    for (const [id, { kind, channel }] of subscriptions) {
      if (this.held.has(id) || this.#asked.has(id)) continue
      this.#asked.add(id)
      this.node.askUnguarded(new Redis.Command(kind, [channel]), this.#options.timeoutMs).then(() => {
        this.#asked.delete(id)
        this.held.add(id)
      }, () => this.node.destroyStream())
    }
  }

  /** Nobody notices by itself that nothing arrives any more. */
  pulse (everyMs: number, withinMs = this.#options.timeoutMs): void {
    const now = this.#options.clock()
    if (this.node.status !== 'ready' || now - this.#pulseAt < everyMs) return
    this.#pulseAt = now
    this.node.askUnguarded(new Redis.Command('ping'), withinMs).catch(() => this.node.destroyStream())
  }

  async close (): Promise<void> {
    for (const event of [...EVENTS, 'ready', 'end', 'moved']) this.node.removeAllListeners(event)
    this.node.refuse()
    await this.node.shutDown()
  }
}
