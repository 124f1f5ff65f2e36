import { createHook } from 'node:async_hooks'
import { readFile, readdir } from 'node:fs/promises'
import t from 'tap'
import { CircuitBreaker } from '../../../services/resilience/circuit-breaker.ts'
import type { CircuitBreakerOptions, Outcome } from '../../../services/resilience/circuit-breaker.ts'
import { halfOpen, manualBreaker } from './manual-breaker.ts'

t.test('R4.3 options', async t => {
  const refused: Array<[object, RegExp]> = [
    [{ failureRate: 50 }, /Option "failureRate" must be a number from .* to 1, not 50\. Give a share/],
    [{ failureRate: 0 }, /failureRate/],
    [{ windowMs: NaN }, /"windowMs" must be a number from 1 to .*, not NaN/],
    [{ openMs: '1000' }, /"openMs" must be .*, not "1000"/],
    [{ buckets: 2.5 }, /"buckets" must be a whole number/],
    [{ halfOpenProbes: 0 }, /"halfOpenProbes" must be a whole number from 1/],
    [{ name: '' }, /"name" must be a non-empty string/],
    [{ clock: 1 }, /"clock" must be a function, not 1/],
    [{ random: null }, /"random" must be a function, not null/],
    [{ slowCallMs: {} }, /"slowCallMs" must be .*, not an object/],
    [{ openMs: 2000, maxOpenMs: 1000 }, /"maxOpenMs" must be at least openMs \(2000\), not 1000/],
    [{ treshold: 1, failurerate: 1 }, /no option "treshold"/],
    [{ failurerate: 0.5 }, /There is no option "failurerate"\. Did you mean "failureRate"\?/],
    [{ opnMs: 1 }, /Did you mean "openMs"\?/]
  ]
  for (const [options, message] of refused) {
    t.throws(() => new CircuitBreaker(options), { code: 'FST_BRK_BREAKER_OPTION', statusCode: 500, message }, JSON.stringify(options))
  }
  t.throws(() => new CircuitBreaker(null as unknown as object), { code: 'FST_BRK_BREAKER_OPTION', message: /must be an object, not null/ })

  const openMsOf = (options: CircuitBreakerOptions) => {
    const { breaker } = manualBreaker(options)
    breaker.trip('test')
    return breaker.retryAfterMs
  }
  t.equal(openMsOf({ openMs: undefined }), 1000, 'undefined is the default')
  t.equal(openMsOf({ openMs: 60_000 }), 60_000, 'one limit given: the default of the other gives way')
  t.equal(openMsOf({ maxOpenMs: 500 }), 500)
  t.equal(new CircuitBreaker().name, 'circuit')
  t.equal(new CircuitBreaker().state, 'closed', 'works on the real clock and Math.random')
})

t.test('R4 the open error: reused, coded, without a stack', async t => {
  const { breaker, clock } = manualBreaker({ name: 'orders' })
  breaker.trip('test')
  const error = await breaker.run(async () => t.fail('was called')).catch((error: unknown) => error)
  t.equal(error, breaker.openError)
  t.equal(await breaker.run(async () => {}).catch((error: unknown) => error), error)
  t.match(breaker.openError, { code: 'FST_BRK_CIRCUIT_OPEN', statusCode: 503, name: 'FastifyError', notApplied: true, state: 'open', retryAfterMs: 1000 })
  t.match(breaker.openError.message, /"orders"/)
  t.notMatch(breaker.openError.stack, /\n/)
  clock.pass(400)
  t.equal(breaker.openError.retryAfterMs, 600, 'live')
  const seen = Object.keys(breaker.openError)
  t.ok(seen.includes('retryAfterMs') && seen.includes('state'), 'serializers see them')
  breaker.close()
  t.equal(breaker.openError.state, 'closed')
})

