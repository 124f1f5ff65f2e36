import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { HealthRegistry } from '../../../services/health/health-registry.ts'
import type { HealthRegistryOptions } from '../../../services/health/health-registry.ts'
import type { CheckResult, CheckStatus, HealthCheck } from '../../../services/health/check.ts'
import { summarise } from '../../../services/health/snapshot.ts'
import { absentRedisCheck, databaseCheck, journalCheck, redisCheck } from '../../../services/health/builtin-checks.ts'
import { until } from '../../helpers/until.ts'

interface Line { level: string, message: string, fields: any }

function build (t: { teardown (fn: () => void): void }, options: Partial<HealthRegistryOptions> = {}) {
  const lines: Line[] = []
  const at = (level: string) => (fields: object, message: string) => { lines.push({ level, message, fields }) }
  const logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
  const health = new HealthRegistry({ logger, ...options })
  t.teardown(() => health.stop())
  return { health, lines }
}

t.test('R7.1 only a failing critical check is unhealthy; what is unknown is never healthy', async (t) => {
  const check = (status: CheckStatus, critical: boolean, seen = true, notReadyReason: string | null = null) =>
    ({ status, critical, shedsLoad: true, ageMs: seen ? 1 : null, latencyMs: null, kind: null, details: null, transitions: 0, notReadyReason })
  const table: [string, ReturnType<typeof check>[], boolean, string, boolean, boolean, string | null][] = [
    ['nothing to check', [], false, 'healthy', true, true, null],
    ['all ok', [check('ok', true), check('ok', false)], false, 'healthy', true, true, null],
    ['soft disabled', [check('ok', true), check('disabled', false)], false, 'healthy', true, true, null],
    ['soft failed', [check('ok', true), check('failed', false)], false, 'degraded', true, true, null],
    ['soft stale', [check('ok', true), check('unknown', false)], false, 'degraded', true, true, null],
    ['soft not seen yet', [check('ok', true), check('unknown', false, false)], false, 'degraded', true, true, null],
    ['critical failed', [check('failed', true), check('ok', false)], false, 'unhealthy', false, false, 'unhealthy'],
    ['critical not seen yet', [check('unknown', true, false)], false, 'degraded', false, false, 'starting'],
    ['critical stale', [check('unknown', true)], false, 'degraded', true, true, null],
    ['overloaded', [check('ok', true), check('failed', false, true, 'overloaded')], false, 'degraded', false, true, 'overloaded'],
    ['overload over', [check('ok', true), check('ok', false, true, 'overloaded')], false, 'healthy', true, true, null],
    ['draining', [check('ok', true)], true, 'healthy', false, false, 'draining'],
    ['draining and broken', [check('failed', true)], true, 'unhealthy', false, false, 'draining'],
    ['overloaded and broken', [check('failed', false, true, 'overloaded'), check('failed', true)], false, 'unhealthy', false, false, 'unhealthy']
  ]
  for (const [title, checks, draining, status, ready, inService, reason] of table) {
    const { checks: _, ...judged } = summarise(Object.fromEntries(checks.entries()), draining)
    t.strictSame(judged, { status, ready, inService, shedding: status === 'unhealthy', reason }, title)
  }
  const full = { ...check('failed', true), shedsLoad: false }
  t.match(summarise({ full }, false), { status: 'unhealthy', ready: false, shedding: false }, 'refuses by itself')
})

t.test('R7.2 checks run in the background and a snapshot causes none', async (t) => {
  let calls = 0
  const { health } = build(t)
  health.start()
  health.start()
  health.register({ name: 'database', critical: true, intervalMs: 60_000, check: async () => { calls++; return { role: 'primary' } } })
  t.match(health.snapshot(), { status: 'degraded', reason: 'starting', checks: { database: { status: 'unknown', ageMs: null, latencyMs: null } } })
  await until(() => health.snapshot().status === 'healthy')
  for (let index = 0; index < 1000; index++) health.snapshot()
  t.equal(calls, 1)
  const { database } = health.snapshot().checks
  t.match(database, { status: 'ok', critical: true, kind: null, details: { role: 'primary' }, transitions: 1 })
  t.ok(database!.ageMs! >= 0 && database!.latencyMs! >= 0)
})

t.test('R7.2 a check that never settles fails at its deadline and does not stop the others', async (t) => {
  const { health } = build(t)
  let healthy = 0
  health.register({ name: 'stuck', critical: false, intervalMs: 10, timeoutMs: 20, check: () => new Promise(() => {}) })
  health.register({ name: 'fine', critical: true, intervalMs: 10, check: async () => { healthy++ } })
  health.start()
  await until(() => health.snapshot().checks.stuck!.status === 'failed')
  t.equal(health.snapshot().checks.stuck!.kind, 'timeout')
  const before = healthy
  await until(() => healthy > before + 3)
  t.equal(health.snapshot().status, 'degraded')
})

