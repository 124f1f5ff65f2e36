import { Secret } from '../../../../services/config/secret.ts'
import type { RedisTarget } from '../../../../services/config/redis/redis-target.ts'
import type { GuardOptions } from '../../../../services/redis/guard.ts'
import { startFaultProxy } from '../../../helpers/fault-proxy.ts'
import type { FaultProxy } from '../../../helpers/fault-proxy.ts'
import { NameService } from '../../../helpers/name-service.ts'
import { startRedisCluster } from '../../../helpers/redis-cluster.ts'
import { MASTER, startSentinels } from '../../../helpers/redis-sentinel.ts'
import { startRedis } from '../../../helpers/redis-server.ts'
import type { RedisServer, RedisServerOptions, Teardown } from '../../../helpers/redis-server.ts'
import { makeCertificates } from '../../../helpers/tls-certificates.ts'
import type { Certificates } from '../../../helpers/tls-certificates.ts'
import { until } from '../../../helpers/until.ts'

export const topologies = ['single', 'sentinel', 'cluster'] as const
export type Topology = typeof topologies[number]

/** The client's user, so that what is done to it disturbs neither replication nor the sentinels. */
export const USER = 'app'
export const PASSWORD = 'right'
/** So that loading can take its time. */
const FILLING = 1000
/** By then an order to fail over is carried out or forgotten. */
const REPEAT_MS = 3000
const CLUSTER_PATIENCE_MS = 15_000
/** For twice as long after a vote, no other one is cast. */
const CLUSTER_HASTE_MS = 1000

/** Real servers, each behind a proxy of its own: the client knows only the proxies. */
export interface World {
  readonly topology: Topology
  readonly servers: readonly RedisServer[]
  /** To everything that the client can reach, the sentinels included. */
  readonly proxies: readonly FaultProxy[]
  readonly names: NameService
  readonly certificates: Certificates | null
  /** `named`: the client finds everything by name. */
  guardOptions (named: boolean): GuardOptions
  /** Of one shard, in a cluster. */
  key (name: string): string
  /** Who serves the keys now. */
  primary (): Promise<RedisServer>
  /** The primary is demoted, in good order; resolves when it is. */
  failOver (): Promise<void>
  /** Whatever has to happen so that the client can find the new primary. */
  finishFailOver (): Promise<void>
}

type Parts = Pick<World, 'servers' | 'primary' | 'failOver' | 'finishFailOver'> & {
  tag: string
  /** What the client is told; `address` is how it reaches a port. */
  target (address: (port: number) => { host: string, port: number }): Partial<RedisTarget>
  /** Other ports than those of the servers. */
  ports?: number[]
  proxies?: FaultProxy[]
}

export async function startWorld (t: Teardown, topology: Topology, tls: boolean): Promise<World> {
  const certificates = tls ? await makeCertificates(t) : null
  const server: RedisServerOptions = {
    ...certificates === null ? {} : { tls: certificates },
    // Nothing that was answered is lost with a killed process.
    args: [
      '--appendonly', 'yes', '--appendfsync', 'no', '--lua-time-limit', '30', '--repl-diskless-sync-delay', '0',
      '--user', USER, 'on', `>${PASSWORD}`, '~*', '&*', '+@all'
    ]
  }
  const parts = await starters[topology](t, server)
  await fill(await parts.primary(), parts.tag)
  return await behindProxies(t, topology, parts, certificates)
}

async function behindProxies (t: Teardown, topology: Topology, parts: Parts, certificates: Certificates | null): Promise<World> {
  const names = new NameService(`${topology}${certificates === null ? '' : '-tls'}.breakwater.test`)
  names.install(t)
  const ports = parts.ports ?? parts.servers.map(({ port }) => port)
  const proxies = parts.proxies ?? await Promise.all(ports.map((port) => startFaultProxy(t, port)))
  const world: World = {
    ...parts,
    topology,
    proxies,
    names,
    certificates,
    key: (name) => `${parts.tag}:${name}`,
    guardOptions: (named) => {
      const host = named ? names.name('redis') : '127.0.0.1'
      const address = (port: number) => ({ host, port: (proxies[ports.indexOf(port)] ?? proxies[0]!).port })
      const natMap = Object.fromEntries(ports.map((port) => [`127.0.0.1:${port}`, address(port)]))
      const target: RedisTarget = {
        scheme: 'redis', host: null, port: null, path: null, db: 0, username: USER, password: new Secret(PASSWORD), auth: 'token', sources: {}, topology, tls: certificates !== null, ...parts.target(address)
      }
      return { target, tls: { ca: certificates?.ca }, ...topology === 'single' ? {} : { redisOptions: { natMap } as GuardOptions['redisOptions'] } }
    }
  }
  return world
}

