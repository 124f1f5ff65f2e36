import type { BreakerSettings } from './options.ts'
import { OpenPeriod } from './open-period.ts'
import { TransitionLog } from './transition-log.ts'
import type { BreakerState } from './transition-log.ts'

/** The states and the ways between them. What counts as a reason to take one is CircuitBreaker's. */
export class Circuit {
  readonly openPeriod: OpenPeriod
  readonly log = new TransitionLog()
  state: BreakerState = 'closed'
  since: number
  opened = 0
  /** Of the call that was let through last; starts anew in each period, and never repeats. */
  permit = 1
  #lastPermit = 1
  readonly #settings: BreakerSettings
  readonly #onPeriod: () => void
  #isolations = 0
  #isolationEpoch = 0

  constructor (settings: BreakerSettings, onPeriod: () => void) {
    this.#settings = settings
    this.#onPeriod = onPeriod
    this.openPeriod = new OpenPeriod(settings)
    this.since = settings.clock()
  }

  get nextPermit (): number {
    return this.#lastPermit + 1
  }

  usePermit (): void {
    this.permit = ++this.#lastPermit
  }

  open (reason: string, now: number): void {
    const stable = this.state === 'closed' && now - this.since >= this.#settings.windowMs
    this.openPeriod.start(now, stable)
    this.opened++
    this.enter('open', reason, now)
  }

  /** Open to half-open, if the time has come. */
  endOpenPeriod (now: number, reason = 'open-time-over'): void {
    if (this.openPeriod.isOver(now)) this.enter('half-open', reason, now)
  }

  isolate (): Disposable {
    const epoch = this.#isolationEpoch
    let held = true
    this.#isolations++
    if (this.state !== 'isolated') this.enter('isolated', 'isolated', this.#settings.clock())
    return {
      [Symbol.dispose]: () => {
        if (!held || epoch !== this.#isolationEpoch) return
        held = false
        if (--this.#isolations === 0) this.enter('half-open', 'isolation-ended', this.#settings.clock())
      }
    }
  }

  /** Whoever holds an isolation holds nothing any more. */
  close (reason: string): void {
    this.#isolations = 0
    this.#isolationEpoch++
    if (this.state !== 'closed') this.enter('closed', reason, this.#settings.clock())
  }

  enter (to: BreakerState, reason: string, now: number): void {
    const from = this.state
    this.state = to
    this.since = now
    this.beginPeriod()
    const openForMs = to === 'open' ? this.openPeriod.forMs : 0
    this.log.add({ name: this.#settings.name, from, to, reason, at: now, time: Date.now(), openForMs })
  }

  /** From here on every permit granted before is stale. */
  beginPeriod (): void {
    this.usePermit()
    this.#onPeriod()
  }
}
