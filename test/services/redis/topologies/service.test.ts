import { fork } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { Cluster, Redis } from 'ioredis'
import Fastify from 'fastify'
import { buildApp } from '../../../../app.ts'
import redis from '../../../../plugins/redis.ts'
import { startRedisCluster } from '../../../helpers/redis-cluster.ts'
import { MASTER, startSentinels } from '../../../helpers/redis-sentinel.ts'
import { freePort } from '../../../helpers/redis-server.ts'
import type { Teardown } from '../../../helpers/redis-server.ts'
import { startSilentServer } from '../../../helpers/silent-server.ts'
import { temporaryDirectory } from '../../../helpers/temporary.ts'
import { makeCertificates } from '../../../helpers/tls-certificates.ts'
import { until } from '../../../helpers/until.ts'

const QUEUE = 'hokusai:model_ready_queue'
const BOOT_BUDGET_MS = 400
const AIR_MS = 400

t.test('R5.3 R3.8 registrations during two failovers of a cluster: each is a 201 and one message in the queue, in order', async (t) => {
  const cluster = await startRedisCluster(t, { replicas: 1 })
  const slot = await cluster.slotOf(QUEUE)
  const { master, replicas: [replica] } = await cluster.shardOf(QUEUE)
  const observer = cluster.shards.find((shard) => shard.master !== master)!.master
  const directory = await temporaryDirectory(t)
  const app = await buildApp({
    env: {
      DATABASE_URL: `sqlite:${directory}/store.db`,
      REDIS_HOST: observer.host,
      REDIS_PORT: String(observer.port),
      REDIS_CLUSTER: 'true',
      REDIS_COMMAND_TIMEOUT_MS: '200',
      REDIS_CONNECT_TIMEOUT_MS: '200'
    }
  })
  t.teardown(() => app.close())
  await app.ready()
  t.ok(app.redisGuard!.cluster instanceof Cluster)
  let version = 0
  const register = async () => {
    const payload = { model_name: 'churn', version: String(++version), token_id: 'hok-churn', metric_name: 'auc', baseline_value: 0.8 }
    return (await app.inject({ method: 'POST', url: '/models', payload })).statusCode
  }
  const codes = new Set<number>()
  const registerUntil = async (over: () => Promise<boolean>) => { while (!await over()) codes.add(await register()) }
  // For a moment nobody may be.
  const isOwner = async (node = replica!) => await cluster.ownerOf(slot, observer).then(({ id }) => id === node.id, () => false)
  for (let count = 0; count < 20; count++) codes.add(await register())
  await replica!.cli('cluster', 'failover')
  await registerUntil(() => isOwner())
  await until(async () => /master_link_status:up/.test(await master.cli('info', 'replication')))
  const before = version
  await replica!.kill()
  await registerUntil(() => isOwner(master))
  for (let count = 0; count < 20; count++) codes.add(await register())
  t.ok(version > before + 20, `${version} registrations`)
  t.strictSame([...codes], [201])
  await until(async () => await master.cli('llen', QUEUE) >= version)
  const queued = (await master.cli('lrange', QUEUE, 0, -1) as string[]).reverse().map((element) => Number(JSON.parse(element).payload.model_version))
  t.strictSame(queued, Array.from({ length: version }, (_, index) => index + 1))
})

t.test('R3.8 a cluster with TLS: names are resolved for each connection, and certificates checked against them', async (t) => {
  const { caFile, certFile, keyFile } = await makeCertificates(t)
  const cluster = await startRedisCluster(t, { tls: { caFile, certFile, keyFile } })
  const [node] = cluster.nodes
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(redis, { target: { ...targetOf(node!), tls: true, scheme: 'rediss' }, tlsCaFile: caFile })
  await app.ready()
  for (const key of ['a', 'b', 'c', 'd']) t.equal(await app.redis.incr(key), 1)
  const distrustful = Fastify()
  t.teardown(() => distrustful.close())
  await distrustful.register(redis, { target: { ...targetOf(node!), tls: true, scheme: 'rediss' }, bootBudgetMs: 50 })
  await until(() => distrustful.redisGuard!.lastError?.kind === 'configuration')
})

