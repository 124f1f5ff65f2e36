import { setImmediate as turn } from 'node:timers/promises'
import type { Random } from '../../helpers/random.ts'
import { LEASE_MS } from './protocol-model.ts'
import type { ProtocolJournal, ProtocolQueue } from './protocol-model.ts'

/** What a schedule runs on: the model, or the real journal and the real queue. */
export interface World {
  journal: ProtocolJournal
  queue: ProtocolQueue
  clock: { now: number }
  add (body: string): Promise<void>
  /** The queue's contents, first message first. */
  contents (): Promise<string[]>
  /** Remembers the queue's state for a later failover. */
  snapshot (): Promise<void>
  /** The queue becomes what it was `back` snapshots ago, as a replica that lagged would have it. */
  failover (back: number): Promise<void>
  flush (): Promise<void>
}

export interface Step { step (): Promise<unknown> }
export type RelayFactory = (
  journal: ProtocolJournal, queue: ProtocolQueue & { readonly epoch: number }, lease: string, now: () => number
) => Step

interface Call {
  to: 'journal' | 'queue'
  execute: () => Promise<unknown>
  resolve: (value: any) => void
  reject: (reason: Error) => void
  reply: (() => void) | null
}

/** One relay process, stopped at each call it makes until the schedule lets the call go on. */
class Process {
  epoch = 1
  calls: Call[] = []
  busy = false
  dead = false
  /** Steps in a row that found nothing to do. */
  idle = 0
  readonly #relay: Step

  constructor (world: World, factory: RelayFactory, lease: string) {
    const intercept = <T extends object> (to: Call['to'], target: T, names: (keyof T)[]) => Object.fromEntries(
      names.map((name) => [name, (...args: unknown[]) => this.#call(to, () => (target[name] as any)(...args))])
    )
    const journal = intercept('journal', world.journal, ['acquireLease', 'advance', 'terms', 'reconcile'])
    const queue = intercept('queue', world.queue, ['publish', 'watermarks', 'rebase'])
    Object.defineProperty(queue, 'epoch', { get: () => this.epoch })
    this.#relay = factory(journal as any, queue as any, lease, () => world.clock.now)
  }

  #call (to: Call['to'], execute: () => Promise<unknown>): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers()
    this.calls.push({ to, execute, resolve, reject, reply: null })
    return promise
  }

  begin (): void {
    this.busy = true
    this.#relay.step().then((result) => {
      this.idle = result === 'idle' ? this.idle + 1 : 0
    }, (err) => {
      if (err.code === 'FST_BRK_LEASE_LOST') this.dead = true
    }).finally(() => { this.busy = false })
  }
}

const LOST = new Error('connection lost')

/** Runs one random schedule and returns what was accepted and what the queue holds at the end. */
export class Schedule {
  readonly #world: World
  readonly #factory: RelayFactory
  readonly #random: Random
  readonly #accepted: string[] = []
  #processes: Process[] = []
  #late: (() => Promise<unknown>)[] = []

  constructor (world: World, factory: RelayFactory, random: Random) {
    this.#world = world
    this.#factory = factory
    this.#random = random
  }

  async run (decisions: number): Promise<{ accepted: string[], queued: string[] }> {
    await this.#world.snapshot()
    for (let index = 0; index < decisions; index++) {
      await this.#decide()
      await turn()
    }
    await this.#recover()
    return { accepted: this.#accepted, queued: await this.#world.contents() }
  }

  async #decide (): Promise<void> {
    const random = this.#random
    const running = this.#processes.filter(({ dead }) => !dead)
    const dice = random.next()
    if (dice < 0.15) return await this.#add()
    if (dice < 0.19 || running.length === 0) return await this.#takeOver()
    if (dice < 0.21) return this.#crash(random.pick(running))
    if (dice < 0.24) return this.#reconnect(random.pick(running))
    if (dice < 0.26) return await this.#failover()
    if (dice < 0.265) return await this.#flush()
    if (dice < 0.29) return await this.#deliverLate()
    await this.#proceed(random.pick(running))
  }

  async #add (): Promise<void> {
    const body = `m${this.#accepted.length + 1}`
    await this.#world.add(body)
    this.#accepted.push(body)
  }

  /** The lease runs out, whether its holder is dead, frozen or merely slow, and another relay takes it. */
  async #takeOver (): Promise<void> {
    this.#world.clock.now += LEASE_MS * 2
    const lease = await this.#world.journal.acquireLease('relay', LEASE_MS)
    if (lease !== null) this.#processes.push(new Process(this.#world, this.#factory, lease))
  }

  #crash (process: Process): void {
    process.dead = true
    this.#cut(process, false)
  }

  #reconnect (process: Process): void {
    process.epoch++
    this.#cut(process, true)
  }

  /** The connection to the queue breaks: what had not arrived is lost or arrives late, and nobody hears of it. */
  #cut (process: Process, tell: boolean): void {
    for (const call of process.calls.splice(0)) {
      if (call.to === 'journal' && tell) {
        process.calls.push(call)
        continue
      }
      if (call.reply === null && this.#random.chance(0.5)) this.#late.push(call.execute)
      if (tell) call.reject(LOST)
    }
  }

  async #failover (): Promise<void> {
    await this.#world.failover(this.#random.below(8))
    for (const process of this.#processes) if (!process.dead) this.#reconnect(process)
  }

  async #flush (): Promise<void> {
    await this.#world.flush()
    if (this.#random.chance(0.5)) for (const process of this.#processes) if (!process.dead) this.#reconnect(process)
  }

  async #deliverLate (): Promise<void> {
    const index = this.#random.below(this.#late.length)
    const [execute] = this.#late.splice(index, 1)
    await execute?.().catch(() => {})
    await this.#world.snapshot()
  }

  /** Lets one relay's next call be executed, be answered, or go wrong. */
  async #proceed (process: Process): Promise<void> {
    const call = this.#random.pick(process.calls)
    if (call === undefined) {
      if (!process.busy) process.begin()
      return
    }
    const fate = this.#random.next()
    if (call.reply !== null) {
      process.calls.splice(process.calls.indexOf(call), 1)
      if (fate < 0.05) call.reject(LOST)
      else call.reply()
      return
    }
    if (fate < 0.05) {
      process.calls.splice(process.calls.indexOf(call), 1)
      if (this.#random.chance(0.5)) this.#late.push(call.execute)
      call.reject(LOST)
      return
    }
    await this.#execute(call)
  }

  async #execute (call: Call): Promise<void> {
    try {
      const value = await call.execute()
      call.reply = () => call.resolve(value)
    } catch (err) {
      call.reply = () => call.reject(err as Error)
    }
    if (call.to === 'queue') await this.#world.snapshot()
  }

  /** All faults end: the next relay must put everything right, even while stragglers still arrive. */
  async #recover (): Promise<void> {
    this.#processes.forEach((process) => { process.dead = true })
    await this.#takeOver()
    const process = this.#processes.at(-1)!
    for (const stragglers of [false, true]) {
      if (stragglers) while (this.#late.length > 0) await this.#deliverLate()
      process.epoch++
      await this.#drain(process)
    }
  }

  async #drain (process: Process): Promise<void> {
    process.idle = 0
    for (let rounds = 0; process.idle < 2; rounds++) {
      if (rounds > 5000) throw new Error('the relay did not come to rest')
      const call = process.calls.shift()
      if (call !== undefined) {
        await this.#execute(call)
        call.reply!()
      } else if (!process.busy) {
        process.begin()
      }
      await turn()
    }
  }
}
