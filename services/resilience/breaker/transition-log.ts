import { Listeners } from '../listeners.ts'

export type BreakerState = 'closed' | 'open' | 'half-open' | 'isolated'

export interface Transition {
  readonly name: string
  readonly from: BreakerState
  readonly to: BreakerState
  readonly reason: string
  /** By the breaker's clock. */
  readonly at: number
  /** Milliseconds since 1970, for logs. */
  readonly time: number
  /** How long the circuit stays open at most; 0 unless it opened. */
  readonly openForMs: number
}

export type TransitionListener = (transition: Transition) => void

const historyLimit = 32

/** Keeps the last transitions and tells the listeners of each, in order. */
export class TransitionLog {
  readonly listeners = new Listeners<Transition>('A listener of circuit breaker transitions')
  readonly #history: Transition[] = []
  readonly #untold: Transition[] = []
  #telling = false

  get history (): readonly Transition[] {
    return this.#history.slice()
  }

  get last (): Transition | null {
    return this.#history.at(-1) ?? null
  }

  add (transition: Transition): void {
    this.#history.push(transition)
    if (this.#history.length > historyLimit) this.#history.shift()
    this.#untold.push(transition)
    // A listener that causes the next transition must not let the others hear of it before they heard of this one.
    if (this.#telling) return
    this.#telling = true
    for (let next = this.#untold.shift(); next !== undefined; next = this.#untold.shift()) this.listeners.tell(next)
    this.#telling = false
  }
}
