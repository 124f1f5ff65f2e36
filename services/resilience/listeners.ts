/** Functions to tell of events. What one of them throws disturbs neither the others nor the teller. */
export class Listeners<Event> {
  readonly #what: string
  #listeners: ReadonlyArray<(event: Event) => unknown> = []
  /** Exceptions and rejections ignored so far. */
  errors = 0

  /** `what`: names the listeners in the warning. */
  constructor (what: string) {
    this.#what = what
  }

  add (listener: (event: Event) => unknown): () => void {
    // A wrapper, so that a function added twice can be removed once; copies, so that the list never changes while it is told.
    const entry = (event: Event) => listener(event)
    this.#listeners = [...this.#listeners, entry]
    return () => { this.#listeners = this.#listeners.filter(other => other !== entry) }
  }

  tell (event: Event): void {
    for (const listener of this.#listeners) {
      try {
        const result = listener(event)
        if (result instanceof Promise) result.catch((error: unknown) => this.#ignore(error))
      } catch (error) {
        this.#ignore(error)
      }
    }
  }

  #ignore (error: unknown): void {
    // One warning: a listener that always throws would flood the log just when something else is on fire. The rest are counted.
    if (this.errors++ > 0) return
    process.emitWarning(`${this.#what} threw and was ignored: ${String(error)}`, { code: 'FST_BRK_LISTENER' })
  }
}
