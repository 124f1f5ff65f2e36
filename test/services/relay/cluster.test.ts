import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { slotKey, watermarkKey } from '../../../services/queue/keys.ts'
import { RedisGuard } from '../../../services/redis/guard.ts'
import type { Connection } from '../../../services/relay/transport/redis-transport.ts'
import { startRedisCluster } from '../../helpers/redis-cluster.ts'
import type { ClusterNode, RedisCluster } from '../../helpers/redis-cluster.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { QUEUE, startRelay, startTraffic } from './setup.ts'
import type { Setup } from './setup.ts'

/** What a relay has in production. */
function clusterConnection (t: Teardown, cluster: RedisCluster): Connection {
  const [first] = cluster.nodes as [ClusterNode]
  const { target } = resolveRedisTarget({ REDIS_HOST: first.host, REDIS_PORT: String(first.port), REDIS_CLUSTER: 'true' })
  const guard = new RedisGuard({ target: { ...target!, nodes: cluster.nodes }, commandTimeoutMs: 300, connectTimeoutMs: 500 })
  t.teardown(() => guard.close())
  return guard.spawn('relay', { commandTimeoutMs: 1000 })
}

async function start (t: Teardown, cluster: RedisCluster, setup: Setup = {}) {
  const { master } = await cluster.shardOf(QUEUE)
  const started = await startRelay(t, { server: master, connection: clusterConnection(t, cluster), ...setup })
  return { ...started, server: master }
}

t.test('R5.3 in a cluster: the untagged legacy list and our keys beside it, in one slot', async (t) => {
  const cluster = await startRedisCluster(t)
  const { publish, queued, wanted, arrived, relay, server } = await start(t, cluster)
  for (const name of [QUEUE, 'hokusai:model_ready_queue', 'a:{tag}:b', '{tag}', 'a{x']) {
    t.equal(await cluster.slotOf(watermarkKey(name)), await cluster.slotOf(name))
  }
  await publish(1200)
  await arrived()
  t.strictSame(await queued(), wanted())
  t.strictSame((await server.cli('keys', '*')).sort(), [QUEUE, slotKey(QUEUE, 'watermark')].sort())
  t.match(relay.stats, { rewound: 0, lastError: null })

  await t.test('a slot that moves away under traffic, and back: MOVED, ASK and TRYAGAIN are followed, exactly once', async (t) => {
    const slot = await cluster.slotOf(QUEUE)
    const other = cluster.shards.find(({ master }) => master !== server)!.master
    const traffic = startTraffic(publish)
    await migrate(cluster, slot, server, other)
    await delay(100)
    await migrate(cluster, slot, other, server)
    await traffic()
    await arrived()
    t.strictSame(await queued(), wanted())
    t.match(relay.stats, { lost: 0, emptied: 0, buried: 0 })
  })

  await t.test('R5.6 another shard dies: CLUSTERDOWN buries nothing, and where coverage need not be full this queue goes on', async (t) => {
    await cluster.shards.find(({ master }) => master !== server)!.master.kill()
    await until(async () => /cluster_state:fail/.test(await server.cli('cluster', 'info')))
    await publish(20)
    await until(() => relay.stats.lastError !== null)
    await server.cli('config', 'set', 'cluster-require-full-coverage', 'no')
    await publish(20)
    await arrived()
    t.strictSame(await queued(), wanted())
    t.match(relay.stats, { lost: 0, emptied: 0, buried: 0 })
  })
})

t.test('R5.3 kill -9 of the shard\'s master under traffic: its replica takes over by election, and what it lacked is sent again', async (t) => {
  const cluster = await startRedisCluster(t, { replicas: 1 })
  const slot = await cluster.slotOf(QUEUE)
  const { master, replicas: [replica] } = await cluster.shardOf(QUEUE)
  const observer = cluster.shards.find((shard) => shard.master !== master)!.master
  const { publish, queued, wanted, arrived, relay } = await start(t, cluster)
  await publish(100)
  await arrived()
  const traffic = startTraffic(publish)
  replica!.freeze()
  await delay(100)
  await master.kill()
  replica!.thaw()
  await until(async () => (await cluster.ownerOf(slot, observer)).id === replica!.id)
  await until(async () => await replica!.cli('llen', QUEUE) > 100)
  await publish(20)
  await traffic()
  await arrived(replica)
  t.strictSame(await queued(replica), wanted())
  await until(() => relay.stats.lastError === null)
  t.match(relay.stats, { lost: 0, emptied: 0, buried: 0 })
})

t.test('PUBLISH_MIN_REPLICAS in a cluster: WAIT goes where the script went, and follows a slot that moves', async (t) => {
  const cluster = await startRedisCluster(t, { replicas: 1 })
  const slot = await cluster.slotOf(QUEUE)
  const { server, publish, queued, wanted, arrived, relay, journal } = await start(t, cluster, { transport: { minReplicas: 1, replicaTimeoutMs: 300 } })
  await publish(50)
  await arrived()
  const other = cluster.shards.find(({ master }) => master !== server)!
  await migrate(cluster, slot, server, other.master)
  await publish(50)
  await arrived(other.master)
  t.strictSame(await queued(other.master), wanted())
  await until(async () => (await journal.stats()).pendingRows === 0)
  t.equal(relay.stats.lastError, null)
  other.replicas[0]!.freeze()
  await publish(1)
  await until(() => relay.stats.lastError?.kind === 'replication')
  other.replicas[0]!.thaw()
  await until(() => relay.stats.lastError === null)
  t.strictSame(await queued(other.master), wanted())
})

/** As `redis-cli --cluster reshard` does it: key by key, so that there is a moment with half of the slot on either side. */
async function migrate (cluster: RedisCluster, slot: number, from: ClusterNode, to: ClusterNode): Promise<void> {
  await to.cli('cluster', 'setslot', slot, 'importing', from.id)
  await from.cli('cluster', 'setslot', slot, 'migrating', to.id)
  for (const key of await from.cli('cluster', 'getkeysinslot', slot, 100)) {
    await from.cli('migrate', to.host, to.port, key, 0, 5000)
    await delay(20)
  }
  for (const node of [to, from, ...cluster.nodes.filter((node) => node !== to && node !== from)]) {
    await node.cli('cluster', 'setslot', slot, 'node', to.id).catch(() => {})
  }
}
