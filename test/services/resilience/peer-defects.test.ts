import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { CircuitBreaker } from '../../../services/resilience/circuit-breaker.ts'
import { admitted, halfOpen as halfOpenBreaker, manualBreaker } from './manual-breaker.ts'

/** Each test is named after the library that has, or had, the defect. None of them may be ours. */

function halfOpen (halfOpenProbes: number, probeTimeoutMs = 1000) {
  return halfOpenBreaker({ halfOpenProbes, probeTimeoutMs })
}

t.test('opossum: 20,000 concurrent failures block the event loop for seconds (quadratic in the window)', async t => {
  for (const options of [{}, { consecutiveFailures: 1_000_000, minimumCalls: 1_000_000 }]) {
    const breaker = new CircuitBreaker(options)
    const failure = new Error('down')
    const startedAt = performance.now()
    const calls = Array.from({ length: 20_000 }, () => breaker.run(() => Promise.reject(failure)).catch(() => {}))
    await Promise.all(calls)
    const tookMs = performance.now() - startedAt
    t.ok(tookMs < 1000, `took ${tookMs.toFixed(0)} ms; the benchmark holds it to 200 on a quiet machine`)
    t.equal(breaker.state, Object.keys(options).length === 0 ? 'open' : 'closed')
  }
})

t.test('opossum: one failure in an empty window opens (volumeThreshold 0)', async t => {
  const { breaker } = manualBreaker()
  breaker.fail('failure', 1, admitted(breaker))
  t.equal(breaker.state, 'closed')
})

t.test('opossum: a success sent before the trip closes a half-open circuit', async t => {
  const { breaker, clock } = manualBreaker({ halfOpenProbes: 1 })
  const sentBefore = admitted(breaker)
  breaker.trip('test')
  breaker.succeed(1, sentBefore)
  t.equal(breaker.state, 'open')
  clock.pass(1000)
  t.equal(breaker.state, 'half-open')
  breaker.succeed(1, sentBefore)
  t.equal(breaker.state, 'half-open')
  t.equal(breaker.snapshot().stale, 2)
})

t.test('opossum: a filtered error counts as a success, in the window and for consecutive failures', async t => {
  const { breaker } = manualBreaker()
  for (let call = 0; call < 4; call++) breaker.fail('failure', 1, admitted(breaker))
  breaker.fail('neutral', 1, admitted(breaker))
  t.equal(breaker.snapshot().window.calls, 4)
  breaker.fail('failure', 1, admitted(breaker))
  t.equal(breaker.state, 'open', 'the neutral outcome did not interrupt the row')
})

t.test('opossum #388 #484: half-open is stuck when the probe never settles (timeout: false)', async t => {
  const { breaker, clock } = halfOpen(1, 1000)
  breaker.run(() => new Promise(() => {})).catch(() => {})
  t.notOk(breaker.allow())
  clock.pass(1000)
  breaker.succeed(1, admitted(breaker))
  t.equal(breaker.state, 'closed')
})

t.test('opossum #613: half-open admits one call and cannot be told otherwise', async t => {
  const { breaker } = halfOpen(4)
  t.same([1, 2, 3, 4, 5].map(() => breaker.allow()), [true, true, true, true, false])
})

t.test('opossum #719: timers decide when to try again', async t => {
  const { breaker, clock } = manualBreaker()
  const before = process.getActiveResourcesInfo().length
  breaker.trip('test')
  t.equal(process.getActiveResourcesInfo().length, before)
  clock.pass(1000)
  t.ok(breaker.allow())
})

t.test('opossum #861: one AbortController for all calls', async t => {
  // Cancelling is the caller's, who has a signal for each call; run() adds none of its own.
  const { breaker } = manualBreaker()
  const caller = new AbortController()
  const waits = (signal?: AbortSignal) => breaker.run(() => sleep(5, undefined, { signal }))
  const cancelled = waits(caller.signal)
  const other = waits()
  caller.abort()
  await t.rejects(cancelled, { name: 'AbortError' })
  await t.resolves(other)
})

t.test('cockatiel: callers beyond the probes wait for them instead of being rejected', async t => {
  const { breaker } = halfOpen(1)
  let finish = () => {}
  const probe = breaker.run(() => new Promise<void>(resolve => { finish = resolve }))
  const excess = await Promise.allSettled(Array.from({ length: 1000 }, () => breaker.run(async () => {})))
  t.ok(excess.every(result => result.status === 'rejected' && result.reason === breaker.openError), 'rejected while the probe is out')
  finish()
  await probe
  t.equal(breaker.state, 'closed')
})

t.test('cockatiel: a failure from before the trip re-opens a circuit that has just closed', async t => {
  const { breaker, clock } = manualBreaker({ halfOpenProbes: 1, consecutiveFailures: 1 })
  const sentBefore = admitted(breaker)
  breaker.trip('test')
  clock.pass(1000)
  breaker.succeed(1, admitted(breaker))
  t.equal(breaker.state, 'closed')
  breaker.fail('failure', 5000, sentBefore)
  breaker.fail('fatal', 5000, sentBefore)
  t.equal(breaker.state, 'closed')
  t.equal(breaker.snapshot().window.calls, 0)
})

