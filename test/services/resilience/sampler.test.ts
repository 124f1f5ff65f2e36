import { execFile } from 'node:child_process'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import { Sampler } from '../../../services/resilience/sampler.ts'
import type { Sample, SamplerOptions } from '../../../services/resilience/sampler.ts'
import { ManualClock } from './manual-clock.ts'

// A sampler keeps no process alive, not even that of its tests.
const alive = setInterval(() => {}, 1000)
t.teardown(() => clearInterval(alive))

/** Waits, with a bound, until `condition` holds. */
async function until (condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 5000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`timed out waiting for ${what}`)
    await sleep(2)
  }
}

function sampler<T> (options: Partial<SamplerOptions<T>> & Pick<SamplerOptions<T>, 'check'>): Sampler<T> {
  return new Sampler({ name: 'test', intervalMs: 5, timeoutMs: 10, ...options })
}

t.test('R7.2 samples at once, then again and again, until stopped', async t => {
  let checks = 0
  const results: Array<Sample<number>> = []
  const sampled = sampler({ check: async () => ++checks, timeoutMs: 1000, onResult: sample => { results.push(sample) } })
  t.match(sampled.current, { status: 'unknown', value: null, error: null, at: 0, ageMs: Infinity, stale: true })
  sampled.start()
  sampled.start()
  t.equal(checks, 1, 'starting twice is starting once')
  await until(() => results.length >= 4, 'four samples')
  sampled.stop()
  t.match(sampled.current, { status: 'ok', error: null, stale: false })
  t.same(results.slice(0, 4).map(sample => sample.value), [1, 2, 3, 4])
  const stoppedAt = checks
  await sleep(20)
  t.equal(checks, stoppedAt)
})

t.test('R7.2 a check that never settles fails at its deadline; further samples follow, late results do not count', async t => {
  let calls = 0
  let settleFirst = (_: string) => {}
  const signals: AbortSignal[] = []
  const results: Array<Sample<string>> = []
  const sampled = sampler<string>({
    check: signal => {
      signals.push(signal)
      if (++calls === 1) return new Promise(resolve => { settleFirst = resolve })
      return Promise.resolve(`call ${calls}`)
    },
    onResult: sample => { results.push(sample) }
  })
  sampled.start()
  await until(() => results.length >= 6, 'five samples after the one that hangs')
  sampled.stop()
  t.match(results[0], { status: 'failed', value: null, error: { code: 'FST_BRK_SAMPLER_TIMEOUT', message: /"test" did not settle within 10 ms/ } })
  t.ok(signals[0]!.aborted, 'it was told to give up')
  t.equal(signals[0]!.reason, results[0]!.error)
  t.ok(results.slice(1, 6).every(sample => sample.status === 'ok'))
  const { value } = sampled.current
  settleFirst('too late')
  await nextTurn()
  t.equal(sampled.current.value, value)
})

t.test('R7.2 checks never overlap: a sample under way is shared', async t => {
  let running = 0
  let most = 0
  let checks = 0
  const sampled = sampler({
    intervalMs: 1,
    timeoutMs: 1000,
    check: async () => {
      checks++
      most = Math.max(most, ++running)
      await sleep(6)
      running--
    }
  })
  sampled.start()
  const [first, second] = await Promise.all([sampled.sampleNow(), sampled.sampleNow()])
  t.equal(first, second)
  for (let call = 0; call < 5; call++) await sampled.sampleNow()
  sampled.stop()
  t.equal(most, 1)
  t.ok(checks >= 3)
})

t.test('checks that hang for ever are spaced out, so they do not pile up; the first answer ends that', async t => {
  let calls = 0
  let healthy = false
  const sampled = sampler({ timeoutMs: 1, check: () => { calls++; return healthy ? Promise.resolve() : new Promise(() => {}) } })
  const errors: unknown[] = []
  for (let sample = 0; sample < 40; sample++) errors.push((await sampled.sampleNow()).error)
  t.ok(calls > 8 && calls < 14, `${calls} calls for 40 samples`)
  t.match(errors[8], { code: 'FST_BRK_SAMPLER_HUNG', message: /8 earlier calls/ })
  healthy = true
  let needed = 0
  while ((await sampled.sampleNow()).status !== 'ok') needed++
  t.ok(needed <= 64, `well again after ${needed} samples`)
  for (let sample = 0; sample < 20; sample++) t.equal((await sampled.sampleNow()).status, 'ok')
})

t.test('a hung check that settles after all is not held against the next', async t => {
  const settle: Array<() => void> = []
  const sampled = sampler({ timeoutMs: 1, check: () => new Promise<void>(resolve => { settle.push(resolve) }) })
  for (let sample = 0; sample < 30; sample++) {
    t.match((await sampled.sampleNow()).error, { code: 'FST_BRK_SAMPLER_TIMEOUT' })
    settle.pop()!()
    await nextTurn()
  }
})

t.test('whatever a check throws is a failed sample with an Error', async t => {
  const failWith = async (check: () => Promise<void>) => sampler({ check }).sampleNow()
  t.match(await failWith(() => Promise.reject(new Error('down'))), { status: 'failed', value: null, error: { message: 'down' } })
  t.match(await failWith(() => { throw new Error('sync') }), { status: 'failed', error: { message: 'sync' } })
  // eslint-disable-next-line prefer-promise-reject-errors
  const odd = await failWith(() => Promise.reject('a string'))
  t.ok(odd.error instanceof Error)
  t.match(odd.error, { message: 'a string', cause: 'a string' })
})

