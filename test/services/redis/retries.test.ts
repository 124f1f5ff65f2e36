import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { RedisGuard } from '../../../services/redis/guard.ts'
import type { GuardOptions } from '../../../services/redis/guard.ts'
import { startFaultProxy } from '../../helpers/fault-proxy.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { startRedisCluster } from '../../helpers/redis-cluster.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { healthyClusterGuard, keysByShard } from './topologies/worlds.ts'

async function healthyGuard (t: Teardown, url: string, options: Partial<GuardOptions> = {}): Promise<RedisGuard> {
  const guard = new RedisGuard({ target: resolveRedisTarget({ REDIS_URL: url }).target!, commandTimeoutMs: 500, connectTimeoutMs: 500, ...options })
  t.teardown(() => guard.close())
  await until(() => guard.isHealthy())
  return guard
}

const errorOf = async (promise: Promise<unknown>) => await promise.then(() => null, (error) => error)
const calls = async (server: RedisServer, command: string) => Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await server.cli('info', 'commandstats'))?.[1] ?? 0)
/** So patient that only retries are looked at. */
const patient = { consecutiveFailures: 100_000, minimumCalls: 100_000 }

t.test('R3.5 a connection that is cut is invisible to who reads; who writes is told, and nothing is written twice', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url, { commandTimeoutMs: 3000 })
  const readFailures: any[] = []
  const writeFailures: any[] = []
  let written = 0
  const stop = new AbortController()
  const read = async () => { while (!stop.signal.aborted) await guard.client.get('n').catch(async (error) => { readFailures.push(error); await delay(5) }) }
  const write = async () => { while (!stop.signal.aborted) await guard.client.incr('n').then(() => { written++ }, async (error) => { writeFailures.push(error); await delay(5) }) }
  const load = Promise.all([read(), read(), read(), write(), write()])
  for (let round = 1; round <= 5; round++) {
    await delay(50)
    await server.cli('client', 'kill', 'type', 'normal')
    await until(() => guard.connectionEpoch === round + 1 && guard.isHealthy())
  }
  await delay(50)
  stop.abort()
  await load
  // A command that comes while there is no connection was never sent: it is refused at once, as ever.
  t.strictSame(readFailures.filter(({ notApplied }) => notApplied !== true), [])
  const inDoubt = writeFailures.filter(({ ambiguous }) => ambiguous === true)
  for (const error of inDoubt) t.equal(error.code, 'FST_BRK_REDIS_CONNECTION_LOST')
  const applied = Number(await server.cli('get', 'n'))
  t.ok(applied >= written && applied <= written + inDoubt.length, 'I2 each write that is in doubt was applied once or not at all')
  t.ok(guard.stats().retries > 0)
})

t.test('R3.5 what Redis has certainly not executed is tried again, whatever it is; logged at debug and counted', async (t) => {
  const server = await startRedis(t)
  const logger = memoryLogger()
  const guard = await healthyGuard(t, server.url, { logger, breaker: patient, retries: 20, random: () => 0.5 })
  await server.cli('config', 'set', 'maxmemory', '1')
  const pushed = guard.client.lpush('list', 'x')
  await until(() => guard.stats().retries > 0)
  await server.cli('config', 'set', 'maxmemory', '0')
  t.equal(await pushed, 1)
  t.equal(await server.cli('llen', 'list'), 1)
  t.match(guard.stats(), { commands: 1, failures: { overload: 0 } })
  const lines = logger.lines.filter(({ message }) => message === 'a Redis command is tried again')
  t.equal(lines.length, guard.stats().retries)
  t.match(lines[0], { level: 'debug', details: { command: 'lpush', attempt: 1, reason: 'OOM', delayMs: Number } })
})

t.test('R3.5 not more often than stated, and then the error of Redis', async (t) => {
  const server = await startRedis(t, { args: ['--maxmemory', '1'] })
  for (const retries of [0, 1, 2]) {
    const guard = await healthyGuard(t, server.url, { retries, breaker: patient })
    t.match(await errorOf(guard.client.set('a', 1)), { code: 'FST_BRK_REDIS_OVERLOADED', reason: 'OOM', notApplied: true })
    t.match(guard.stats(), { retries, failures: { overload: 1 } })
    await guard.close()
  }
})