t.test('R7.2 a result that grew old is unknown', async (t) => {
  let now = 0
  const { health, lines } = build(t, { clock: () => now, random: () => 0.5, observeMs: 5 })
  health.register({ name: 'database', critical: true, intervalMs: 60_000, timeoutMs: 500, check: async () => {} })
  health.start()
  await until(() => health.snapshot().status === 'healthy')
  now = 120_500
  t.equal(health.snapshot().status, 'healthy', 'two intervals and a timeout are the limit')
  now = 120_501
  await until(() => lines.some(({ level }) => level === 'warn'), 1000)
  t.match(health.snapshot(), { status: 'degraded', ready: true, checks: { database: { status: 'unknown', ageMs: 120_501 } } })
})

t.test('R7.2 a verdict is as fresh as a snapshot, and the same object until a status changes', async (t) => {
  let now = 0
  let result: CheckResult | Error = { status: 'ok' }
  const { health, lines } = build(t, { clock: () => now, random: () => 0.5, observeMs: 60_000 })
  health.register({ name: 'journal', critical: true, read: () => { if (result instanceof Error) throw result; return result } })
  health.register({ name: 'database', critical: true, intervalMs: 60_000, timeoutMs: 500, check: async () => {} })
  const agrees = (title: string) => {
    const { status, ready, inService, reason, checks } = health.snapshot()
    const statuses = Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, check.status]))
    t.strictSame(health.verdict(), { status, ready, inService, reason, checks: statuses }, title)
    t.equal(health.verdict(), health.verdict(), title)
  }
  t.match(health.verdict(), { status: 'degraded', reason: 'starting' })
  agrees('starting')
  health.start()
  await until(() => health.verdict().status === 'healthy')
  agrees('healthy')
  result = { status: 'failed', kind: 'full' }
  t.match(health.verdict(), { status: 'unhealthy', reason: 'unhealthy', checks: { journal: 'failed' } }, 'a read at once')
  t.ok(lines.some(({ level, fields }) => level === 'error' && fields.check === 'journal'), 'and logged')
  agrees('failed')
  result = new Error('broken')
  agrees('throwing')
  result = { status: 'ok' }
  agrees('well again')
  now = 120_501
  t.match(health.verdict(), { status: 'degraded', checks: { database: 'unknown' } }, 'a result that grew old, without a look')
  health.register({ name: 'mailer', critical: false, read: () => ({ status: 'failed' }) })
  t.match(health.verdict().checks, { mailer: 'failed' }, 'a new check')
  health.drain()
  t.match(health.verdict(), { ready: false, inService: false, reason: 'draining' })
  agrees('draining')
})

t.test('R10.5 one line for each transition, with the error, at a level that fits', async (t) => {
  const { health, lines } = build(t)
  let result: CheckResult | Error = { status: 'ok' }
  const read = () => {
    if (result instanceof Error) throw result
    return result
  }
  health.register({ name: 'database', critical: true, read })
  health.register({ name: 'redis', critical: false, read })
  const boom = Object.assign(new Error('boom'), { kind: 'transport' })
  for (const next of [{ status: 'ok' }, boom, boom, { status: 'failed', kind: 'full' }, { status: 'ok' }, { status: 'disabled' }, { status: 'unknown' }] as const) {
    result = next
    for (let index = 0; index < 5; index++) health.snapshot()
  }
  const seen = (name: string) => lines.filter(({ fields }) => fields.check === name).map(({ level, fields }) => `${level} ${fields.from}→${fields.to}`)
  t.strictSame(seen('database'), ['debug null→ok', 'error ok→failed', 'info failed→ok', 'info ok→disabled', 'warn disabled→unknown'])
  t.strictSame(seen('redis'), ['debug null→ok', 'warn ok→failed', 'info failed→ok', 'info ok→disabled', 'warn disabled→unknown'])
  t.match(lines.find(({ level }) => level === 'error'), { fields: { err: boom, kind: 'transport', critical: true }, message: 'health check database: ok → failed' })
  t.equal(health.snapshot().checks.database!.transitions, 5)
})

