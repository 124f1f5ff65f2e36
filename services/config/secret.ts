import type { InspectOptions } from 'node:util'

const MASK = '***'

/**
 * A value that shows itself to nobody by accident: text, JSON, `console.log`, template literals and clones all give `***`.
 * Only {@link Secret.reveal} gives the value, so that one search finds every place that uses it.
 */
export class Secret {
  readonly #value: string

  constructor (value: string) {
    this.#value = value
    Object.freeze(this)
  }

  reveal (): string {
    return this.#value
  }

  toString (): string {
    return MASK
  }

  toJSON (): string {
    return MASK
  }

  // The name of util.inspect.custom, without an import of node:util at run time.
  [Symbol.for('nodejs.util.inspect.custom')] (_depth: number, _options: InspectOptions): string {
    return MASK
  }
}