t.test('R3.1 a cluster or Sentinel client of somebody else\'s lends its addresses', async (t) => {
  const cluster = await startRedisCluster(t)
  const world = await startSentinels(t)
  const { host, port } = cluster.nodes[0]!
  const clients = [
    new Cluster([{ host, port }], { keyPrefix: 'own:', lazyConnect: true }), new Cluster([`redis://${host}:${port}`], { lazyConnect: true }), new Cluster([port], { lazyConnect: true }),
    new Redis({ sentinels: world.sentinels.map(({ host, port }) => ({ host, port })), name: MASTER, lazyConnect: true })
  ]
  for (const client of clients) {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(redis, { client })
    await app.ready()
    t.equal(await app.redis.set('a', 1), 'OK')
    t.equal(client.status, 'wait', 'and is not used')
  }
  t.equal(await (await cluster.shardOf('own:a')).master.cli('get', 'own:a'), '1')
})

const troubles: [string, (t: Teardown) => Promise<{ target: object, begin?: () => unknown }>][] = [
  ['a cluster that is not there', async () => ({ target: targetOf({ host: '127.0.0.1', port: await freePort() }) })],
  ['a cluster that never answers', async (t) => ({ target: targetOf({ host: '127.0.0.1', port: await startSilentServer(t, 'answer-nothing') }) })],
  ['a cluster that hangs up', async (t) => ({ target: targetOf({ host: '127.0.0.1', port: await startSilentServer(t, 'hang-up') }) })],
  ['a cluster with an unknown name', async () => ({ target: targetOf({ host: 'redis.invalid', port: 6379 }) })],
  ['a cluster', async (t) => ({ target: targetOf((await startRedisCluster(t)).nodes[0]!) })],
  ['a cluster that freezes', async (t) => {
    const cluster = await startRedisCluster(t)
    return { target: targetOf(cluster.nodes[0]!), begin: () => { for (const node of cluster.nodes) node.freeze() } }
  }],
  ['sentinels that are not there', async () => ({ target: sentinelTarget([await freePort(), await freePort()]) })],
  ['sentinels that never answer', async (t) => ({ target: sentinelTarget([await startSilentServer(t, 'answer-nothing'), await startSilentServer(t, 'answer-nothing')]) })],
  ['a primary behind sentinels that freezes', async (t) => {
    const world = await startSentinels(t)
    return { target: sentinelTarget(world.sentinels.map(({ port }) => port)), begin: async () => (await world.primary()).freeze() }
  }]
]

for (const [name, set] of troubles) {
  t.test(`R3.2 I7 ${name}: boot and close are bounded, and the process ends by itself`, async (t) => {
    const { target, begin } = await set(t)
    const child = fork(new URL('../subject.ts', import.meta.url), {
      env: { ...process.env, NODE_V8_COVERAGE: '', SUBJECT: JSON.stringify({ target, bootBudgetMs: BOOT_BUDGET_MS, commandTimeoutMs: 300, connectTimeoutMs: 500, command: ['get', 'key'] }) },
      execArgv: [],
      silent: true
    })
    t.teardown(() => child.kill('SIGKILL'))
    let stderr = ''
    child.stderr!.on('data', (text) => { stderr += text })
    const exited = once(child, 'exit')
    const ask = async (task: string) => {
      child.send(task)
      return (await once(child, 'message'))[0] as { ms: number, code: string | null }
    }
    const boot = await ask('boot')
    t.ok(boot.ms < BOOT_BUDGET_MS + AIR_MS, `boots in ${boot.ms.toFixed(0)} ms`)
    await begin?.()
    const attempt = await ask('attempt')
    t.ok(attempt.ms < 300 + AIR_MS, `${attempt.code} in ${attempt.ms.toFixed(0)} ms`)
    const close = await ask('close')
    t.ok(close.ms < 500 + AIR_MS, `closes in ${close.ms.toFixed(0)} ms`)
    const [code] = await exited
    t.equal(code, 0)
    t.equal(stderr, '', 'nothing unhandled, nothing printed')
  })
}

function targetOf ({ host, port }: { host: string, port: number }) {
  return { scheme: 'redis' as const, host, port, path: null, tls: false, db: 0, username: null, password: null, auth: 'none' as const, topology: 'cluster' as const, sources: {} }
}

function sentinelTarget (ports: number[]) {
  return { ...targetOf({ host: '', port: 0 }), host: null, port: null, topology: 'sentinel' as const, sentinel: { nodes: ports.map((port) => ({ host: '127.0.0.1', port })), master: MASTER, username: null, password: null } }
}
