import t from 'tap'
import { farewell, states } from './states.ts'
import { Subject, subjectOptions } from './subject-process.ts'

/** Liveness, not performance: what the requirement promises, and some air for a busy machine. */
const AIR_MS = 500
const CLOSE_MS = 1000
const RECOVERY_MS = 15_000

for (const state of states) {
  t.test(`R3.2 R3.3 I7 ${state.name}: boot, first error, recovery and close are bounded`, async (t) => {
    const trouble = await state.set(t)
    const subject = new Subject(t, trouble)
    const boot = await subject.boot()
    t.ok(boot.ms < subjectOptions.bootBudgetMs + AIR_MS, `boots in ${boot.ms.toFixed(0)} ms`)
    t.ok(boot.has, '@fastify/redis knows that it is registered')

    await trouble.begin?.()
    const first = await subject.attempt()
    t.ok(first.ms < subjectOptions.commandTimeoutMs + AIR_MS, `fails in ${first.ms.toFixed(1)} ms`)
    t.match(first, { code: trouble.code, kind: trouble.kind })
    if (trouble.notApplied) t.match(first, { notApplied: first.ambiguous === false })
    else t.match(first, { notApplied: false, ambiguous: true })
    t.notMatch(first.text, /s3cret/, 'I6 no secret in an error')
    let open = await subject.attempt()
    for (let more = 0; more < 10 && open.code !== 'FST_BRK_CIRCUIT_OPEN' && open.code !== 'FST_BRK_REDIS_NOT_CONNECTED'; more++) open = await subject.attempt()
    t.match(open, { code: /^FST_BRK_(CIRCUIT_OPEN|REDIS_NOT_CONNECTED)$/, notApplied: true }, 'R3.4 then nothing is sent')

    if (trouble.end !== undefined) {
      await trouble.end()
      t.ok(await subject.recovery(RECOVERY_MS) < RECOVERY_MS, 'recovers')
    }
    const { closeMs, exitMs, exitCode, stderr } = await subject.close()
    t.ok(closeMs < CLOSE_MS, `closes in ${closeMs.toFixed(0)} ms`)
    t.equal(exitCode, 0, `and the process ends by itself ${exitMs.toFixed(0)} ms later`)
    t.equal(stderr, '', 'nothing unhandled, nothing printed')
  })
}

for (const state of [...states, farewell].filter(({ name }) => /refused|frozen|black|never answers|unknown host|wrong pass|unknown auth|LOADING|quit/.test(name))) {
  t.test(`R3.2 I7 ${state.name}: closes in the middle of the trouble; a budget of 0 does not wait at all`, async (t) => {
    const trouble = await state.set(t)
    const subject = new Subject(t, trouble, { ...subjectOptions, bootBudgetMs: 0 })
    const boot = await subject.boot()
    t.ok(boot.ms < AIR_MS)
    if (trouble.begin !== undefined) await subject.recovery(RECOVERY_MS)
    await trouble.begin?.()
    const pending = subject.attempt().catch(() => {})
    const { closeMs, exitCode, stderr } = await subject.close()
    await pending
    t.ok(closeMs < CLOSE_MS, `closes in ${closeMs.toFixed(0)} ms`)
    t.equal(exitCode, 0)
    t.equal(stderr, '')
  })
}
