import { BreakerOptionError } from '../errors.ts'
import { functionRule, integerRule, numberRule, parseOptions, stringRule } from '../options.ts'

/** How a call ended badly. `fatal`: a fact about the connection, opens at once. `neutral`: the dependency is alive, no vote. */
export type Outcome = 'failure' | 'timeout' | 'fatal' | 'neutral'

export interface CircuitBreakerOptions {
  /** In errors and transitions. Default `'circuit'`. */
  name?: string | undefined
  /** Length of the sliding window in ms. Default 10000. */
  windowMs?: number | undefined
  /** Slices of the window; the oldest is dropped as a whole. Default 10. */
  buckets?: number | undefined
  /** No rate opens the circuit before so many calls are in the window. Default 20. */
  minimumCalls?: number | undefined
  /** Opens at this share of failures in the window, 0 (exclusive) to 1. Default 0.5. */
  failureRate?: number | undefined
  /** Opens after so many failures without a success between them, however few calls there were. Default 5. */
  consecutiveFailures?: number | undefined
  /** A call is slow from this latency on, in ms. Default: no call is. */
  slowCallMs?: number | undefined
  /** Opens at this share of slow calls in the window, 0 (exclusive) to 1. Default 0.8. */
  slowCallRate?: number | undefined
  /** First open time in ms; doubles with each further opening, less up to half of it by jitter. Default 1000. */
  openMs?: number | undefined
  /** Cap of the open time in ms. Default 30000. */
  maxOpenMs?: number | undefined
  /** Probes at once in half-open, and successes needed to close. Default 3. */
  halfOpenProbes?: number | undefined
  /** A probe that has not settled after so many ms gives its permit back. Default 1000. */
  probeTimeoutMs?: number | undefined
  /** Only for `run()`: what a rejection means; `null` is no evidence at all (a caller who gave up). Default: `'failure'`. */
  classify?: ((error: unknown) => Outcome | null) | undefined
  /** Monotonic time in ms. Default `performance.now`. */
  clock?: (() => number) | undefined
  /** In [0, 1). Default `Math.random`. */
  random?: (() => number) | undefined
}

export interface BreakerSettings {
  readonly name: string
  readonly windowMs: number
  readonly buckets: number
  readonly minimumCalls: number
  readonly failureRate: number
  readonly consecutiveFailures: number
  /** Infinity when slow calls are not watched. */
  readonly slowCallMs: number
  readonly slowCallRate: number
  readonly openMs: number
  readonly maxOpenMs: number
  readonly halfOpenProbes: number
  readonly probeTimeoutMs: number
  readonly classify: (error: unknown) => Outcome | null
  readonly clock: () => number
  readonly random: () => number
}

const dayMs = 86_400_000
const smallestRate = Number.EPSILON

const rules = {
  name: stringRule('circuit', 'Leave it out to be called "circuit".'),
  windowMs: numberRule(10_000, 1, dayMs, 'Give milliseconds, for example 10000.'),
  buckets: integerRule(10, 1, 1000, 'More buckets make the window slide more smoothly; 10 is enough.'),
  minimumCalls: integerRule(20, 1, 1_000_000_000, 'Use 1 to let the first call decide.'),
  failureRate: numberRule(0.5, smallestRate, 1, 'Give a share, not per cent: 0.5 is one failure in two calls.'),
  consecutiveFailures: integerRule(5, 1, 1_000_000_000, 'Use a large number to decide by rate only.'),
  slowCallMs: numberRule(undefined, smallestRate, dayMs, 'Give milliseconds, or leave it out to ignore slow calls.'),
  slowCallRate: numberRule(0.8, smallestRate, 1, 'Give a share, not per cent: 0.8 is four slow calls in five.'),
  openMs: numberRule(1000, 1, dayMs, 'Give milliseconds, for example 1000.'),
  maxOpenMs: numberRule(30_000, 1, dayMs, 'Give milliseconds, for example 30000.'),
  halfOpenProbes: integerRule(3, 1, 1000, 'Use 1 for a single probe.'),
  probeTimeoutMs: numberRule(1000, 1, dayMs, 'Give milliseconds, about twice the timeout of a call.'),
  classify: functionRule(() => 'failure', 'It takes the error and returns an outcome or null.'),
  clock: functionRule(() => performance.now(), 'It returns milliseconds that never go back, as performance.now does.'),
  random: functionRule(Math.random, 'It returns a number from 0 to below 1, as Math.random does.')
}

/** @throws FST_BRK_BREAKER_OPTION */
export function parseBreakerOptions (options: CircuitBreakerOptions): BreakerSettings {
  const parsed = parseOptions(rules, options, BreakerOptionError) as unknown as BreakerSettings
  if (parsed.maxOpenMs < parsed.openMs) {
    // Whoever sets only one of the two means it: the other default gives way.
    if (options.openMs !== undefined && options.maxOpenMs !== undefined) {
      throw new BreakerOptionError(`Option "maxOpenMs" must be at least openMs (${parsed.openMs}), not ${parsed.maxOpenMs}. Raise it or lower openMs.`)
    }
    const openMs = options.openMs ?? parsed.maxOpenMs
    return { ...parsed, openMs, maxOpenMs: Math.max(openMs, parsed.maxOpenMs), slowCallMs: parsed.slowCallMs ?? Infinity }
  }
  return { ...parsed, slowCallMs: parsed.slowCallMs ?? Infinity }
}
