import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { resolveRedisTarget } from '../../services/config/redis/redis-target.ts'
import { RedisGuard } from '../../services/redis/guard.ts'
import { startRedis } from '../../test/helpers/redis-server.ts'
import type { Teardown } from '../../test/helpers/redis-server.ts'
import { states } from '../../test/services/redis/states.ts'
import type { RedisState } from '../../test/services/redis/states.ts'
import { Subject } from '../../test/services/redis/subject-process.ts'

/**
 * What the guard promises, measured: boot, first error, recovery and close in every state of Redis, with the defaults of the service;
 * then what it costs while all is well. `node scripts/bench/redis-guard.ts [part of a state's name]`
 */
const OUTAGES_MS = [500, 3000]
const RECOVERY_LIMIT_MS = 20_000

async function withTeardown<T> (run: (t: Teardown) => Promise<T>): Promise<T> {
  const undo: (() => unknown)[] = []
  try {
    return await run({ teardown: (fn) => { undo.push(fn) } })
  } finally {
    for (const fn of undo.reverse()) await fn()
  }
}

async function measure (state: RedisState, outageMs: number): Promise<Record<string, string>> {
  return await withTeardown(async (t) => {
    const trouble = await state.set(t)
    const subject = new Subject(t, trouble, { bootBudgetMs: 1000 })
    const boot = await subject.boot()
    await trouble.begin?.()
    const first = await subject.attempt()
    await delay(outageMs)
    const again = await subject.attempt()
    await trouble.end?.()
    const recoveryMs = trouble.end === undefined ? null : await subject.recovery(RECOVERY_LIMIT_MS)
    const { closeMs, exitMs } = await subject.close()
    return {
      state: state.name,
      'outage ms': String(outageMs),
      'boot ms': boot.ms.toFixed(0),
      'first error ms': first.ms.toFixed(2),
      code: `${first.code} (${first.kind})`,
      'then ms': again.ms.toFixed(3),
      'recovery ms': recoveryMs === null ? '-' : recoveryMs.toFixed(0),
      'close ms': closeMs.toFixed(0),
      'exit ms': exitMs.toFixed(0)
    }
  })
}

const ROUNDS = 9
const CALLS = 8000

async function sequential (client: Redis): Promise<number> {
  const startedAt = performance.now()
  for (let call = 0; call < CALLS / 4; call++) await client.get('key')
  return (performance.now() - startedAt) / (CALLS / 4)
}

async function concurrent (client: Redis): Promise<number> {
  const startedAt = performance.now()
  const worker = async () => { for (let call = 0; call < CALLS / 100; call++) await client.get('key') }
  await Promise.all(Array.from({ length: 100 }, worker))
  return (performance.now() - startedAt) / CALLS
}

const median = (values: number[]) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!

/** Interleaved rounds, because the machine is never as quiet as one would like; ratios of medians. */
async function overhead (): Promise<Record<string, string>[]> {
  return await withTeardown(async (t) => {
    const server = await startRedis(t)
    const guard = new RedisGuard({ target: resolveRedisTarget({ REDIS_URL: server.url }).target! })
    const plain = new Redis(server.url)
    t.teardown(() => plain.disconnect())
    t.teardown(() => guard.close())
    while (!guard.isHealthy()) await delay(5)
    const rows = []
    for (const [name, run] of [['sequential GET', sequential], ['100 concurrent GET', concurrent]] as const) {
      const figures: { plain: number[], guarded: number[] } = { plain: [], guarded: [] }
      await run(plain)
      await run(guard.client)
      for (let round = 0; round < ROUNDS; round++) {
        figures.plain.push(await run(plain))
        figures.guarded.push(await run(guard.client))
      }
      const [bare, guarded] = [median(figures.plain), median(figures.guarded)]
      rows.push({ load: name, 'ioredis µs': (bare * 1000).toFixed(2), 'guarded µs': (guarded * 1000).toFixed(2), ratio: (guarded / bare).toFixed(3) })
    }
    return rows
  })
}

function printTable (rows: Record<string, string>[]): void {
  const names = Object.keys(rows[0]!)
  console.log(`| ${names.join(' | ')} |\n|${names.map(() => '---').join('|')}|`)
  for (const row of rows) console.log(`| ${names.map((name) => row[name]).join(' | ')} |`)
  console.log()
}

const wanted = process.argv[2] ?? ''
const rows = []
for (const state of states.filter(({ name }) => name.includes(wanted))) {
  for (const outageMs of OUTAGES_MS) rows.push(await measure(state, outageMs))
}
if (rows.length > 0) printTable(rows)
if (wanted === '' || rows.length === 0) printTable(await overhead())