t.test('R3.5 never: pipelines, transactions, calls that block, and what comes between MULTI and EXEC', async (t) => {
  const server = await startRedis(t, { args: ['--maxmemory', '1'] })
  const guard = await healthyGuard(t, server.url, { breaker: patient })
  const { client } = guard
  await client.pipeline().set('a', 1).set('b', 1).exec()
  await errorOf(client.multi().set('a', 1).exec())
  await errorOf(client.multi({ pipeline: false }) as unknown as Promise<unknown>)
  await errorOf(client.set('a', 1))
  await errorOf(client.exec())
  await errorOf(client.blmove('a', 'b', 'LEFT', 'RIGHT', 0.01))
  t.equal(guard.stats().retries, 0)
})

t.test('R3.5 what may have been executed: reads by default, with the option what leaves the same, and never what adds', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  for (const retryAmbiguous of ['read', 'idempotent'] as const) {
    const guard = await healthyGuard(t, `redis://127.0.0.1:${proxy.port}`, { retryAmbiguous, commandTimeoutMs: 3000 })
    server.freeze()
    const results = [guard.client.get('a'), guard.client.set('a', 1), guard.client.set('a', 1, 'NX'), guard.client.incr('n')].map(errorOf)
    await delay(20)
    proxy.fault = 'reset'
    await delay(20)
    proxy.fault = 'pass'
    server.thaw()
    const lost = 'FST_BRK_REDIS_CONNECTION_LOST'
    t.strictSame((await Promise.all(results)).map((error) => error?.code ?? 'repeated'), ['repeated', retryAmbiguous === 'read' ? lost : 'repeated', lost, lost], retryAmbiguous)
    await guard.close()
  }
})

t.test('R3.5 all within the one deadline, also while the circuit is open; the caller gets the error of the attempt', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const guard = await healthyGuard(t, `redis://127.0.0.1:${proxy.port}`, { commandTimeoutMs: 400 })
  server.freeze()
  const startedAt = performance.now()
  const reading = errorOf(guard.client.get('a'))
  await delay(20)
  proxy.fault = 'refuse'
  t.match(await reading, { code: 'FST_BRK_REDIS_CONNECTION_LOST', ambiguous: true })
  const tookMs = performance.now() - startedAt
  t.ok(tookMs >= 390 && tookMs < 1500, `${Math.round(tookMs)} ms`)
  t.match(guard.stats(), { retries: 1, timeouts: 0, failures: { transport: 1 } })
  server.thaw()
})

t.test('R3.5 the budget: what fails is not multiplied, and spawned connections share it', async (t) => {
  const server = await startRedis(t, { args: ['--maxmemory', '1'] })
  const guard = await healthyGuard(t, server.url, { breaker: patient, random: () => 0.01 })
  const worker = guard.spawn('worker')
  await until(() => worker.isHealthy())
  await Promise.all(Array.from({ length: 200 }, async (_, index) => await errorOf((index % 2 === 0 ? guard : worker).client.set('a', index))))
  const [one, two] = [guard.stats(), worker.stats()]
  t.equal(one.retries + two.retries, 100, '500 tokens, five for each')
  t.ok(one.retriesRefused > 0 && two.retriesRefused > 0)
  await Promise.all(Array.from({ length: 50 }, () => guard.client.get('a')))
  await errorOf(guard.client.set('a', 1))
  t.ok(guard.stats().retries + worker.stats().retries > 100, 'what succeeds pays for it')
  t.equal(await calls(server, 'set') < 400, true)
})

t.test('R3.2 closing settles what waits to be tried again', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const guard = await healthyGuard(t, `redis://127.0.0.1:${proxy.port}`, { commandTimeoutMs: 60_000, connectTimeoutMs: 500 })
  server.freeze()
  const reading = errorOf(guard.client.get('a'))
  await delay(20)
  proxy.fault = 'refuse'
  await until(() => guard.stats().retries === 1)
  await guard.close()
  t.match(await reading, { code: 'FST_BRK_REDIS_CONNECTION_LOST' })
  server.thaw()
})

t.test('R3.5 R3.8 in a cluster a node that cuts its connections is invisible to who reads', async (t) => {
  const cluster = await startRedisCluster(t, { masters: 3 })
  const guard = await healthyClusterGuard(t, cluster, { commandTimeoutMs: 2000 })
  const [key] = await keysByShard(cluster)
  const failures: any[] = []
  const stop = new AbortController()
  const load = (async () => { while (!stop.signal.aborted) await guard.client.get(key!).catch(async (error) => { failures.push(error); await delay(5) }) })()
  await delay(50)
  await cluster.shards[0]!.master.cli('client', 'kill', 'type', 'normal')
  await until(() => guard.stats().retries > 0)
  await until(() => guard.shards().every(({ connection }) => connection === 'ready'))
  await delay(100)
  stop.abort()
  await load
  t.strictSame(failures.filter(({ notApplied }) => notApplied !== true), [])
})
