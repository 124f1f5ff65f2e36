import { createRequire } from 'node:module'
import { BrokenCircuitError, ConsecutiveBreaker, SamplingBreaker, circuitBreaker, handleAll } from 'cockatiel'
import { CircuitBreaker } from '../../../services/resilience/circuit-breaker.ts'
import type { CircuitBreakerOptions } from '../../../services/resilience/circuit-breaker.ts'
import type { Block } from './measure.ts'

type Call = (fn: () => Promise<number>) => Promise<number>

interface Opossum {
  fire (): Promise<number>
  open (): void
  shutdown (): void
}
// It has no types of its own.
const OpossumBreaker = createRequire(import.meta.url)('opossum') as new (fn: () => Promise<number>, options?: object) => Opossum

export const answer = async (): Promise<number> => 1

function blockOf (call: Call): Block {
  return async times => { for (let n = 0; n < times; n++) await call(answer) }
}

function rejectingBlockOf (call: Call): Block {
  return async times => {
    let rejected = 0
    for (let n = 0; n < times; n++) {
      try {
        await call(answer)
      } catch {
        rejected++
      }
    }
    if (rejected !== times) throw new Error('an open circuit let a call through')
  }
}

function cockatiel (breaker: ConsecutiveBreaker | SamplingBreaker): Call {
  const policy = circuitBreaker(handleAll, { halfOpenAfter: 600_000, breaker })
  return fn => policy.execute(fn)
}

function sampling (): SamplingBreaker {
  return new SamplingBreaker({ threshold: 0.5, duration: 10_000 })
}

const stops: Array<() => void> = []

function opossum (fn: () => Promise<number>, options?: object): Opossum {
  const breaker = new OpossumBreaker(fn, options)
  stops.push(() => breaker.shutdown())
  return breaker
}

export function closedBlocks () {
  const plain = new CircuitBreaker()
  const timed = new CircuitBreaker({ slowCallMs: 1000 })
  const paired = new CircuitBreaker()
  const peer = opossum(answer)
  const pair: Block = async times => {
    for (let n = 0; n < times; n++) {
      if (!paired.allow()) throw new Error('closed circuit did not let a call through')
      const { permit } = paired
      await answer()
      paired.succeed(0, permit)
    }
  }
  const bare: Block = async times => { for (let n = 0; n < times; n++) await answer() }
  const opossumBlock: Block = async times => { for (let n = 0; n < times; n++) await peer.fire() }
  return {
    bare,
    run: blockOf(fn => plain.run(fn)),
    runSlowCalls: blockOf(fn => timed.run(fn)),
    pair,
    cockatiel: blockOf(cockatiel(sampling())),
    opossum: opossumBlock
  }
}

export async function openBlocks () {
  const ours = new CircuitBreaker({ openMs: 600_000, maxOpenMs: 600_000 })
  ours.trip('benchmark')
  const theirs = cockatiel(new ConsecutiveBreaker(1))
  await theirs(() => Promise.reject(new Error('down'))).catch(() => {})
  const broken: unknown = await theirs(answer).catch((error: unknown) => error)
  if (!(broken instanceof BrokenCircuitError)) throw new Error('cockatiel did not open')
  const peer = opossum(answer, { resetTimeout: 600_000 })
  peer.open()
  const allow: Block = async times => {
    for (let n = 0; n < times; n++) if (ours.allow()) throw new Error('an open circuit let a call through')
  }
  return {
    run: rejectingBlockOf(fn => ours.run(fn)),
    allow,
    cockatiel: rejectingBlockOf(theirs),
    opossum: rejectingBlockOf(() => peer.fire())
  }
}

async function fails (): Promise<number> {
  throw new Error('down')
}

/** So many failing calls at once, all let through before the first has failed. */
async function storm (call: Call, size: number): Promise<number> {
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: size }, () => call(fails).catch(() => {})))
  return performance.now() - startedAt
}

export function storms (size: number) {
  const ours = (options?: CircuitBreakerOptions): Call => {
    const breaker = new CircuitBreaker(options)
    return fn => breaker.run(fn)
  }
  return {
    bare: () => storm(fn => fn(), size),
    run: () => storm(ours(), size),
    // Every failure counted and judged, none of them stale.
    runNeverOpens: () => storm(ours({ consecutiveFailures: 1_000_000, failureRate: 1, minimumCalls: 1_000_000 }), size),
    cockatiel: () => storm(cockatiel(sampling()), size),
    opossum: () => {
      const peer = opossum(fails)
      return storm(() => peer.fire(), size)
    }
  }
}

/** Makes a breaker of each and calls it once. */
export const firstCalls: Record<string, () => Promise<number>> = {
  breakwater: () => new CircuitBreaker().run(answer),
  cockatiel: () => cockatiel(sampling())(answer),
  opossum: () => opossum(answer).fire()
}

/** Opossum's timers would keep the process alive. */
export function stopAll (): void {
  for (const stop of stops.splice(0)) stop()
}
