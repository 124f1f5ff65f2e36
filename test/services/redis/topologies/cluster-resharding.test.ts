import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { startRedisCluster } from '../../../helpers/redis-cluster.ts'
import type { RedisCluster } from '../../../helpers/redis-cluster.ts'
import { until } from '../../../helpers/until.ts'
import { Load } from './load.ts'
import { healthyClusterGuard, keysByShard, migrate } from './worlds.ts'

const COMMAND_TIMEOUT_MS = 2000
/** For a machine with other things to do. */
const AIR_MS = 250

t.test('R3.8 slots that move under load: redirections are followed, bounded and counted once, and nothing is lost or doubled', async (t) => {
  const cluster = await startRedisCluster(t)
  // What a busy machine keeps waiting is not what is looked at here.
  const guard = await healthyClusterGuard(t, cluster, { commandTimeoutMs: COMMAND_TIMEOUT_MS })
  const keys = await keysByShard(cluster)
  const slot = await cluster.slotOf(keys[0]!)
  const [one, , three] = cluster.shards.map(({ master }) => master)
  // Keys of one slot, so that there is something to move piece by piece, and commands with keys on both sides.
  const tagged = Array.from({ length: 10 }, (_, index) => `{${keys[0]}}:${index}`)
  const load = new Load(guard, [...keys, ...tagged], { workersPerKey: 1 })
  t.teardown(() => load.stop())
  const pairs = { done: 0, failed: [] as unknown[], transactionsFailed: [] as unknown[] }
  const stop = new AbortController()
  t.teardown(() => stop.abort())
  const pairing = (async () => {
    while (!stop.signal.aborted) {
      await guard.client.mget(tagged[0]!, tagged[9]!).then(() => { pairs.done++ }, (error) => pairs.failed.push(error))
      await delay(1)
      await guard.client.multi().incr(`{${keys[0]}}:multi`).incr(`{${keys[0]}}:multi`).exec().then(() => { pairs.done++ }, (error) => pairs.transactionsFailed.push(error))
    }
  })()
  await until(() => load.accounts.every(({ acknowledged }) => acknowledged > 10))
  const questions = async () => Number(/cmdstat_cluster\|slots:calls=(\d+)/.exec((await Promise.all(cluster.nodes.map((node) => node.cli('info', 'commandstats')))).join())?.[1] ?? 0)
  const before = await questions()
  const startedAt = performance.now()
  for (const [from, to] of [[one, three], [three, one], [one, three]] as const) await migrate(cluster, slot, from!, to!, () => delay(15))
  const seconds = (performance.now() - startedAt) / 1000
  const sofar = load.accounts.map(({ acknowledged }) => acknowledged)
  await until(() => load.accounts.every(({ acknowledged }, index) => acknowledged > sofar[index]! + 10))
  stop.abort()
  await Promise.all([load.stop(), pairing])
  t.ok(await questions() - before < seconds * 15 + 15, 'a storm of redirections asks for the slots at most ten times a second')
  for (const account of load.accounts) {
    const value = Number(await guard.client.get(account.key))
    t.ok(account.acknowledged <= value && value <= account.acknowledged + account.ambiguous, `${JSON.stringify(account)}: ${value}`)
  }
  t.equal(load.accounts.reduce((sum, { ambiguous }) => sum + ambiguous, 0), 0, `a move leaves no doubt about anything ${JSON.stringify([...load.codes])}`)
  t.ok(pairs.done > 20)
  t.strictSame(pairs.failed.filter((error) => !/^FST_BRK_REDIS_(OVERLOADED|NOT_SENT|TIMEOUT)$/.test((error as { code: string }).code)), [], 'with keys on both sides there is no answer for a while')
  t.strictSame(pairs.transactionsFailed.filter((error) => (error as { notApplied?: boolean }).notApplied !== true), [])
  t.ok(load.slowestMs < COMMAND_TIMEOUT_MS + AIR_MS)
  t.ok(guard.shards().every(({ breaker }) => breaker === 'closed'))
  t.equal(guard.stats().failures.configuration, 0, 'no redirection is a failure')
})

t.test('R3.8 one slot that has moved redirects no other slot', async (t) => {
  const cluster = await startRedisCluster(t)
  const guard = await healthyClusterGuard(t, cluster)
  const [one, , three] = cluster.shards as [RedisCluster['shards'][number], unknown, RedisCluster['shards'][number]]
  const [moving, staying] = await keysOf(cluster, one, 2) as [string, string]
  await migrate(cluster, await cluster.slotOf(moving), one.master, three.master, async () => {})
  // At once: soon after the redirection the whole table is new.
  t.strictSame([await guard.client.get(moving), await guard.client.get(staying)], [null, null])
  t.notMatch(await three.master.cli('info', 'errorstats'), /MOVED/)
  t.match(await one.master.cli('info', 'errorstats'), /errorstat_MOVED:count=1\b/)
  t.match(guard.stats(), { commands: 2, failures: { configuration: 0 } })
  await until(async () => await three.master.cli('get', moving) === null && guard.shards().some(({ slots }) => slots === 5463))
})

/** Keys of one shard, in different slots. */
async function keysOf (cluster: RedisCluster, shard: RedisCluster['shards'][number], count: number): Promise<string[]> {
  const keys: string[] = []
  for (let index = 0; keys.length < count; index++) {
    if (await cluster.shardOf(`key:${index}`) === shard) keys.push(`key:${index}`)
  }
  return keys
}
