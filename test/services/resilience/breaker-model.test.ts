import t from 'tap'
import { CircuitBreaker } from '../../../services/resilience/circuit-breaker.ts'
import type { Outcome } from '../../../services/resilience/circuit-breaker.ts'
import { BreakerModel } from './breaker-model.ts'
import type { ModelCall, ModelOptions } from './breaker-model.ts'
import { ManualClock, seededRandom } from './manual-clock.ts'

const schedules = Number(process.env.BREAKER_SCHEDULES ?? 4000)
const firstSeed = Number(process.env.BREAKER_SEED ?? 1)
const stepsEach = 150

const outcomes: readonly Outcome[] = ['failure', 'failure', 'timeout', 'neutral', 'fatal']

/** One real breaker and one model, put through the same schedule. */
class Pair {
  readonly clock = new ManualClock()
  readonly random: () => number
  readonly options: ModelOptions
  readonly breaker: CircuitBreaker
  readonly model: BreakerModel
  readonly lookEachStep: boolean
  readonly health: number
  pending: Array<{ permit: number, call: ModelCall }> = []
  isolations: Array<{ real: Disposable, model: symbol }> = []

  constructor (seed: number) {
    this.random = seededRandom(seed)
    const pick = <T>(...choices: T[]): T => choices[Math.floor(this.random() * choices.length)]!
    this.clock.now = pick(0, 123, 99_999)
    this.health = pick(0.2, 0.6, 0.9, 0.97)
    this.lookEachStep = pick(true, false)
    this.options = {
      windowMs: pick(100, 400, 1000),
      buckets: pick(1, 4, 10),
      minimumCalls: pick(1, 4, 10),
      failureRate: pick(0.2, 0.5, 0.7, 1),
      consecutiveFailures: pick(1, 3, 5, 50),
      slowCallMs: pick(10, 50, Infinity),
      slowCallRate: pick(0.3, 0.8, 1),
      openMs: pick(10, 100),
      maxOpenMs: pick(100, 1000, 3000),
      halfOpenProbes: pick(1, 2, 3),
      probeTimeoutMs: pick(20, 200)
    }
    const { slowCallMs } = this.options
    this.breaker = new CircuitBreaker({
      ...this.options,
      slowCallMs: slowCallMs === Infinity ? undefined : slowCallMs,
      clock: this.clock.read,
      random: seededRandom(-seed)
    })
    this.model = new BreakerModel(this.options, this.clock.now, seededRandom(-seed))
  }

  step (): string {
    const dice = this.random() * 100
    if (dice < 35) return this.#call()
    if (dice < 70) return this.#settle()
    if (dice < 88) return this.#pass(Math.floor(this.random() * 12))
    if (dice < 94) return this.#pass(Math.floor(this.random() * 400))
    if (dice < 95) return this.#pass(Math.floor(this.random() * 4000))
    if (dice < 97) return this.#both('wake', breaker => breaker.wake(), model => model.wake(this.clock.now))
    if (dice < 98) return this.#both('trip', breaker => breaker.trip('tripped'), model => model.trip(this.clock.now, 'tripped'))
    if (dice < 98.6) return this.#isolate()
    if (dice < 99.4) return this.#endIsolation()
    if (dice < 99.7) return this.#both('close', breaker => breaker.close(), model => model.close(this.clock.now))
    return this.#both('reset', breaker => breaker.reset(), model => model.reset(this.clock.now))
  }

  /** `''` when the two agree. */
  difference (): string {
    const { breaker, model, clock } = this
    const facts: Array<[string, unknown, unknown]> = [
      ['reason', breaker.lastTransition?.reason ?? '', model.reason],
      ['last state', breaker.lastTransition?.to ?? 'closed', model.state],
      ['retryAfterMs', breaker.retryAfterMs, model.retryAfterMs(clock.now)]
    ]
    if (this.lookEachStep) {
      const { state, rejected, stale, calls, opened } = breaker.snapshot()
      facts.push(['state', state, model.look(clock.now)], ['rejected', rejected, model.rejected], ['stale', stale, model.stale],
        ['calls', calls, model.calls], ['opened', opened, model.openedTimes])
    }
    return facts.filter(([, real, expected]) => real !== expected).map(([name, real, expected]) => `${name}: ${real}, should be ${expected}`).join('; ')
  }

  #both (name: string, real: (breaker: CircuitBreaker) => void, model: (model: BreakerModel) => void): string {
    real(this.breaker)
    model(this.model)
    return name
  }

  #call (): string {
    const real = this.breaker.allow()
    const call = this.model.allow(this.clock.now)
    if (real !== (call !== null)) return `allow() gave ${real}, should be ${call !== null}`
    if (call !== null) this.pending.push({ permit: this.breaker.permit, call })
    return 'allow'
  }

  #settle (): string {
    // Mostly the newest call: with only random ones nearly every result would be stale.
    const newest = this.random() < 0.7
    const index = newest ? this.pending.length - 1 : Math.floor(this.random() * this.pending.length)
    const [settling] = this.pending.splice(index, 1)
    if (settling === undefined) return 'nothing to settle'
    const { permit, call } = settling
    const latencyMs = Math.floor(this.random() * 100)
    const now = this.clock.now
    if (this.random() < this.health) return this.#both('succeed', breaker => breaker.succeed(latencyMs, permit), model => model.succeed(now, latencyMs, call))
    if (this.random() < 0.1) return this.#both('release', breaker => breaker.release(permit), model => model.release(call))
    const kind = outcomes[Math.floor(this.random() * outcomes.length)]!
    return this.#both(kind, breaker => breaker.fail(kind, latencyMs, permit), model => model.fail(now, kind, latencyMs, call))
  }

  #pass (ms: number): string {
    this.clock.pass(ms)
    return `${ms} ms`
  }

  #isolate (): string {
    this.isolations.push({ real: this.breaker.isolate(), model: this.model.isolate(this.clock.now) })
    return 'isolate'
  }

  #endIsolation (): string {
    const [ending] = this.isolations.splice(Math.floor(this.random() * this.isolations.length), 1)
    if (ending === undefined) return 'no isolation to end'
    return this.#both('end isolation', () => ending.real[Symbol.dispose](), model => model.endIsolation(this.clock.now, ending.model))
  }
}

t.test(`R4 the breaker agrees with a slow obvious model in ${schedules} random schedules`, async t => {
  const entered: Record<string, number> = {}
  for (let seed = firstSeed; seed < firstSeed + schedules; seed++) {
    const pair = new Pair(seed)
    const trace: string[] = []
    for (let step = 0; step < stepsEach; step++) {
      const before = pair.model.reason
      trace.push(pair.step())
      const difference = trace.at(-1)!.startsWith('allow() gave') ? trace.at(-1) : pair.difference()
      if (difference) {
        return t.fail(`seed ${seed}, step ${step}: ${difference}`, {
          repeat: `BREAKER_SEED=${seed} BREAKER_SCHEDULES=1`, options: pair.options, trace: trace.slice(-40)
        })
      }
      if (pair.model.reason !== before) entered[pair.model.reason] = (entered[pair.model.reason] ?? 0) + 1
    }
  }
  // The schedules are worth something only if they reach every transition there is.
  const reasons = ['consecutive-failures', 'failure-rate', 'slow-call-rate', 'fatal', 'tripped', 'probe-failed', 'probes-succeeded',
    'open-time-over', 'woken', 'isolated', 'isolation-ended', 'closed-by-hand', 'reset']
  for (const reason of reasons) t.ok((entered[reason] ?? 0) >= schedules / 100, `${reason} was reached ${entered[reason]} times`)
})