t.test('R4.3 run()', async t => {
  t.test('passes results and errors through and counts them', async t => {
    const { breaker, clock } = manualBreaker({ slowCallMs: 100, consecutiveFailures: 3 })
    t.equal(await breaker.run(async () => 7), 7)
    const cause = new Error('refused')
    await t.rejects(breaker.run(async () => { clock.pass(150); throw cause }), cause)
    await t.rejects(breaker.run(() => { throw cause }), cause, 'a synchronous throw is a rejection')
    t.equal(await breaker.run(() => 8 as unknown as Promise<number>), 8)
    t.match(breaker.snapshot(), { calls: 4, failures: 2, slow: 1 })
    for (let call = 0; call < 3; call++) await t.rejects(breaker.run(() => Promise.reject(cause)), cause)
    t.equal(breaker.state, 'open')
  })

  t.test('accepts any thenable', async t => {
    const { breaker } = manualBreaker()
    const thenable = { then: (resolve: (value: string) => void) => { resolve('yes') } }
    t.equal(await breaker.run(() => thenable as unknown as Promise<string>), 'yes')
  })

  t.test('classify decides what a rejection means; null is no evidence', async t => {
    const verdicts: Record<string, Outcome | null> = { syntax: 'neutral', gone: 'fatal', abort: null }
    const classify = (error: unknown) => verdicts[(error as Error).message]!
    const { breaker, clock } = manualBreaker({ classify, halfOpenProbes: 1 })
    const failWith = (message: string) => breaker.run(() => Promise.reject(new Error(message))).catch(() => {})
    await failWith('syntax')
    await failWith('abort')
    t.match(breaker.snapshot(), { calls: 1, neutral: 1, failures: 0 })
    await failWith('gone')
    t.equal(breaker.state, 'open')
    clock.pass(1000)
    await failWith('abort')
    t.ok(breaker.allow(), 'the probe gave its permit back')
    breaker.succeed(1)
    t.equal(breaker.state, 'closed')
  })

  t.test('a classifier that throws does not hide the error', async t => {
    const { breaker } = manualBreaker({ classify: () => { throw new Error('broken classifier') } })
    await t.rejects(breaker.run(() => Promise.reject(new Error('the cause'))), /the cause/)
    t.equal(breaker.snapshot().failures, 1)
  })

  t.test('counts in each closed period, and only calls of that period', async t => {
    const { breaker } = manualBreaker()
    const fails = () => breaker.run(() => Promise.reject(new Error('down'))).catch(() => {})
    const early = fails()
    breaker.reset()
    await early
    t.equal(breaker.snapshot().stale, 1)
    for (let period = 0; period < 3; period++) {
      for (let call = 0; call < 5; call++) await fails()
      t.equal(breaker.lastTransition?.reason, 'consecutive-failures')
      breaker.close()
    }
  })

  t.test('probes settle through run()', async t => {
    const { breaker } = halfOpen()
    await Promise.all([1, 2, 3].map(() => breaker.run(async () => {})))
    t.equal(breaker.state, 'closed')
  })
})

t.test('R4.2 the closed hot path', async t => {
  const { breaker, clock } = manualBreaker()
  clock.reads = 0
  t.ok(breaker.allow())
  t.equal(breaker.state, 'closed')
  t.equal(clock.reads, 0, 'allow() and state read no clock')
  breaker.succeed(1)
  await breaker.run(async () => {})
  t.equal(clock.reads, 2, 'one read for each result')

  const active = process.getActiveResourcesInfo()
  let timers = 0
  const hook = createHook({ init: (_id, type) => { if (type === 'Timeout' || type === 'Immediate') timers++ } }).enable()
  const breakers = Array.from({ length: 100 }, () => new CircuitBreaker({ slowCallMs: 1 }))
  for (const each of breakers) await each.run(async () => {})
  t.equal(timers, 0, 'no timer while closed, not even one that keeps no process alive')
  for (const each of breakers) {
    each.trip('test')
    t.notOk(each.allow())
  }
  hook.disable()
  t.equal(timers, 0, 'nor while open')
  t.same(process.getActiveResourcesInfo(), active)
})

t.test('R4.3 needs neither Fastify nor Redis: nothing but Node, @fastify/error and the nearest name is imported', async t => {
  const folder = new URL('../../../services/resilience/', import.meta.url)
  const files = (await readdir(folder, { recursive: true })).filter(file => file.endsWith('.ts'))
  t.ok(files.length > 10)
  for (const file of files) {
    const source = await readFile(new URL(file, folder), 'utf8')
    for (const [, specifier] of source.matchAll(/from '([^']+)'/g)) {
      const inside = new URL(specifier!, new URL(file, folder)).href.startsWith(folder.href) && specifier!.startsWith('.')
      t.ok(inside || ['@fastify/error', '../naming/nearest.ts'].includes(specifier!), `${file} imports ${specifier}`)
    }
  }
  t.equal((await import('../../../services/resilience/index.ts')).CircuitBreaker, CircuitBreaker)
})