t.test('R7.2 a stale result reads unknown, never healthy', async t => {
  const clock = new ManualClock()
  const check = async () => {
    clock.pass(123)
    return 'fine'
  }
  const sampled = new Sampler({ name: 'test', check, intervalMs: 2000, timeoutMs: 500, clock: clock.read })
  t.equal((await sampled.sampleNow()).latencyMs, 123)
  clock.pass(4500)
  t.match(sampled.current, { status: 'ok', value: 'fine', ageMs: 4500, stale: false })
  clock.pass(1)
  t.match(sampled.current, { status: 'unknown', value: 'fine', ageMs: 4501, stale: true })
})

t.test('R7.2 the pause has jitter on both sides', async t => {
  const gapsWith = async (random: number) => {
    const times: number[] = []
    const sampled = sampler({ intervalMs: 80, jitter: 0.5, random: () => random, timeoutMs: 1000, check: async () => { times.push(performance.now()) } })
    sampled.start()
    await until(() => times.length >= 4, 'four samples')
    sampled.stop()
    return Math.min(...times.slice(1).map((time, index) => time - times[index]!))
  }
  const [shortest, longest] = await Promise.all([gapsWith(0), gapsWith(0.999)])
  t.ok(shortest >= 38 && shortest < 80, `${shortest} ms is half the interval`)
  t.ok(longest >= 115, `${longest} ms is one and a half`)
})

t.test('tells when the status changes, and survives listeners that throw', async t => {
  let answer: () => Promise<void> = async () => {}
  const sampled = sampler({ check: () => answer(), onResult: () => { throw new Error('not mine') } })
  const changes: string[] = []
  const warned = new Promise(resolve => process.once('warning', resolve))
  const stop = sampled.onChange(sample => { changes.push(sample.status) })
  await sampled.sampleNow()
  await sampled.sampleNow()
  answer = () => Promise.reject(new Error('down'))
  await sampled.sampleNow()
  await sampled.sampleNow()
  stop()
  answer = async () => {}
  await sampled.sampleNow()
  t.same(changes, ['ok', 'failed'])
  t.match(await warned, { code: 'FST_BRK_LISTENER', message: /onResult of the sampler "test"/ })
})

t.test('stop() aborts the check under way and keeps no sample of it; start() samples at once again', async t => {
  const signals: AbortSignal[] = []
  const results: Array<Sample<unknown>> = []
  const sampled = sampler({
    timeoutMs: 10_000,
    intervalMs: 10_000,
    check: signal => {
      signals.push(signal)
      return sleep(10_000, undefined, { signal })
    },
    onResult: sample => { results.push(sample) }
  })
  sampled.stop()
  sampled.start()
  const underWay = sampled.sampleNow()
  sampled.stop()
  sampled.start()
  t.equal(signals.length, 2)
  t.match(await underWay, { status: 'failed', error: { code: 'FST_BRK_SAMPLER_STOPPED' } })
  t.ok(signals[0]!.aborted)
  t.equal(results.length, 0)
  t.equal(sampled.current.status, 'unknown')
  sampled.stop()
})

t.test('stopped and started again, however often, it samples at the same pace', async t => {
  let checks = 0
  const sampled = sampler({ intervalMs: 25, timeoutMs: 1000, check: async () => { checks++ } })
  for (let restart = 0; restart < 20; restart++) {
    sampled.start()
    sampled.stop()
  }
  sampled.start()
  await sleep(1)
  checks = 0
  await sleep(200)
  sampled.stop()
  t.ok(checks >= 1 && checks <= 12, `${checks} checks in 200 ms`)
  const stopsItself: Sampler<void> = sampler({ check: async () => stopsItself.stop() })
  t.match((await stopsItself.sampleNow()).error, { code: 'FST_BRK_SAMPLER_STOPPED' })
})

t.test('when our own event loop stood still, a check gets its time once more', async t => {
  const block = (ms: number) => {
    const end = performance.now() + ms
    while (performance.now() < end);
  }
  const answers = sampler({ timeoutMs: 40, check: async () => { await sleep(1); block(120); await sleep(20); return 'slow loop' } })
  t.match(await answers.sampleNow(), { status: 'ok', value: 'slow loop' })
  // Once, not for ever: here the loop stands still again and again.
  const blocker = setInterval(block, 1, 90)
  const hangs = sampler({ timeoutMs: 40, check: () => new Promise(() => {}) })
  const sample = await Promise.race([hangs.sampleNow(), sleep(3000)])
  clearInterval(blocker)
  t.match(sample, { status: 'failed', error: { code: 'FST_BRK_SAMPLER_TIMEOUT' } })
})

t.test('R7.2 does not keep the process alive', async t => {
  const program = `
    import { Sampler } from ${JSON.stringify(new URL('../../../services/resilience/sampler.ts', import.meta.url).href)}
    new Sampler({ name: 'hangs', check: () => new Promise(() => {}) }).start()
    new Sampler({ name: 'answers', check: async () => {} }).start()`
  const startedAt = performance.now()
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { timeout: 20_000 })
  t.ok(performance.now() - startedAt < 20_000)
})

t.test('options are checked', async t => {
  const refuses = (options: object, message: RegExp) => {
    t.throws(() => new Sampler(options as SamplerOptions<void>), { code: 'FST_BRK_SAMPLER_OPTION', message })
  }
  const check = async () => {}
  refuses({ check }, /"name" must be a non-empty string, not undefined/)
  refuses({ name: 'a' }, /"check" must be a function, not undefined/)
  refuses({ name: 'a', check, intervalMs: 0 }, /"intervalMs" must be a number from 1/)
  refuses({ name: 'a', check, jitter: 10 }, /Give a share, not per cent/)
  refuses({ name: 'a', check, timeout: 5 }, /Did you mean "timeoutMs"/)
})