const starters: Record<Topology, (t: Teardown, server: RedisServerOptions) => Promise<Parts>> = {
  async single (t, server) {
    const first = await startRedis(t, server)
    const replication = server.tls === undefined ? [] : ['--tls-replication', 'yes']
    const second = await startRedis(t, { ...server, args: [...server.args!, ...replication, '--replicaof', first.host, String(first.port)] })
    if (server.tls !== undefined) await first.cli('config', 'set', 'tls-replication', 'yes')
    await until(async () => /master_link_status:up/.test(await second.cli('info', 'replication')))
    const proxy = await startFaultProxy(t, first.port)
    let [primary, replica] = [first, second]
    return {
      servers: [first, second],
      proxies: [proxy],
      tag: '{single}',
      target: (address) => address(first.port),
      primary: async () => primary,
      async failOver () {
        await until(async () => /state=online/.test(await primary.cli('info', 'replication')))
        await demoted(primary, () => primary.cli('failover'))
      },
      async finishFailOver () {
        [primary, replica] = [replica, primary]
        proxy.switchTo(primary.port)
      }
    }
  },

  async sentinel (t, server) {
    const world = await startSentinels(t, { server, downAfterMs: 60_000 })
    const ports = [...world.servers, ...world.sentinels].map(({ port }) => port)
    let primary = world.servers[0]!
    return {
      servers: world.servers,
      ports,
      tag: '{sentinel}',
      target: (address) => ({ sentinel: { nodes: world.sentinels.map(({ port }) => address(port)), master: MASTER, username: null, password: null } }),
      primary: async () => primary,
      async failOver () {
        await until(async () => (await primary.cli('info', 'replication')).match(/state=online/g)?.length === 2)
        const before = primary
        let orderedAt = -Infinity
        await until(async () => {
          if (await world.primary() !== before) return true
          if (performance.now() - orderedAt > 2 * REPEAT_MS) orderedAt = await world.sentinels[0]!.cli('sentinel', 'failover', MASTER).then(() => performance.now(), () => -Infinity)
          return false
        })
        // They demote the other one some ten seconds later.
        await until(() => before.cli('info', 'replication').then((info) => /role:slave/.test(info), () => false), 40_000)
      },
      async finishFailOver () {
        const before = primary
        await until(async () => {
          primary = await world.primary()
          return primary !== before && /role:master/.test(await primary.cli('info', 'replication'))
        })
      }
    }
  },

  async cluster (t, server) {
    const args = [...server.args!, '--cluster-require-full-coverage', 'no']
    const cluster = await startRedisCluster(t, { tls: server.tls, args, replicas: 1, nodeTimeoutMs: CLUSTER_PATIENCE_MS })
    let tag = ''
    for (let index = 0; tag === ''; index++) if (await cluster.shardOf(`{${index}}`) === cluster.shards[0]) tag = `{${index}}`
    const slot = await cluster.slotOf(tag)
    const setPatience = async (ms: number) => { for (const node of cluster.nodes) await node.cli('config', 'set', 'cluster-node-timeout', ms) }
    let [primary, replica] = [cluster.shards[0]!.master, cluster.shards[0]!.replicas[0]!]
    return {
      servers: cluster.nodes,
      tag,
      target: (address) => ({ nodes: cluster.nodes.map(({ port }) => address(port)), ...address(cluster.nodes[0]!.port) }),
      primary: async () => primary,
      async failOver () {
        await until(async () => /master_link_status:up/.test(await replica.cli('info', 'replication')))
        await setPatience(CLUSTER_HASTE_MS)
        await demoted(primary, () => replica.cli('cluster', 'failover'))
        await setPatience(CLUSTER_PATIENCE_MS)
      },
      async finishFailOver () {
        [primary, replica] = [replica, primary]
        await until(async () => await cluster.ownerOf(slot, cluster.shards[1]!.master) === primary)
      }
    }
  }
}

/** Such an order can be refused, soon after another one, and forgotten; and who gets a new role may hang up. */
async function demoted (primary: RedisServer, order: () => Promise<unknown>): Promise<void> {
  let orderedAt = -Infinity
  await until(async () => {
    if (performance.now() - orderedAt > REPEAT_MS) orderedAt = await order().then(() => performance.now(), () => -Infinity)
    return await primary.cli('info', 'replication').then((info) => /role:slave/.test(info), () => false)
  })
}

/** Into the part of the file that is loaded key by key. */
async function fill (server: RedisServer, tag: string): Promise<void> {
  for (let index = 0; index < FILLING; index += 200) {
    await server.cli('mset', ...Array.from({ length: 200 }, (_, offset) => [`${tag}:fill:${index + offset}`, 'x'.repeat(64)]).flat())
  }
  await server.cli('bgrewriteaof')
  await until(async () => /aof_rewrite_in_progress:0\r?\n[^]*aof_rewrite_scheduled:0/.test(await server.cli('info', 'persistence')))
}

/** The extra arguments of a server that takes so long to load the filling. */
export function slowLoading (ms: number): string[] {
  return ['--key-load-delay', String(Math.round(ms * 1000 / FILLING)), '--loading-process-events-interval-bytes', '1024']
}
