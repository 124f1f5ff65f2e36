import t from 'tap'
import type { CircuitBreaker } from '../../../services/resilience/circuit-breaker.ts'
import { admitted, failTimes, halfOpen, manualBreaker, path, succeedTimes } from './manual-breaker.ts'

t.test('R4.1 opening', async t => {
  t.test('on consecutive failures, whatever the volume', async t => {
    const { breaker } = manualBreaker()
    failTimes(breaker, 4)
    t.equal(breaker.state, 'closed')
    failTimes(breaker, 1, 'timeout')
    t.equal(breaker.state, 'open')
    t.notOk(breaker.allow())
    t.same(path(breaker), ['closed > open: consecutive-failures'])
  })

  t.test('a success between failures starts the count anew', async t => {
    const { breaker } = manualBreaker()
    for (let round = 0; round < 4; round++) {
      failTimes(breaker, 4)
      succeedTimes(breaker, 1)
      if (round < 3) t.equal(breaker.state, 'closed')
    }
    t.equal(breaker.snapshot().window.failures, 16)
  })

  t.test('on the failure rate, from the minimum volume on', async t => {
    const { breaker } = manualBreaker({ consecutiveFailures: 1000 })
    failTimes(breaker, 9)
    succeedTimes(breaker, 10)
    t.equal(breaker.state, 'closed', '9 failures in 19 calls: too few calls')
    failTimes(breaker, 1)
    t.equal(breaker.lastTransition?.reason, 'failure-rate', '10 failures in 20 calls')
  })

  t.test('the rate is of the window: old failures are forgotten', async t => {
    const { breaker, clock } = manualBreaker({ consecutiveFailures: 1000 })
    failTimes(breaker, 15)
    clock.pass(10_000)
    failTimes(breaker, 5)
    t.same(breaker.snapshot().window, { calls: 5, failures: 5, slow: 0 })
    t.equal(breaker.state, 'closed')
  })

  t.test('on the slow-call rate; a quick call never opens', async t => {
    const { breaker } = manualBreaker({ slowCallMs: 100, slowCallRate: 0.5 })
    succeedTimes(breaker, 10, 100)
    succeedTimes(breaker, 10, 99)
    t.equal(breaker.state, 'closed')
    succeedTimes(breaker, 1, 100)
    t.equal(breaker.lastTransition?.reason, 'slow-call-rate')
    t.equal(breaker.snapshot().slow, 11)
  })

  t.test('a slow failure is slow too', async t => {
    const { breaker } = manualBreaker({ slowCallMs: 100, slowCallRate: 0.5, minimumCalls: 2, failureRate: 1 })
    succeedTimes(breaker, 1)
    breaker.fail('timeout', 500, admitted(breaker))
    t.equal(breaker.lastTransition?.reason, 'slow-call-rate')
  })

  t.test('at once on a fatal outcome and on trip()', async t => {
    const { breaker } = manualBreaker()
    failTimes(breaker, 1, 'fatal')
    t.equal(breaker.lastTransition?.reason, 'fatal')
    breaker.close()
    breaker.trip('credentials refused')
    t.equal(breaker.lastTransition?.reason, 'credentials refused')
    breaker.trip('again')
    t.equal(breaker.history.length, 3, 'an open circuit is not tripped')
  })

  t.test('never on neutral outcomes', async t => {
    const { breaker } = manualBreaker()
    failTimes(breaker, 100, 'neutral')
    t.equal(breaker.state, 'closed')
    t.match(breaker.snapshot(), { calls: 100, neutral: 100, failures: 0, window: { calls: 0 } })
  })

  t.test('a latency that is not a number is not slow', async t => {
    const { breaker } = manualBreaker({ slowCallMs: 100, minimumCalls: 1 })
    succeedTimes(breaker, 5, NaN)
    t.equal(breaker.state, 'closed')
  })
})

