import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { redisCheck } from '../../../services/health/builtin-checks.ts'
import { RedisGuard } from '../../../services/redis/guard.ts'
import type { GuardOptions } from '../../../services/redis/guard.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { startRedisCluster } from '../../helpers/redis-cluster.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { healthyClusterGuard, keysByShard } from './topologies/worlds.ts'

async function healthyGuard (t: Teardown, url: string, options: Partial<GuardOptions> = {}): Promise<RedisGuard> {
  const guard = new RedisGuard({ target: resolveRedisTarget({ REDIS_URL: url }).target!, commandTimeoutMs: 300, connectTimeoutMs: 500, ...options })
  t.teardown(() => guard.close())
  await until(() => guard.isHealthy())
  return guard
}

const errorOf = async (promise: Promise<unknown>) => await promise.then(() => null, (error) => error)
const config = (server: RedisServer, name: string, value: string) => server.cli('config', 'set', name, value)

async function breakSaving (server: RedisServer): Promise<void> {
  await config(server, 'save', '3600 1000000')
  await server.cli('set', 'changed', 1)
  // Nothing can be renamed to a directory.
  await mkdir(join(server.directory, 'dump.rdb'))
  await server.cli('bgsave')
  await until(async () => /rdb_last_bgsave_status:err/.test(await server.cli('info', 'persistence')))
}

const troubles: { reason: string, begin (server: RedisServer): Promise<unknown>, end (server: RedisServer): Promise<unknown> }[] = [
  { reason: 'OOM', begin: (server) => config(server, 'maxmemory', '1'), end: (server) => config(server, 'maxmemory', '0') },
  { reason: 'READONLY', begin: (server) => server.cli('replicaof', '127.0.0.1', 1), end: (server) => server.cli('replicaof', 'no', 'one') },
  { reason: 'MISCONF', begin: breakSaving, end: (server) => config(server, 'stop-writes-on-bgsave-error', 'no') },
  { reason: 'NOREPLICAS', begin: (server) => config(server, 'min-replicas-to-write', '1'), end: (server) => config(server, 'min-replicas-to-write', '0') }
]

for (const { reason, begin, end } of troubles) {
  t.test(`R3.3 R3.4 ${reason}: reads pass, writes are refused without a socket, and it ends without anybody's write`, async (t) => {
    const server = await startRedis(t)
    await server.cli('set', 'a', 1)
    const logger = memoryLogger()
    const guard = await healthyGuard(t, server.url, { logger })
    const { client } = guard
    let ready = 0
    guard.onReady(() => { ready++ })
    await begin(server)
    for (let count = 0; count < 50 && guard.state.writes === 'closed'; count++) {
      t.match(await errorOf(client.set('b', 1)), { code: 'FST_BRK_REDIS_OVERLOADED', kind: 'overload', reason, notApplied: true })
    }
    t.match(guard.state, { writes: 'open', breaker: 'closed', healthy: false, lastError: { kind: 'overload', code: reason } })
    if (reason === 'READONLY') await until(() => guard.connectionEpoch === 2)

    const { commands, rejected } = guard.stats()
    const refused = { code: 'FST_BRK_CIRCUIT_OPEN', kind: 'overload', reason, side: 'writes', notApplied: true, ambiguous: false }
    t.match(await errorOf(client.set('b', 1)), refused)
    t.match(await errorOf(client.call('Set', 'b', '1') as Promise<unknown>), refused)
    t.strictSame([guard.stats().commands - commands, guard.stats().rejected - rejected], [0, 2], 'no socket')
    t.equal(await client.get('a'), '1')
    t.match(await client.pipeline().get('a').set('b', 1).exists('b').set('c', 1).exec(), [[null, '1'], { 0: refused }, [null, 0], { 0: refused }])
    t.match(await client.pipeline().set('b', 1).set('c', 1).exec(), [{ 0: refused }, { 0: refused }])
    t.match(await errorOf(client.multi().get('a').exec()), refused, 'a transaction as a whole')
    t.match(await errorOf(client.multi({ pipeline: false }) as unknown as Promise<unknown>), refused)
    if (reason !== 'OOM') {
      t.match(await errorOf(client.eval('return 1', 0)), refused)
      t.match(await errorOf(client.del('a')), refused)
    }
    const check = redisCheck(guard)
    t.match(await errorOf(Promise.resolve(check.check(AbortSignal.timeout(5000)))), { kind: 'overload', message: new RegExp(`writes refused: ${reason}`) })
    t.match(check.describe!(), { breaker: 'closed', writes: /open/ })

    const probes = guard.stats().commands
    await end(server)
    await until(() => guard.isHealthy())
    t.equal(guard.stats().commands, probes, 'only questions of ours')
    t.ok(ready >= 1, 'whoever waits is told')
    t.equal(await client.set('b', 1), 'OK')
    t.equal(await server.cli('exists', 'breakwater:probe'), 0)
    t.strictSame([logger.of('warn').filter((line) => line.includes('writes')).length, logger.of('info').filter((line) => line.includes('writes')).length], [1, 1])
  })
}

