import { classify } from '../classify.ts'
import type { Classification } from '../classify.ts'
import { RedisConnectionFailed } from '../errors.ts'
import type { HealthConnection } from '../connection/health-connection.ts'
import { ReconnectBackoff } from '../connection/reconnect-backoff.ts'
import { Listeners } from '../../resilience/listeners.ts'
import { readView } from './slot-view.ts'
import type { NatMap, NodeAddress, SlotView } from './slot-view.ts'

/** One that can be asked for its view. */
export interface Informant {
  readonly address: NodeAddress
  readonly health: HealthConnection
}

export interface TopologyOptions {
  /** Nodes of the last view, the most promising first. */
  nodes: () => Informant[]
  /** What the configuration names: asked first, and again when no node answers. A configuration endpoint leads elsewhere in time. */
  seeds: Informant[]
  natMap: NatMap | undefined
  /** Something is wrong with what the last view says; a newer one may know better. */
  troubled: () => boolean
  onFailure: (failure: Classification) => void
  clock: () => number
  random: () => number
}

/** While all is well. Every `MOVED` asks too. */
const INTERVAL_MS = 10_000
/** A storm of redirections asks no more often than this. */
const MINIMUM_GAP_MS = 100
const ASKED_AT_ONCE = 3
/** A cluster that was made anew counts from one. */
const OLDER_FOR_MS = 2000

/** Knows who serves which slot: asks now and then, at once when a node redirects, and with growing pauses while a shard is out. */
export class ClusterTopology {
  view: SlotView | null = null
  readonly #options: TopologyOptions
  readonly #backoff: ReconnectBackoff
  readonly #listeners = new Listeners<SlotView>('A listener of the cluster topology')
  #waiting: ((error?: Error) => void)[] = []
  #timer: NodeJS.Timeout | undefined
  #running = false
  #again = false
  #stopped = true
  #startedAt = -Infinity
  #olderSince: number | null = null

  constructor (options: TopologyOptions) {
    this.#options = options
    this.#backoff = new ReconnectBackoff(options.clock, options.random)
  }

  /** Called with each view, changed or not. */
  onView (listener: (view: SlotView) => void): () => void {
    return this.#listeners.add(listener)
  }

  start (): void {
    this.#stopped = false
    this.#schedule(0)
  }

  stop (): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#settle(new RedisConnectionFailed('transport', 'CLOSED'))
  }

  /** Asks soon, once for all who want to know; calls back when it has, or has failed to. */
  refresh (callback?: (error?: Error) => void): void {
    if (callback !== undefined) this.#waiting.push(callback)
    if (this.#stopped) return this.#settle(new RedisConnectionFailed('transport', 'CLOSED'))
    if (this.#running) this.#again = true
    else this.#schedule(Math.max(0, this.#startedAt + MINIMUM_GAP_MS - this.#options.clock()))
  }

  #schedule (delayMs: number): void {
    if (this.#stopped) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => { void this.#run() }, delayMs)
    this.#timer.unref()
  }

  async #run (): Promise<void> {
    const { clock, random, onFailure, troubled } = this.#options
    this.#running = true
    this.#again = false
    this.#startedAt = clock()
    this.#backoff.attempting()
    let failure: Error | undefined
    try {
      const view = await this.#load()
      if (!this.#stopped) this.#accept(view)
    } catch (error) {
      failure = error as Error
      if (!this.#stopped) onFailure(classify(failure))
    }
    this.#running = false
    this.#settle(failure)
    const well = failure === undefined && !troubled()
    if (well) this.#backoff.connected()
    if (this.#again) this.#schedule(MINIMUM_GAP_MS)
    else this.#schedule(well ? INTERVAL_MS * (0.8 + 0.4 * random()) : Math.max(MINIMUM_GAP_MS / 2, this.#backoff.next()))
  }

  #accept (view: SlotView): void {
    this.view = view
    this.#listeners.tell(view)
  }

  async #load (): Promise<SlotView> {
    const { nodes, seeds, random } = this.#options
    const known = nodes().slice(0, ASKED_AT_ONCE)
    const start = Math.floor(random() * seeds.length)
    const rest = [...seeds.slice(start), ...seeds.slice(0, start)]
    let failure: Error | undefined
    for (let group = known; group.length > 0 || rest.length > 0; group = rest.splice(0, ASKED_AT_ONCE)) {
      try {
        return await this.#askAll(group)
      } catch (error) {
        failure = error as Error
      }
    }
    throw failure ?? new RedisConnectionFailed('transport', 'CLOSED')
  }

  /** The first view that is not older than ours decides; if there is none, they are all wrong, or we are. */
  async #askAll (informants: Informant[]): Promise<SlotView> {
    if (informants.length === 0) throw new RedisConnectionFailed('transport', 'CLOSED')
    const views = informants.map((informant) => this.#ask(informant))
    try {
      const view = await Promise.any(views)
      this.#olderSince = null
      return view
    } catch (error) {
      const [first] = (error as AggregateError).errors as [Error]
      throw first
    }
  }

  async #ask ({ address, health }: Informant): Promise<SlotView> {
    let view: SlotView
    try {
      view = await health.ask((client) => readView(client, address, this.#options.natMap))
    } catch (error) {
      if (/cluster support disabled/.test((error as Error).message)) throw new RedisConnectionFailed('configuration', 'NOT_A_CLUSTER')
      throw error
    }
    if (view.ranges.length === 0) throw new RedisConnectionFailed('overload', 'CLUSTERDOWN')
    if (this.#isOlder(view)) throw new RedisConnectionFailed('overload', 'OUTDATED')
    return view
  }

  /** A node that slept through a failover still believes in the old order. */
  #isOlder ({ epoch }: SlotView): boolean {
    const known = this.view?.epoch ?? null
    if (epoch === null || known === null || epoch >= known) return false
    this.#olderSince ??= this.#options.clock()
    return this.#options.clock() - this.#olderSince < OLDER_FOR_MS
  }

  #settle (error?: Error): void {
    for (const callback of this.#waiting.splice(0)) callback(error)
  }
}