t.test('cockatiel #81 #82 #69: listeners pile up', async t => {
  const { breaker } = manualBreaker()
  let heard = 0
  for (let round = 0; round < 10_000; round++) breaker.onTransition(() => { heard++ })()
  breaker.trip('test')
  t.equal(heard, 0)
})

t.test('cockatiel: an open circuit is as slow to refuse as a call is to fail, because each refusal is a new error', async t => {
  const { breaker } = manualBreaker()
  breaker.trip('test')
  const errors = await Promise.all([1, 2].map(() => breaker.run(async () => {}).catch((error: unknown) => error)))
  t.equal(errors[0], errors[1])
})

t.test('gobreaker: a result of an earlier half-open period counts in the next', async t => {
  const { breaker, clock } = halfOpen(2)
  const early = admitted(breaker)
  breaker.fail('failure', 1, admitted(breaker))
  clock.pass(breaker.retryAfterMs)
  t.equal(breaker.state, 'half-open')
  breaker.succeed(1, early)
  breaker.succeed(1, admitted(breaker))
  t.equal(breaker.state, 'half-open', 'one probe of this period, not two')
  breaker.fail('failure', 1, early)
  t.equal(breaker.state, 'half-open')
})

t.test('gobreaker: an excluded result keeps its half-open slot', async t => {
  const { breaker } = halfOpen(1)
  breaker.release(admitted(breaker))
  t.ok(breaker.allow())
})

t.test('failsafe-go: a stale result frees a probe permit', async t => {
  const { breaker, clock } = manualBreaker({ halfOpenProbes: 1 })
  const sentBefore = admitted(breaker)
  breaker.trip('test')
  clock.pass(1000)
  t.ok(breaker.allow())
  breaker.succeed(1, sentBefore)
  breaker.release(sentBefore)
  t.notOk(breaker.allow(), 'the probe still holds the only permit')
})

t.test('resilience4j #935 #903 #544: half-open for ever after ignored errors or lost permits', async t => {
  const { breaker, clock } = halfOpen(3, 500)
  for (let lost = 0; lost < 3; lost++) admitted(breaker)
  for (let round = 0; round < 20; round++) {
    clock.pass(500)
    for (let lost = 0; lost < 3; lost++) admitted(breaker)
    t.notOk(breaker.allow())
  }
  clock.pass(500)
  for (let call = 0; call < 3; call++) breaker.fail('neutral', 1, admitted(breaker))
  t.equal(breaker.state, 'closed')
})

t.test('resilience4j #1432: more probes than permitted', async t => {
  const { breaker, clock } = halfOpen(3, 500)
  let out = 0
  const permits: number[] = []
  for (let call = 0; call < 100; call++) {
    if (!breaker.allow()) continue
    permits.push(breaker.permit)
    t.ok(++out <= 3)
  }
  breaker.succeed(1, permits[0]!)
  breaker.succeed(1, permits[0]!)
  t.notOk(breaker.allow(), 'two out and one answered: no fourth')
  clock.pass(500)
  t.ok(breaker.allow())
  t.ok(breaker.allow())
  t.notOk(breaker.allow())
})

t.test('resilience4j #2289: waiting in half-open long enough closes the circuit', async t => {
  const { breaker, clock } = halfOpen(1, 500)
  admitted(breaker)
  clock.pass(3_600_000)
  t.equal(breaker.state, 'half-open')
})

t.test('valkey-glide: half-open is unlimited', async t => {
  const { breaker } = halfOpen(3)
  const tried = Array.from({ length: 1000 }, () => breaker.allow()).filter(Boolean)
  t.equal(tried.length, 3)
})

t.test('@fastify/circuit-breaker: its timeout is looked at after the handler finished', async t => {
  // Ours has no timeout to be late with: a call that hangs is the deadline's, and a hung probe only loses its permit.
  const { breaker, clock } = halfOpen(1, 1000)
  breaker.run(() => new Promise(() => {})).catch(() => {})
  clock.pass(999)
  t.notOk(breaker.allow())
  clock.pass(1)
  t.ok(breaker.allow())
})

t.test('@fastify/circuit-breaker: state is lost when its cache evicts it', async t => {
  const breakers = Array.from({ length: 1000 }, () => manualBreaker().breaker)
  breakers[0]!.trip('test')
  for (const breaker of breakers) breaker.allow()
  t.equal(breakers[0]!.state, 'open')
})

t.test('Hystrix, Lettuce: the open time is constant, so every client returns in step', async t => {
  const waits = new Set(Array.from({ length: 50 }, () => {
    const breaker = new CircuitBreaker()
    breaker.trip('test')
    return breaker.lastTransition!.openForMs
  }))
  t.ok(waits.size > 40)
  for (const waitMs of waits) t.ok(waitMs >= 500 && waitMs <= 1000)
})

t.test('a burst of failures of one outage raises the backoff once', async t => {
  const { breaker } = manualBreaker()
  const permits = Array.from({ length: 1000 }, () => admitted(breaker))
  for (const permit of permits) breaker.fail('fatal', 1, permit)
  t.equal(breaker.retryAfterMs, 1000)
  t.match(breaker.snapshot(), { opened: 1, failures: 1, stale: 999 })
})
