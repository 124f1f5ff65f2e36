/** A small seeded generator (mulberry32), so that a failing schedule can be run again from its seed. */
export class Random {
  #state: number

  constructor (seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 up to, but not, 1. */
  next (): number {
    this.#state = (this.#state + 0x6D2B79F5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }

  /** A whole number from 0 up to, but not, `bound`. */
  below (bound: number): number {
    return Math.floor(this.next() * bound)
  }

  chance (probability: number): boolean {
    return this.next() < probability
  }

  pick<T> (choices: readonly T[]): T {
    return choices[this.below(choices.length)]!
  }
}