t.test('a full memory does not stop those who make room: what deletes or takes is sent, and so are scripts', async (t) => {
  const server = await startRedis(t)
  await server.cli('rpush', 'queue', 'a', 'b')
  const guard = await healthyGuard(t, server.url)
  const { client } = guard
  await config(server, 'maxmemory', '1')
  while (guard.state.writes === 'closed') await errorOf(client.set('b', 1))
  t.equal(await client.lpop('queue'), 'a')
  t.equal(await client.eval('return redis.call("llen", KEYS[1])', 1, 'queue'), 1)
  t.equal(await client.del('queue'), 1)
  t.match(await errorOf(client.lpush('queue', 'c')), { side: 'writes' })
})

t.test('a failed save does not look like an outage to the way back: what was lost comes back, for reads', async (t) => {
  const server = await startRedis(t)
  await breakSaving(server)
  const guard = await healthyGuard(t, server.url).catch(() => null)
  const other = new RedisGuard({ target: resolveRedisTarget({ REDIS_URL: server.url }).target!, commandTimeoutMs: 300 })
  t.teardown(() => other.close())
  await until(() => other.state.connection === 'ready')
  other.breaker.trip('test')
  await until(() => other.breaker.state === 'closed')
  t.equal(await other.client.get('changed'), '1')
  t.equal(other.state.writes, 'open', 'a PING has said so')
  await guard?.close()
})

t.test('where the user may not ask, some of his writes find out', async (t) => {
  const server = await startRedis(t)
  await server.cli('acl', 'setuser', 'app', 'on', '>pw', '~*', '+@all', '-eval', '-lpushx')
  const guard = await healthyGuard(t, server.url.replace('//', '//app:pw@'), { breaker: { openMs: 50, maxOpenMs: 100 } })
  await config(server, 'maxmemory', '1')
  while (guard.state.writes === 'closed') await errorOf(guard.client.set('b', 1))
  const codes = new Set<string>()
  await until(async () => codes.add((await errorOf(guard.client.set('b', 1))).code).size === 2)
  t.strictSame([...codes].sort(), ['FST_BRK_CIRCUIT_OPEN', 'FST_BRK_REDIS_OVERLOADED'])
  await config(server, 'maxmemory', '0')
  await until(async () => {
    await errorOf(guard.client.set('b', 1))
    return guard.isHealthy()
  })
})

t.test('by hand: forceClose and reset close both sides', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url, { breaker: { consecutiveFailures: 1, openMs: 60_000, maxOpenMs: 60_000 } })
  for (const close of [() => guard.forceClose(), () => guard.reset()]) {
    await config(server, 'maxmemory', '1')
    await errorOf(guard.client.set('b', 1))
    t.equal(guard.state.writes, 'open')
    close()
    t.match(guard.state, { writes: 'closed', breaker: 'closed' })
  }
})

t.test('some successes among many failures, and the other way round: votes decide', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url, { breaker: { consecutiveFailures: 3 }, retries: 0 })
  const fail = async () => {
    await config(server, 'maxmemory', '1')
    await errorOf(guard.client.set('b', 1))
    await config(server, 'maxmemory', '0')
  }
  for (let round = 0; round < 4; round++) {
    await fail()
    await fail()
    await guard.client.set('b', 1)
  }
  t.equal(guard.state.writes, 'closed', 'never three in a row')
})

t.test('R3.8 in a cluster each shard has its own', async (t) => {
  const cluster = await startRedisCluster(t, { masters: 3 })
  const guard = await healthyClusterGuard(t, cluster)
  const keys = await keysByShard(cluster)
  const [full] = cluster.shards
  await config(full!.master, 'maxmemory', '1')
  while (guard.shards().every(({ writes }) => writes === 'closed')) await errorOf(guard.client.set(keys[0]!, 1))
  t.match(await errorOf(guard.client.set(keys[0]!, 1)), { side: 'writes', reason: 'OOM' })
  t.equal(await guard.client.get(keys[0]!), null)
  t.strictSame([await guard.client.set(keys[1]!, 1), await guard.client.set(keys[2]!, 1)], ['OK', 'OK'])
  t.match(guard.state, { healthy: true, writes: 'closed' }, 'the others take writes')
  t.match(await guard.client.pipeline().get(keys[0]!).set(keys[0]!, 1).exec(), [[null, null], { 0: { side: 'writes' } }])
  await config(full!.master, 'maxmemory', '0')
  await until(() => guard.shards().every(({ writes }) => writes === 'closed'))
  t.equal(await guard.client.set(keys[0]!, 1), 'OK')
})
