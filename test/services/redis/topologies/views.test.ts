import t from 'tap'
import type { Redis } from 'ioredis'
import { RedisConnectionFailed } from '../../../../services/redis/errors.ts'
import type { HealthConnection } from '../../../../services/redis/connection/health-connection.ts'
import { addressOf, nodeKey, readView } from '../../../../services/redis/cluster/slot-view.ts'
import { ClusterTopology } from '../../../../services/redis/cluster/topology.ts'
import type { Informant } from '../../../../services/redis/cluster/topology.ts'
import { until } from '../../../helpers/until.ts'

type Said = { epoch?: number, owner: string, state?: string } | Error

/** A node that says what it is told to. */
function node (said: () => Said): Informant {
  const client = {
    async cluster (question: string) {
      const answer = said()
      if (answer instanceof Error) throw answer
      if (question === 'SLOTS') return [[0, 16383, [answer.owner, 7000, 'id']]]
      if (answer.epoch === undefined) throw new Error('NOPERM')
      return `cluster_state:${answer.state ?? 'ok'}\r\ncluster_current_epoch:${answer.epoch}\r\n`
    }
  } as unknown as Redis
  const health = { ask: async <T>(question: (client: Redis) => Promise<T>) => await question(client) } as HealthConnection
  return { address: { host: 'asked', port: 7000 }, health }
}

t.test('R3.8 a view older than ours is not believed, unless there is none other for a while', async (t) => {
  let now = 0
  let nodes: Informant[] = []
  const failures: string[] = []
  const topology = new ClusterTopology({
    nodes: () => nodes,
    seeds: [node(() => ({ epoch: 7, owner: 'first' }))],
    natMap: undefined,
    troubled: () => false,
    onFailure: ({ reason }) => failures.push(reason),
    clock: () => now,
    random: () => 0.5
  })
  t.teardown(() => topology.stop())
  const refreshed = async () => {
    now += 1000
    let asked = false
    topology.refresh(() => { asked = true })
    // Its timers keep no process alive.
    await until(() => asked)
    return topology.view!.ranges[0]!.nodes[0]!.host
  }
  topology.start()
  await until(() => topology.view !== null)
  const old = node(() => ({ epoch: 6, owner: 'deposed' }))
  const broken = node(() => new RedisConnectionFailed('transport', 'ECONNREFUSED'))
  nodes = [old, broken, node(() => ({ epoch: 8, owner: 'elected' }))]
  t.equal(await refreshed(), 'elected', 'whoever answers first')
  nodes = [broken, node(() => ({ owner: 'unknown age' }))]
  t.equal(await refreshed(), 'unknown age', 'who may not say how old it is, is believed')
  nodes = [node(() => ({ epoch: 9, owner: 'newest' }))]
  t.equal(await refreshed(), 'newest')
  nodes = [old]
  t.equal(await refreshed(), 'newest')
  t.strictSame(failures, ['OUTDATED'])
  t.equal(await refreshed(), 'newest')
  t.equal(await refreshed(), 'deposed', 'a cluster that was made anew counts from one')
  topology.stop()
  t.match(await new Promise((resolve) => { topology.refresh(resolve) }), { reason: 'CLOSED' })
})

t.test('hosts that are not announced, and addresses that are translated', async (t) => {
  const reply = (host: string | null) => ({ cluster: async (question: string) => question === 'INFO' ? '' : [[0, 1, [host, 7000], ['replica', 7001]]] }) as unknown as Redis
  const asked = { host: 'asked', port: 1 }
  for (const host of [null, '', '?']) {
    const { ranges } = await readView(reply(host), asked)
    t.strictSame(ranges[0]!.nodes, [{ host: 'asked', port: 7000 }, { host: 'replica', port: 7001 }])
  }
  const maps = [{ 'a:7000': { host: 'b', port: 1 } }, (key: string) => key === 'a:7000' ? { host: 'b', port: 1 } : null]
  for (const natMap of maps) t.strictSame((await readView(reply('a'), asked, natMap)).ranges[0]!.nodes, [{ host: 'b', port: 1 }, { host: 'replica', port: 7001 }])
  t.strictSame(addressOf(nodeKey({ host: 'fd00::5', port: 6379 })), { host: 'fd00::5', port: 6379 })
})
