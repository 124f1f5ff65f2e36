import { freePorts, startRedis } from './redis-server.ts'
import type { RedisServer, RedisServerOptions, Teardown } from './redis-server.ts'
import { until } from './until.ts'

const SLOTS = 16384

export interface ClusterNode extends RedisServer {
  readonly id: string
}

export interface ClusterShard {
  readonly master: ClusterNode
  readonly replicas: ClusterNode[]
}

/** Real nodes; each is a {@link RedisServer} that can be killed, frozen and restarted. */
export interface RedisCluster {
  readonly shards: ClusterShard[]
  readonly nodes: ClusterNode[]
  slotOf (key: string): Promise<number>
  /** The shard whose master serves the key at the beginning. */
  shardOf (key: string): Promise<ClusterShard>
  /** Who serves the slot now, as `observer` sees it. */
  ownerOf (slot: number, observer?: ClusterNode): Promise<ClusterNode>
}

export interface ClusterOptions {
  masters?: number
  /** For each master. Default 0. */
  replicas?: number
  /** How long until a silent node counts as failed. Default 500 ms. */
  nodeTimeoutMs?: number
  /** For clients and between the nodes. */
  tls?: RedisServerOptions['tls']
  /** Extra arguments of every node. */
  args?: string[]
}

/** A cluster of the test's own, joined by hand: faster than `redis-cli --cluster create`, and ready when this resolves (2 to 3 s). */
export async function startRedisCluster (t: Teardown, { masters = 3, replicas = 0, nodeTimeoutMs = 500, tls, args = [] }: ClusterOptions = {}): Promise<RedisCluster> {
  const ports = await freePorts(masters * (1 + replicas) * 2)
  const busPorts = ports.splice(masters * (1 + replicas))
  const nodes = await Promise.all(ports.map((port, index) => startNode(t, port, busPorts[index]!, nodeTimeoutMs, tls, args)))
  for (const [index, node] of nodes.entries()) await node.cli('cluster', 'set-config-epoch', index + 1)
  for (const [index, node] of nodes.slice(1).entries()) await nodes[0]!.cli('cluster', 'meet', node.host, node.port, busPorts[index + 1]!)
  const shards = Array.from({ length: masters }, (_, index) => ({
    master: nodes[index]!, replicas: nodes.slice(masters).filter((_, replica) => replica % masters === index)
  }))
  for (const [index, { master }] of shards.entries()) {
    await master.cli('cluster', 'addslotsrange', Math.floor(SLOTS * index / masters), Math.floor(SLOTS * (index + 1) / masters) - 1)
  }
  await until(async () => (await Promise.all(nodes.map((node) => knows(node, nodes.length)))).every(Boolean))
  for (const { master, replicas } of shards) {
    for (const replica of replicas) await replica.cli('cluster', 'replicate', master.id)
  }
  await until(async () => (await Promise.all(nodes.map((node) => isReady(node, replicas * masters)))).every(Boolean))
  const slotOf = (key: string): Promise<number> => nodes[0]!.cli('cluster', 'keyslot', key)
  return {
    shards,
    nodes,
    slotOf,
    shardOf: async (key) => shards[Math.floor(((await slotOf(key)) * masters + masters - 1) / SLOTS)] ?? shards.at(-1)!,
    ownerOf: async (slot, observer = nodes[0]!) => {
      const ranges = await observer.cli('cluster', 'slots') as [number, number, [string, number, string]][]
      const [, , [, , id]] = ranges.find(([first, last]) => first <= slot && slot <= last)!
      return nodes.find((node) => node.id === id)!
    }
  }
}

async function startNode (t: Teardown, port: number, busPort: number, nodeTimeoutMs: number, tls: RedisServerOptions['tls'], args: string[]): Promise<ClusterNode> {
  const server = await startRedis(t, {
    port,
    ...tls === undefined ? {} : { tls },
    args: [
      ...tls === undefined ? [] : ['--tls-cluster', 'yes', '--tls-replication', 'yes'],
      '--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-port', String(busPort),
      '--cluster-node-timeout', String(nodeTimeoutMs), '--repl-diskless-sync-delay', '0', '--cluster-replica-validity-factor', '0',
      ...args
    ]
  })
  return Object.assign(server, { id: await server.cli('cluster', 'myid') as string })
}

async function knows (node: ClusterNode, size: number): Promise<boolean> {
  const lines = String(await node.cli('cluster', 'nodes')).trim().split('\n')
  return lines.length === size && lines.every((line) => !/handshake|noaddr/.test(line))
}

async function isReady (node: ClusterNode, replicas: number): Promise<boolean> {
  const lines = String(await node.cli('cluster', 'nodes')).trim().split('\n')
  const joined = lines.filter((line) => / (myself,)?slave /.test(line)).length === replicas
  const linked = !/role:slave/.test(await node.cli('info', 'replication')) || /master_link_status:up/.test(await node.cli('info', 'replication'))
  return joined && linked && /cluster_state:ok/.test(await node.cli('cluster', 'info'))
}
