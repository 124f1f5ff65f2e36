import t from 'tap'
import type { Transition } from '../../../services/resilience/circuit-breaker.ts'
import { admitted, failTimes, manualBreaker, path, succeedTimes } from './manual-breaker.ts'

t.test('R4.1 wake()', async t => {
  t.test('an open circuit goes half-open at once', async t => {
    const { breaker } = manualBreaker()
    breaker.wake()
    t.equal(breaker.state, 'closed')
    breaker.trip('test')
    breaker.wake()
    t.equal(path(breaker).at(-1), 'open > half-open: woken')
    breaker.wake()
    t.equal(breaker.history.length, 2)
  })

  t.test('a dependency that flaps cannot bypass the backoff for ever', async t => {
    const { breaker, clock } = manualBreaker()
    const flaps = []
    breaker.trip('test')
    for (let flap = 0; flap < 8; flap++) {
      const began = clock.now
      breaker.wake()
      clock.pass(breaker.retryAfterMs)
      t.equal(breaker.state, 'half-open')
      flaps.push(clock.now - began)
      failTimes(breaker, 1)
    }
    t.same(flaps, [0, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  })

  t.test('a wake that comes too early shortens the wait', async t => {
    const { breaker, clock } = manualBreaker()
    for (const waitMs of [1000, 2000, 4000]) {
      breaker.trip('test')
      t.equal(breaker.retryAfterMs, waitMs)
      clock.pass(waitMs)
      t.equal(breaker.state, 'half-open', 'no wake: nothing to hold against the next one')
    }
    breaker.trip('test')
    breaker.wake()
    t.equal(breaker.state, 'half-open')
    breaker.trip('test')
    t.equal(breaker.retryAfterMs, 16_000)
    clock.pass(300)
    breaker.wake()
    t.equal(breaker.retryAfterMs, 700)
  })

  t.test('a stable closed period forgives false alarms', async t => {
    const { breaker, clock } = manualBreaker()
    breaker.trip('test')
    breaker.wake()
    succeedTimes(breaker, 3)
    clock.pass(10_000)
    breaker.trip('test')
    breaker.wake()
    t.equal(breaker.state, 'half-open')
  })
})

t.test('R4.2 by hand', async t => {
  t.test('isolate() holds until the last holder lets go, then probes decide', async t => {
    const { breaker } = manualBreaker()
    const first = breaker.isolate()
    const second = breaker.isolate()
    t.equal(breaker.state, 'isolated')
    t.notOk(breaker.allow())
    t.equal(breaker.retryAfterMs, 30_000)
    breaker.trip('ignored')
    breaker.wake()
    first[Symbol.dispose]()
    first[Symbol.dispose]()
    t.equal(breaker.state, 'isolated', 'letting go twice counts once')
    second[Symbol.dispose]()
    t.equal(breaker.state, 'half-open')
    t.same(path(breaker), ['closed > isolated: isolated', 'isolated > half-open: isolation-ended'])
  })

  t.test('isolate() with `using`', async t => {
    const { breaker } = manualBreaker()
    {
      using isolation = breaker.isolate()
      t.ok(isolation)
      t.equal(breaker.state, 'isolated')
    }
    t.equal(breaker.state, 'half-open')
  })

  t.test('results of calls made before an isolation change nothing', async t => {
    const { breaker } = manualBreaker()
    const permit = admitted(breaker)
    breaker.isolate()
    breaker.fail('fatal', 1, permit)
    t.equal(breaker.state, 'isolated')
  })

  t.test('close() closes from every state, with an empty window; holders of an isolation hold nothing', async t => {
    const { breaker } = manualBreaker({ consecutiveFailures: 2 })
    failTimes(breaker, 1)
    breaker.close()
    t.equal(breaker.snapshot().window.failures, 1, 'a closed circuit is left alone')
    failTimes(breaker, 1)
    breaker.close()
    t.same(breaker.snapshot().window, { calls: 0, failures: 0, slow: 0 })
    const isolation = breaker.isolate()
    breaker.close()
    isolation[Symbol.dispose]()
    t.equal(breaker.state, 'closed')
    breaker.isolate()
    isolation[Symbol.dispose]()
    t.equal(breaker.state, 'isolated', 'an old holder does not end a new isolation')
  })

  t.test('reset() forgets the backoff, the window and the calls under way', async t => {
    const { breaker, clock } = manualBreaker()
    for (let opening = 0; opening < 5; opening++) {
      breaker.trip('test')
      clock.pass(breaker.retryAfterMs)
      t.equal(breaker.state, 'half-open')
    }
    breaker.reset()
    t.equal(path(breaker).at(-1), 'half-open > closed: reset')
    const permit = admitted(breaker)
    failTimes(breaker, 4)
    breaker.reset()
    t.equal(breaker.snapshot().consecutiveFailures, 0)
    breaker.fail('fatal', 1, permit)
    t.equal(breaker.state, 'closed')
    breaker.trip('test')
    t.equal(breaker.retryAfterMs, 1000)
  })
})

t.test('R4.2 transition events', async t => {
  t.test('carry from, to, reason, both times and the open time', async t => {
    const { breaker, clock } = manualBreaker({ name: 'redis' })
    const seen: Transition[] = []
    breaker.onTransition(transition => { seen.push(transition) })
    clock.pass(42)
    breaker.trip('test')
    t.match(seen, [{ name: 'redis', from: 'closed', to: 'open', reason: 'test', at: 42, openForMs: 1000 }])
    t.ok(Math.abs(seen[0]!.time - Date.now()) < 5000)
    t.same(breaker.lastTransition, seen[0])
  })

  t.test('the history is bounded and cannot be changed from outside', async t => {
    const { breaker } = manualBreaker()
    t.equal(breaker.lastTransition, null)
    for (let round = 0; round < 50; round++) {
      breaker.trip(`round ${round}`)
      breaker.close()
    }
    t.equal(breaker.history.length, 32)
    t.equal(breaker.history[0]?.reason, 'round 34')
    const history = breaker.history as Transition[]
    history.length = 0
    t.equal(breaker.history.length, 32)
  })

  t.test('a listener that throws or rejects breaks neither the breaker nor the others', async t => {
    const { breaker } = manualBreaker()
    const warned = new Promise<Error>(resolve => process.once('warning', resolve))
    let heard = 0
    breaker.onTransition(() => { throw new Error('no listener of mine') })
    breaker.onTransition((async () => { throw new Error('nor this one') }) as () => void)
    breaker.onTransition(() => { heard++ })
    breaker.trip('test')
    breaker.close()
    t.equal(heard, 2)
    t.match(await warned, { message: /no listener of mine/, code: 'FST_BRK_LISTENER' })
    t.equal(breaker.snapshot().listenerErrors, 4)
  })

  t.test('a listener may move the circuit: everybody hears of every transition, in order', async t => {
    const { breaker } = manualBreaker()
    const heard: string[] = []
    breaker.onTransition(({ to }) => {
      heard.push(`first ${to}`)
      if (to === 'open') breaker.close()
    })
    breaker.onTransition(({ to }) => { heard.push(`second ${to}`) })
    breaker.trip('test')
    t.equal(breaker.state, 'closed')
    t.same(heard, ['first open', 'second open', 'first closed', 'second closed'])
  })

  t.test('a listener that closes or opens while allow() decides has the last word', async t => {
    for (const [act, allowed] of [['close', true], ['trip', false]] as const) {
      const { breaker, clock } = manualBreaker()
      breaker.trip('test')
      clock.pass(1000)
      breaker.onTransition(({ to }) => { if (to === 'half-open') breaker[act]('by listener') })
      t.equal(breaker.allow(), allowed)
    }
  })

  t.test('unsubscribing works, also from within and for a function added twice', async t => {
    const { breaker } = manualBreaker()
    const heard: string[] = []
    const listener = () => { heard.push('twice') }
    const stopFirst = breaker.onTransition(listener)
    breaker.onTransition(listener)
    const stopOnce = breaker.onTransition(() => {
      heard.push('once')
      stopOnce()
    })
    breaker.trip('test')
    stopFirst()
    breaker.close()
    t.same(heard, ['twice', 'twice', 'once', 'twice'])
  })
})