t.test('R4.1 open time', async t => {
  t.test('doubles with each opening up to the cap', async t => {
    const { breaker, clock } = manualBreaker()
    const waits = []
    for (let opening = 0; opening < 8; opening++) {
      breaker.trip('test')
      waits.push(breaker.retryAfterMs)
      clock.pass(breaker.retryAfterMs)
      t.equal(breaker.state, 'half-open')
    }
    t.same(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
  })

  t.test('has jitter over half of it', async t => {
    for (const [random, waitMs] of [[0, 500], [0.5, 750], [0.999, 999.5]] as const) {
      const { breaker } = manualBreaker({ random: () => random })
      breaker.trip('test')
      t.equal(breaker.retryAfterMs, waitMs)
      t.equal(breaker.lastTransition?.openForMs, waitMs)
    }
  })

  t.test('starts over only after a closed period as long as the window', async t => {
    const { breaker, clock } = manualBreaker({ windowMs: 5000 })
    const reopenAfter = (closedMs: number) => {
      breaker.close()
      clock.pass(closedMs)
      breaker.trip('test')
      return breaker.retryAfterMs
    }
    t.equal(reopenAfter(5000), 1000)
    t.equal(reopenAfter(4999), 2000)
    t.equal(reopenAfter(5000), 1000)
  })

  t.test('ends lazily, whether by state or by allow()', async t => {
    for (const ask of [(breaker: CircuitBreaker) => breaker.state, (breaker: CircuitBreaker) => breaker.allow()]) {
      const { breaker, clock } = manualBreaker()
      breaker.trip('test')
      clock.pass(999)
      ask(breaker)
      t.equal(breaker.lastTransition?.to, 'open')
      clock.pass(1)
      t.equal(breaker.lastTransition?.to, 'open', 'nobody asked')
      ask(breaker)
      t.equal(breaker.lastTransition?.reason, 'open-time-over')
    }
  })
})

t.test('R4.1 half-open', async t => {
  t.test('closes when as many probes as are allowed have succeeded, neutral ones included', async t => {
    const { breaker } = halfOpen()
    succeedTimes(breaker, 1)
    failTimes(breaker, 1, 'neutral')
    t.equal(breaker.state, 'half-open')
    succeedTimes(breaker, 1)
    t.same(path(breaker).at(-1), 'half-open > closed: probes-succeeded')
    t.match(breaker.snapshot(), { calls: 3, neutral: 1, window: { calls: 0 } })
  })

  t.test('a failed probe opens for longer', async t => {
    for (const [kind, reason] of [['failure', 'probe-failed'], ['timeout', 'probe-failed'], ['fatal', 'fatal']] as const) {
      const { breaker } = halfOpen()
      succeedTimes(breaker, 2)
      failTimes(breaker, 1, kind)
      t.equal(breaker.lastTransition?.reason, reason)
      t.equal(breaker.retryAfterMs, 2000)
    }
  })

  t.test('probes that are as slow as what opened it do not close it', async t => {
    const { breaker } = halfOpen({ slowCallMs: 100 })
    succeedTimes(breaker, 3, 150)
    t.equal(path(breaker).at(-1), 'half-open > open: slow-call-rate')
    const oneQuick = halfOpen({ slowCallMs: 100 }).breaker
    succeedTimes(oneQuick, 2, 150)
    succeedTimes(oneQuick, 1)
    t.equal(oneQuick.state, 'closed')
  })

  t.test('a released permit can be granted again', async t => {
    const { breaker } = halfOpen({ halfOpenProbes: 1 })
    const permit = admitted(breaker)
    t.notOk(breaker.allow())
    breaker.release(permit)
    t.ok(breaker.allow())
    breaker.release()
    t.ok(breaker.allow(), 'without a permit it is that of the last call')
    breaker.close()
    breaker.release()
    t.equal(breaker.state, 'closed')
  })

  t.test('retryAfterMs tells when a permit is free at the latest', async t => {
    const { breaker, clock } = halfOpen({ halfOpenProbes: 2, probeTimeoutMs: 700 })
    t.equal(breaker.state, 'half-open')
    admitted(breaker)
    t.equal(breaker.retryAfterMs, 0)
    clock.pass(200)
    admitted(breaker)
    t.equal(breaker.retryAfterMs, 500)
    clock.pass(499)
    t.equal(breaker.retryAfterMs, 1)
    clock.pass(1)
    t.equal(breaker.retryAfterMs, 0)
  })

  t.test('the late answer of an expired probe still counts in its own period', async t => {
    const { breaker, clock } = halfOpen({ halfOpenProbes: 1, probeTimeoutMs: 100 })
    const slow = admitted(breaker)
    clock.pass(100)
    const second = admitted(breaker)
    breaker.succeed(100, slow)
    t.equal(breaker.state, 'closed', 'a dependency slower than probeTimeoutMs can close the circuit')
    breaker.fail('failure', 1, second)
    t.equal(breaker.snapshot().stale, 1)
  })

  t.test('a permit settled twice counts once', async t => {
    const { breaker } = halfOpen({ halfOpenProbes: 2 })
    const permit = admitted(breaker)
    breaker.succeed(1, permit)
    breaker.succeed(1, permit)
    t.equal(breaker.state, 'half-open')
    t.equal(breaker.snapshot().stale, 1)
  })
})
