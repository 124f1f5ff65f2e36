/** Time that passes only when told to. */
export class ManualClock {
  now = 0
  reads = 0
  readonly read = (): number => {
    this.reads++
    return this.now
  }

  pass (ms: number): void {
    this.now += ms
  }
}

/** Repeatable randomness (mulberry32). */
export function seededRandom (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6D2B79F5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
