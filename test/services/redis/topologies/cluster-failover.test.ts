import t from 'tap'
import { startRedisCluster } from '../../../helpers/redis-cluster.ts'
import type { RedisCluster } from '../../../helpers/redis-cluster.ts'
import { until } from '../../../helpers/until.ts'
import { Load } from './load.ts'
import type { Account } from './load.ts'
import { COMMAND_TIMEOUT_MS, healthyClusterGuard, keysByShard } from './worlds.ts'

/** For a machine with other things to do. */
const AIR_MS = 250

async function applied (cluster: RedisCluster, slot: number, { key }: Account): Promise<number> {
  const owner = await cluster.ownerOf(slot, cluster.shards[1]!.master)
  return Number(await owner.cli('get', key))
}

for (const failure of ['kill -9', 'freeze', 'manual failover'] as const) {
  t.test(`R3.8 cluster, ${failure} of a primary under load: fails fast, recovers by itself, and every increment is accounted for`, async (t) => {
    const cluster = await startRedisCluster(t, { replicas: 1 })
    // As it is by default, the whole cluster refuses while a part of it is out; here the others are to go on.
    for (const node of cluster.nodes) await node.cli('config', 'set', 'cluster-require-full-coverage', 'no')
    const guard = await healthyClusterGuard(t, cluster)
    const keys = await keysByShard(cluster)
    const [{ master, replicas: [replica] }] = cluster.shards as [RedisCluster['shards'][number]]
    const heard = new Set<string>()
    guard.client.on('message', (channel: string, message: string) => heard.add(`${channel} ${message}`))
    guard.client.on('smessage', (channel: string, message: string) => heard.add(`${channel} ${message}`))
    await guard.client.subscribe('news')
    // In the slot of a counter of the shard that fails.
    const shardChannel = `{${keys[0]}}news`
    await guard.client.ssubscribe(shardChannel)

    const slots = await Promise.all(keys.map((key) => cluster.slotOf(key)))
    const load = new Load(guard, keys, failure === 'manual failover' ? {} : { replicas: 1, workersPerKey: 1 })
    t.teardown(() => load.stop())
    await until(() => load.accounts.every(({ acknowledged }) => acknowledged > 50))
    const others = () => load.accounts.slice(1).map(({ acknowledged }) => acknowledged)
    const beforeFailure = others()
    if (failure === 'kill -9') await master.kill()
    else if (failure === 'freeze') master.freeze()
    else await replica!.cli('cluster', 'failover')
    await until(async () => await cluster.ownerOf(slots[0]!, cluster.shards[1]!.master).catch(() => null) === replica)
    const [account] = load.accounts as [Account]
    const sofar = account.acknowledged
    await until(() => account.acknowledged > sofar + 20, 10_000)
    t.ok(others().every((count, index) => count > beforeFailure[index]! + 10), 'the other shards went on')
    t.ok(guard.shards().every(({ connection, breaker }) => connection === 'ready' && breaker === 'closed'))

    await until(async () => {
      await guard.client.publish('news', 'after')
      await guard.client.spublish(shardChannel, 'after')
      return heard.has('news after') && heard.has(`${shardChannel} after`)
    }, 10_000)
    t.pass('both subscriptions are there again')
    await load.stop()
    t.ok(load.slowestMs < COMMAND_TIMEOUT_MS + AIR_MS, `nobody waited longer than the deadline: ${load.slowestMs.toFixed(0)} ms`)
    if (failure === 'freeze') {
      master.thaw()
      await until(async () => /role:slave/.test(await master.cli('info', 'replication')))
    }
    for (const [index, account] of load.accounts.entries()) {
      const { acknowledged, replicated, ambiguous } = account
      const value = await applied(cluster, slots[index]!, account)
      const least = index === 0 && failure !== 'manual failover' ? replicated : acknowledged
      t.ok(least <= value && value <= acknowledged + ambiguous, `${JSON.stringify(account)}: ${value}`)
    }
    t.ok(account.refused + account.ambiguous > 0 || failure === 'manual failover', JSON.stringify([...load.codes]))
  })
}
