import { CacheOptionInvalid } from './errors.ts'

/** What holds for one value. Durations in ms. */
export interface Terms {
  /** How long it is fresh. Default 60 000. */
  ttlMs: number
  /** How much longer it may be returned if the origin fails. Default 0. */
  staleMs: number
  /** Whether an expired value is returned at once within `staleMs`, while a new one is fetched. Default false. */
  revalidate: boolean
  /** How long `null` and `undefined` are kept. 0: not at all. Default 0. */
  negativeTtlMs: number
  /** How long other processes wait for the one that calls the origin. 0: they do not. Default 1000. */
  lockMs: number
  /** The lifetime varies by this share. Default 0.1. */
  jitter: number
}

export const defaultTerms: Terms = { ttlMs: 60_000, staleMs: 0, revalidate: false, negativeTtlMs: 0, lockMs: 1000, jitter: 0.1 }

const YEAR_MS = 365 * 86_400_000

/** Fills in what was left out. @throws FST_BRK_CACHE_OPTION */
export function checkTerms (given: { [Name in keyof Terms]?: Terms[Name] | undefined }, defaults: Terms): Terms {
  return {
    ttlMs: duration('ttlMs', given.ttlMs ?? defaults.ttlMs, 1),
    staleMs: duration('staleMs', given.staleMs ?? defaults.staleMs, 0),
    revalidate: given.revalidate ?? defaults.revalidate,
    negativeTtlMs: duration('negativeTtlMs', given.negativeTtlMs ?? defaults.negativeTtlMs, 0),
    lockMs: duration('lockMs', given.lockMs ?? defaults.lockMs, 0),
    jitter: number('jitter', given.jitter ?? defaults.jitter, 0, 1)
  }
}

function duration (name: string, value: number, minimum: number): number {
  return number(name, value, minimum, YEAR_MS)
}

function number (name: string, value: number, minimum: number, maximum: number): number {
  if (typeof value === 'number' && value >= minimum && value <= maximum) return value
  throw new CacheOptionInvalid(`"${name}" is ${String(value)}`, `Give a number from ${minimum} to ${maximum}.`)
}
