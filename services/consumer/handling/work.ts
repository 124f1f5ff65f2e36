import { setTimeout as delay } from 'node:timers/promises'
import { HandlerTimeout, MessageTakenAway } from '../errors.ts'
import type { Leased } from './lease-keeper.ts'
import type { Delivery } from '../source.ts'

export type Outcome =
  | { kind: 'done' }
  | { kind: 'failed', error: unknown }
  /** Not ours any more: nothing is to be said to the source. */
  | { kind: 'taken away', ended: Promise<void> }
  /** The time is up and the handler still runs. */
  | { kind: 'ignored', ended: Promise<void> }

/** One message in hand, from the take to its end. */
export class Work implements Leased {
  readonly delivery: Delivery
  stage: 'waiting' | 'running' | 'settling' = 'waiting'
  lost = false
  readonly #controller = new AbortController()

  constructor (delivery: Delivery) {
    this.delivery = delivery
  }

  get signal (): AbortSignal { return this.#controller.signal }

  get takenAway (): boolean { return this.signal.reason instanceof MessageTakenAway }

  leaseLost (): void {
    this.lost = true
    this.takeAway('its lease ran out')
  }

  takeAway (why: string): void { this.#controller.abort(new MessageTakenAway(why)) }

  /** Runs the handler until it ends, its time is up, or the message is taken away. Never rejects. */
  async attempt (handler: () => unknown, timeoutMs: number, graceMs: number): Promise<Outcome> {
    const timer = setTimeout(() => this.#controller.abort(new HandlerTimeout(timeoutMs)), timeoutMs)
    const running = run(handler)
    const ended = running.then(() => {})
    const first = await Promise.race([running, this.#aborted()])
    clearTimeout(timer)
    if (first !== null) return first
    if (this.takenAway) return { kind: 'taken away', ended }
    // What it returns now is no success: a handler that heeds its signal returns early.
    return await within(ended, graceMs) ? { kind: 'failed', error: this.signal.reason } : { kind: 'ignored', ended }
  }

  async #aborted (): Promise<null> {
    if (this.signal.aborted) return null
    return await new Promise((resolve) => this.signal.addEventListener('abort', () => resolve(null), { once: true }))
  }
}

async function run (handler: () => unknown): Promise<Outcome> {
  try {
    await handler()
    return { kind: 'done' }
  } catch (error) {
    return { kind: 'failed', error }
  }
}

/** Whether it ends in time. Leaves no timer; the one it has keeps no process alive: connections do, as long as there is work. */
export async function within (ended: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController()
  try {
    return await Promise.race([
      ended.then(() => true),
      delay(Math.min(ms, 2 ** 31 - 1), false, { signal: timer.signal, ref: false }).catch(() => false)
    ])
  } finally {
    timer.abort()
  }
}
