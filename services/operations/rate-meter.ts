import type { Counters } from './sample.ts'

/** Per second, over the last ten seconds. Null: not known. */
export interface Rates {
  accepted_per_second: number | null
  published_per_second: number | null
  repaired_per_second: number | null
  failures_per_second: number | null
  rejected_per_second: number | null
}

/** The journal is measured every two seconds only; over less than this its rates would be noise. */
const SPAN_MS = 10_000
const MAX_READINGS = 100

interface Reading { at: number, counters: Counters }

/** Makes rates of counters, as differences between now and ten seconds ago. */
export class RateMeter {
  readonly #readings: Reading[] = []

  add (at: number, counters: Counters): Rates {
    // A clock that was set back makes all earlier readings useless.
    if (at < (this.#readings.at(-1)?.at ?? 0)) this.#readings.length = 0
    while (this.#readings.length > 1 && this.#readings[1]!.at <= at - SPAN_MS) this.#readings.shift()
    if (this.#readings.length >= MAX_READINGS) this.#readings.shift()
    this.#readings.push({ at, counters })
    const [first] = this.#readings
    const rate = (name: keyof Counters) => perSecond(first!, { at, counters }, name)
    return {
      accepted_per_second: rate('accepted'),
      published_per_second: rate('published'),
      repaired_per_second: rate('repaired'),
      failures_per_second: rate('failures'),
      rejected_per_second: rate('rejected')
    }
  }
}

function perSecond (from: Reading, to: Reading, name: keyof Counters): number | null {
  const [before, after] = [from.counters[name], to.counters[name]]
  if (before === null || after === null || to.at <= from.at) return null
  // Two figures that were read at different moments can seem to shrink.
  return Math.round(Math.max(0, after - before) / (to.at - from.at) * 1_000_000) / 1000
}
