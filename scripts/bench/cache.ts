import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { Cache } from '../../services/cache/cache.ts'
import type { CacheStatistics } from '../../services/cache/cache.ts'
import { resolveRedisTarget } from '../../services/config/redis/redis-target.ts'
import { RedisGuard } from '../../services/redis/guard.ts'
import { startFaultProxy } from '../../test/helpers/fault-proxy.ts'
import { startRedis } from '../../test/helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../../test/helpers/redis-server.ts'
import { until } from '../../test/helpers/until.ts'
import { startSlowProxy } from '../../test/helpers/slow-proxy.ts'

/**
 * What `cache.wrap` adds to its origin in each state of Redis: both are called in turn by the same callers in the same run, so that a
 * busy machine burdens both alike. An outage begins as the measurement does. `node scripts/bench/cache.ts [part of a state's name, or costs]`
 */
const RUN_MS = 4000
const WORKERS = 20
const ORIGIN_MS = 5
/** By then the first calls have waited in vain. */
const FIRST_MS = 100

interface State {
  name: string
  /** Keys that are asked for; 0: another one each time. */
  keys?: number
  memoryBytes?: number
  set (t: Teardown, server: RedisServer): Promise<{ port: number, begin?: () => unknown }> | { port: number, begin?: () => unknown }
}

const states: State[] = [
  { name: 'well, all hits', keys: 20, set: (_, { port }) => ({ port }) },
  { name: 'well, all misses', set: (_, { port }) => ({ port }) },
  { name: 'killed', set: (_, server) => ({ port: server.port, begin: () => server.kill() }) },
  { name: 'frozen', set: (_, server) => ({ port: server.port, begin: () => server.freeze() }) },
  { name: 'frozen, remembered', keys: 20, memoryBytes: 1024 ** 2, set: (_, server) => ({ port: server.port, begin: () => server.freeze() }) },
  {
    name: 'black hole',
    async set (t, server) {
      const proxy = await startFaultProxy(t, server.port)
      return { port: proxy.port, begin: () => { proxy.fault = 'blackhole' } }
    }
  },
  ...[10, 30, 200].map((slowMs): State => ({
    name: `${slowMs} ms slow`,
    async set (t, server) {
      let delayMs = 0
      const port = await startSlowProxy(t, server.port, () => delayMs)
      return { port, begin: () => { delayMs = slowMs } }
    }
  }))
]

const origin = async () => await delay(ORIGIN_MS, 'value')

async function withTeardown<T> (run: (t: Teardown) => Promise<T>): Promise<T> {
  const undo: (() => unknown)[] = []
  try {
    return await run({ teardown: (fn) => { undo.push(fn) } })
  } finally {
    for (const fn of undo.reverse()) await fn()
  }
}

async function connect (t: Teardown, port: number, memoryBytes = 0): Promise<{ cache: Cache, guard: RedisGuard }> {
  const guard = new RedisGuard({ target: resolveRedisTarget({ REDIS_URL: `redis://127.0.0.1:${port}` }).target! })
  t.teardown(() => guard.close())
  const cache = new Cache({ client: guard.client, available: () => guard.isHealthy(), onAvailable: (listener) => guard.onReady(listener), memoryBytes, lockMs: 0 })
  t.teardown(() => cache.close())
  await until(() => guard.isHealthy())
  return { cache, guard }
}

interface Call { at: number, ms: number }
interface Calls { bare: Call[], wrapped: Call[] }

async function clock (calls: Call[], run: () => Promise<unknown>): Promise<void> {
  const at = performance.now()
  await run()
  calls.push({ at, ms: performance.now() - at })
}

let loads = 0

async function load (cache: Cache, keys: number, forMs: number): Promise<Calls> {
  const calls: Calls = { bare: [], wrapped: [] }
  const endAt = performance.now() + forMs
  const run = loads++
  const worker = async (_: unknown, id: number) => {
    for (let round = id; performance.now() < endAt; round++) {
      const key = keys === 0 ? `${run}:${id}:${round}` : String(round % keys)
      const runs = [() => clock(calls.bare, origin), () => clock(calls.wrapped, () => cache.wrap(key, { ttlMs: 600_000 }, origin))]
      for (const call of round % 2 === 0 ? runs : runs.reverse()) await call()
    }
  }
  await Promise.all(Array.from({ length: WORKERS }, worker))
  return calls
}

const share = (values: number[], part: number) => values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))]!

