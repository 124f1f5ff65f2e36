import { callPromise } from './call-promise.ts'
import { Deadline } from './deadlines.ts'
import type { Deadlines } from './deadlines.ts'

export interface AttemptHandlers<T> {
  /** Called once: with what the call gave, or with the error it was given up for. */
  ended: (value: T | null, error: Error | null) => void
  /** The call settled after it had been given up. */
  late: () => void
  timeoutError: () => Error
}

/** One call of a function, ended by its result, by its deadline or by `giveUp`, whichever comes first. */
export class Attempt<T> extends Deadline {
  readonly #controller = new AbortController()
  readonly #handlers: AttemptHandlers<T>
  readonly #deadlines: Deadlines
  #ended = false
  #extended = false

  constructor (deadlines: Deadlines, handlers: AttemptHandlers<T>) {
    super()
    this.#deadlines = deadlines
    this.#handlers = handlers
  }

  start (fn: (signal: AbortSignal) => Promise<T>): void {
    this.#deadlines.insert(this)
    callPromise(() => fn(this.#controller.signal)).then(
      value => this.#settled(value, null),
      (error: unknown) => this.#settled(null, toError(error)))
  }

  giveUp (error: Error): void {
    this.#end(null, error)
    this.#controller.abort(error)
  }

  expire (explainedByLag: boolean): void {
    // If the loop stood still, the call did too. It gets its time once more, but not for ever.
    if (explainedByLag && !this.#extended) {
      this.#extended = true
      this.#deadlines.insert(this)
      return
    }
    this.giveUp(this.#handlers.timeoutError())
  }

  #settled (value: T | null, error: Error | null): void {
    if (this.#ended) this.#handlers.late()
    else this.#end(value, error)
  }

  #end (value: T | null, error: Error | null): void {
    this.cancel()
    this.#ended = true
    this.#handlers.ended(value, error)
  }
}

function toError (error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error), { cause: error })
}
