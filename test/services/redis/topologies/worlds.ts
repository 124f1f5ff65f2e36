import type { RedisTarget } from '../../../../services/config/redis/redis-target.ts'
import { RedisGuard } from '../../../../services/redis/guard.ts'
import type { GuardOptions } from '../../../../services/redis/guard.ts'
import type { ClusterNode, RedisCluster } from '../../../helpers/redis-cluster.ts'
import type { Teardown } from '../../../helpers/redis-server.ts'
import { until } from '../../../helpers/until.ts'

export const COMMAND_TIMEOUT_MS = 300

export const clusterTarget = (nodes: { host: string, port: number }[], more: Partial<RedisTarget> = {}): RedisTarget => ({
  scheme: 'redis', host: nodes[0]!.host, port: nodes[0]!.port, path: null, tls: false, db: 0, username: null, password: null, auth: 'none', topology: 'cluster', nodes, sources: {}, ...more
})

export function clusterGuard (t: Teardown, nodes: { host: string, port: number }[], options: Partial<GuardOptions> = {}): RedisGuard {
  const guard = new RedisGuard({ target: clusterTarget(nodes), commandTimeoutMs: COMMAND_TIMEOUT_MS, connectTimeoutMs: 500, ...options })
  t.teardown(() => guard.close())
  return guard
}

export async function healthyClusterGuard (t: Teardown, cluster: RedisCluster, options: Partial<GuardOptions> = {}): Promise<RedisGuard> {
  const guard = clusterGuard(t, cluster.nodes, options)
  await until(() => guard.isHealthy() && guard.shards().every(({ connection }) => connection === 'ready'))
  return guard
}

/** One key for each shard, in their order. */
export async function keysByShard (cluster: RedisCluster): Promise<string[]> {
  const keys: string[] = []
  for (let index = 0; keys.filter(Boolean).length < cluster.shards.length; index++) {
    const key = `counter:${index}`
    keys[cluster.shards.indexOf(await cluster.shardOf(key))] ??= key
  }
  return keys
}

/** As `redis-cli --cluster reshard` does it: key by key, so that there is a time with half of the slot on either side. */
export async function migrate (cluster: RedisCluster, slot: number, from: ClusterNode, to: ClusterNode, pause: () => Promise<unknown>): Promise<void> {
  await to.cli('cluster', 'setslot', slot, 'importing', from.id)
  await from.cli('cluster', 'setslot', slot, 'migrating', to.id)
  await pause()
  for (;;) {
    const keys = await from.cli('cluster', 'getkeysinslot', slot, 100) as string[]
    if (keys.length === 0) break
    for (const key of keys) {
      await from.cli('migrate', to.host, to.port, key, 0, 5000)
      await pause()
    }
  }
  for (const node of [to, from, ...cluster.nodes.filter((node) => node !== to && node !== from)]) {
    await node.cli('cluster', 'setslot', slot, 'node', to.id).catch(() => {})
  }
}

export const errorOf = async (promise: Promise<unknown>) => await promise.then(() => null, (error) => error)