function row (name: string, { bare, wrapped }: Calls, before: CacheStatistics, after: CacheStatistics): Record<string, string> {
  const of = (part: number, after = 0) => [bare, wrapped].map((calls) => share(calls.filter(({ at }) => at > after).map(({ ms }) => ms), part)) as [number, number]
  const [[bareHalf, half], [bareMost, most], [bareLater, later]] = [of(0.5), of(0.99), of(0.99, wrapped[0]!.at + FIRST_MS)]
  return {
    Redis: name,
    calls: String(wrapped.length),
    'origin p50': bareHalf.toFixed(2),
    'wrap p50': half.toFixed(2),
    'added p50': (half - bareHalf).toFixed(2),
    'ratio p50': (half / bareHalf).toFixed(3),
    'origin p99': bareMost.toFixed(2),
    'wrap p99': most.toFixed(2),
    'added p99': (most - bareMost).toFixed(2),
    'after the first 100 ms': (later - bareLater).toFixed(2),
    'origin calls': String(after.originCalls - before.originCalls),
    bypassed: String(after.bypassed - before.bypassed)
  }
}

async function measure (state: State): Promise<Record<string, string>> {
  return await withTeardown(async (t) => {
    const server = await startRedis(t)
    const { port, begin } = await state.set(t, server)
    const { cache } = await connect(t, port, state.memoryBytes)
    await load(cache, state.keys ?? 0, 500)
    const before = cache.stats()
    await begin?.()
    return row(state.name, await load(cache, state.keys ?? 0, RUN_MS), before, cache.stats())
  })
}

/** What one call costs that need not wait for anything, sequentially. */
async function cost (name: string, cache: Cache, key: (call: number) => string): Promise<Record<string, string>> {
  const rounds: number[] = []
  for (let round = 0; round < 7; round++) {
    const from = performance.now()
    for (let call = 0; call < 5000; call++) {
      await cache.wrap(key(call), {}, () => 1)
      // Calls that wait for nothing would keep Redis from being heard.
      if (call % 50 === 0) await turn()
    }
    rounds.push((performance.now() - from) / 5)
  }
  return { 'one call of wrap': name, µs: share(rounds, 0.5).toFixed(2) }
}

async function costs (): Promise<Record<string, string>[]> {
  return await withTeardown(async (t) => {
    const server = await startRedis(t)
    const { cache, guard } = await connect(t, server.port)
    const remembering = await connect(t, server.port, 1024 ** 2)
    await remembering.cache.wrap('key', {}, () => 1)
    await cost('to warm up', new Cache({ client: null }), String)
    const rows = [await cost('Redis disabled', new Cache({ client: null }), String), await cost('a hit in Redis, there and back', cache, () => 'key')]
    await server.kill()
    await until(() => !guard.isHealthy() && !remembering.guard.isHealthy())
    return [...rows, await cost('Redis is out', cache, String), await cost('Redis is out, remembered', remembering.cache, () => 'key')]
  })
}

async function herd (): Promise<Record<string, string>> {
  return await withTeardown(async (t) => {
    const server = await startRedis(t)
    const fleet = await Promise.all([1, 2, 3].map(() => connect(t, server.port)))
    await server.kill()
    await until(() => fleet.every(({ guard }) => !guard.isHealthy()))
    await server.restart()
    await until(() => fleet.every(({ guard }) => guard.isHealthy()))
    let calls = 0
    const slow = async () => { calls++; return await delay(50, 'value') }
    const asked = fleet.flatMap(({ cache }) => Array.from({ length: 3000 }, (_, index) => cache.wrap(String(index % 100), { lockMs: 1000 }, slow)))
    await Promise.all(asked)
    return { 'at the return of an empty Redis': '3 processes’ caches', keys: '100', 'calls of wrap': String(asked.length), 'calls of the origin': String(calls) }
  })
}

function printTable (rows: Record<string, string>[]): void {
  const names = Object.keys(rows[0]!)
  console.log(`| ${names.join(' | ')} |\n|${names.map(() => '---').join('|')}|`)
  for (const line of rows) console.log(`| ${names.map((name) => line[name]).join(' | ')} |`)
  console.log()
}

const wanted = process.argv[2] ?? ''
const rows = []
for (const state of states.filter(({ name }) => name.includes(wanted))) rows.push(await measure(state))
if (rows.length > 0) printTable(rows)
if ('costs and herd'.includes(wanted)) {
  printTable(await costs())
  printTable([await herd()])
}