t.test('R10.5 transitions are logged without anybody asking', async (t) => {
  const { health, lines } = build(t, { observeMs: 5 })
  const result: { status: CheckStatus } = { status: 'ok' }
  let fails = false
  health.register({ name: 'journal', critical: true, read: () => result })
  health.register({ name: 'redis', critical: false, intervalMs: 5, check: async () => { if (fails) throw new Error('gone') } })
  health.start()
  await until(() => lines.length === 2)
  fails = true
  result.status = 'failed'
  await until(() => lines.length === 4)
  t.strictSame(lines.slice(2).map(({ level, fields }) => `${level} ${fields.check}`).sort(), ['error journal', 'warn redis'])
  t.equal(health.snapshot().checks.redis!.kind, 'error')
})

t.test('R7.2 a first failure is logged as such', async (t) => {
  const { health, lines } = build(t)
  health.register({ name: 'redis', critical: false, intervalMs: 60_000, check: () => Promise.reject(new Error('refused')) })
  health.start()
  await until(() => lines.length > 0)
  t.match(lines, [{ level: 'warn', fields: { from: null, to: 'failed', err: { message: 'refused' } } }])
})

t.test('R7.2 stopped, it samples no more and keeps nothing alive', async (t) => {
  let calls = 0
  const { health } = build(t)
  health.register({ name: 'redis', critical: false, intervalMs: 1, check: async () => { calls++ } })
  health.start()
  await until(() => calls > 2)
  health.stop()
  health.stop()
  const stopped = calls
  await turn()
  await until(() => true)
  t.equal(calls, stopped)
  t.notOk(process.getActiveResourcesInfo().includes('Timeout'))
})

t.test('R7.1 a check that is wrong or takes a name twice is refused with a coded error', async (t) => {
  const { health } = build(t)
  const read = () => ({ status: 'ok' as const })
  health.register({ name: 'redis', critical: false, read })
  t.throws(() => health.register({ name: 'redis', critical: true, read }), { code: 'FST_BRK_HEALTH_CHECK_EXISTS', message: /"redis"/ })
  const table: [object, RegExp][] = [
    [{ name: 'Redis://host:6379', critical: false, read }, /lower case/],
    [{ critical: false, read }, /lower case/],
    [{ name: 'a', read }, /critical must be/],
    [{ name: 'a', critical: false }, /either/],
    [{ name: 'a', critical: false, read, check: async () => {} }, /either/],
    [{ name: 'a', critical: false, check: async () => {}, intervalMs: 0 }, /intervalMs must be/],
    [{ name: 'a', critical: false, check: async () => {}, timeoutMs: NaN }, /timeoutMs must be/]
  ]
  for (const [check, message] of table) {
    t.throws(() => health.register(check as HealthCheck), { code: 'FST_BRK_HEALTH_CHECK_INVALID', message })
  }
})

t.test('R7.1 a read that throws something strange is a failure, not a crash', async (t) => {
  const { health } = build(t)
  // eslint-disable-next-line no-throw-literal
  health.register({ name: 'odd', critical: false, read: () => { throw 'text' } })
  t.match(health.snapshot(), { status: 'degraded', checks: { odd: { status: 'failed', kind: 'error' } } })
})

t.test('R7.1 the built-in checks', async (t) => {
  const stats = { pendingRows: 3, pendingBytes: 900, oldestPendingAgeMs: 50, pressure: 'none' as 'none' | 'full' }
  const journal = journalCheck({ durability: 'node', stats: () => stats })
  t.match(journal, { name: 'journal', critical: true })
  t.strictSame(journal.read(), { status: 'ok', details: { durability: 'node', pendingRows: 3, pendingBytes: 900, oldestPendingAgeMs: 50 } })
  stats.pressure = 'full'
  t.match(journal.read(), { status: 'failed', kind: 'full' })
  const lastError = { kind: 'auth', code: 'WRONGPASS', message: 'canary' }
  const redis = redisCheck({ probe: async () => ({}), state: { breaker: 'open', lastError } }, { tls: true, auth: 'token', topology: 'single' })
  t.match(redis, { name: 'redis', critical: false })
  t.ok(redis.timeoutMs! <= 2000, 'R7.2 Redis check ≤ 2 s')
  t.strictSame(redis.describe!(), { tls: true, auth: 'token', topology: 'single', breaker: 'open', lastError: { kind: 'auth', code: 'WRONGPASS' } })
  t.match(absentRedisCheck('disabled').read(), { status: 'disabled' }, 'R1.3')
  t.match(absentRedisCheck('invalid').read(), { status: 'failed', kind: 'configuration' }, 'R1.6')
  t.match(databaseCheck({ check: async () => {} }), { name: 'database', critical: true })
})
