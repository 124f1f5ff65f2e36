import { Cluster } from 'ioredis'
import type { Redis } from 'ioredis'
import t from 'tap'
import { memoryLogger } from '../../../helpers/memory-logger.ts'
import { startFaultProxy } from '../../../helpers/fault-proxy.ts'
import { startRedisCluster } from '../../../helpers/redis-cluster.ts'
import { freePort, startRedis } from '../../../helpers/redis-server.ts'
import { startSilentServer } from '../../../helpers/silent-server.ts'
import { until } from '../../../helpers/until.ts'
import { COMMAND_TIMEOUT_MS, clusterGuard, errorOf, healthyClusterGuard, keysByShard } from './worlds.ts'

t.test('R3.1 R3.8 a cluster is a drop-in ioredis client: every kind of command is guarded once', async (t) => {
  const cluster = await startRedisCluster(t, { replicas: 1 })
  const guard = await healthyClusterGuard(t, cluster)
  const { client } = guard
  const keys = await keysByShard(cluster)
  const counted = async (title: string, commands: number, run: () => Promise<unknown>) => {
    const before = guard.stats().commands
    await run()
    t.equal(guard.stats().commands - before, commands, `I8 ${title}: ${commands}`)
  }
  t.ok(guard.cluster instanceof Cluster)
  t.equal(guard.stats().commands, 0, 'I8 handshakes and questions for the slots are not counted')
  await counted('command on each shard', 3, async () => t.strictSame(await Promise.all(keys.map((key) => client.incr(key))), [1, 1, 1]))
  await counted('callback', 1, () => new Promise((resolve) => { void client.get(keys[0]!, (_error, value) => resolve(t.equal(value, '1'))) }))
  await counted('Buffer', 1, async () => t.same(await client.getBuffer(keys[1]!), Buffer.from('1')))
  await counted('no key', 1, async () => t.equal(await client.ping(), 'PONG'))
  await counted('pipeline', 3, async () => {
    const replies = await client.pipeline().incr('{a}1').lpush('{a}1', 'x').get('{a}1').exec()
    t.match(replies, [[null, 1], [{ code: 'FST_BRK_REDIS_REPLY', kind: 'caller' }], [null, '1']])
  })
  await counted('multi', 4, async () => t.strictSame(await client.multi().incr('{a}1').incr('{a}1').exec(), [[null, 2], [null, 3]]))
  await counted('script', 2, async () => {
    client.defineCommand('plus', { numberOfKeys: 1, lua: 'return redis.call("incrby", KEYS[1], ARGV[1])' })
    const scripted = client as Redis & { plus (key: string, by: number): Promise<number> }
    t.equal(await scripted.plus('{a}1', 4), 7)
    t.equal(await scripted.plus('{a}1', 5), 12)
  })
  t.match(await errorOf(client.mget(keys[0]!, keys[1]!)), { kind: 'caller' }, 'CROSSSLOT is the caller\'s mistake')
  t.match(await errorOf(client.pipeline().get(keys[0]!).get(keys[1]!).exec()!), { message: /slots allocation group/ })
  const found: string[] = []
  for (const node of guard.cluster!.nodes('master')) {
    for await (const page of node.scanStream()) found.push(...page)
  }
  t.strictSame(found.sort(), [...keys, '{a}1'].sort())
  await client.set('{a}2', 'x')
  const { replicas: [replica] } = await cluster.shardOf('{a}2')
  const connected = await until(async () => {
    await new Promise((resolve) => { guard.cluster!.refreshSlotsCache(resolve) })
    return guard.cluster!.nodes('slave').find(({ options }) => options.port === replica!.port)
  })
  await until(async () => await connected.get('{a}2') === 'x')
  t.pass('a replica answers reads that are sent to it by hand')
  const prefixed = guard.client.duplicate({ keyPrefix: '{a}' })
  t.equal(await prefixed.get('2'), 'x')
  const fast = guard.client.duplicate({ enableAutoPipelining: true })
  t.strictSame(await Promise.all([...keys, ...keys].map((key) => fast.incr(key))), [2, 2, 2, 3, 3, 3], 'auto-pipelining')
  t.equal(await prefixed.quit(), 'OK')
  t.match(await errorOf(prefixed.get('2')), { code: 'FST_BRK_REDIS_CLOSED', notApplied: true })
  t.match(guard.stats(), { rejected: 0, timeouts: 0, reconnects: 0 })
  t.match(guard.state, { connection: 'ready', breaker: 'closed', healthy: true })
  t.match(guard.shards(), Array(3).fill({ slots: Number, connection: 'ready', breaker: 'closed', lastError: null }))
  t.match(await guard.probe(), { role: 'master', latencyMs: Number })
  t.notMatch(JSON.stringify(guard.client), /host|port/)
})

t.test('R3.1 publish and subscribe: channels, patterns and shard channels, in and out', async (t) => {
  const cluster = await startRedisCluster(t)
  const guard = await healthyClusterGuard(t, cluster)
  const { client } = guard
  const heard: string[] = []
  for (const event of ['message', 'pmessage', 'smessage']) client.on(event, (...args: string[]) => heard.push([event, ...args].join(' ')))
  const keys = await keysByShard(cluster)
  t.equal(await client.subscribe('one', 'two'), 2)
  await client.psubscribe('t*')
  for (const key of keys) await client.ssubscribe(`{${key}}`)
  await until(async () => {
    await client.publish('two', 'x')
    for (const key of keys) await client.spublish(`{${key}}`, key)
    return heard.length >= 5
  })
  t.strictSame([...new Set(heard)].sort(), ['message two x', 'pmessage t* two x', ...keys.map((key) => `smessage {${key}} ${key}`)].sort())
  await client.unsubscribe('two')
  await client.punsubscribe()
  await client.sunsubscribe(`{${keys[0]}}`)
  for (const { master } of cluster.shards) await master.cli('client', 'kill', 'type', 'pubsub')
  heard.length = 0
  await until(async () => {
    await client.publish('one', 'y')
    await client.publish('two', 'y')
    for (const key of keys) await client.spublish(`{${key}}`, key)
    return new Set(heard).size >= 3
  })
  t.strictSame([...new Set(heard)].sort(), ['message one y', ...keys.slice(1).map((key) => `smessage {${key}} ${key}`)].sort(), 'what was left is not restored, the rest is')
  await client.sunsubscribe()
  t.match(await errorOf(client.ssubscribe('a', 'b')), { message: /CROSSSLOT/ })
})

t.test('R3.3 a shard behind a dead line: its commands end at the deadline and run never or once, and the others do not notice', async (t) => {
  const cluster = await startRedisCluster(t)
  const [{ master }] = cluster.shards as [(typeof cluster.shards)[number]]
  const proxy = await startFaultProxy(t, master.port)
  const logger = memoryLogger()
  const natMap = { [`127.0.0.1:${master.port}`]: { host: '127.0.0.1', port: proxy.port } }
  const guard = await healthyClusterGuard(t, cluster, { redisOptions: { natMap }, logger })
  const { client } = guard
  const keys = await keysByShard(cluster)
  const [dead, alive] = keys as [string, string, string]
  for (const fault of ['blackhole', 'swallow-replies'] as const) {
    await master.cli('set', dead, 0)
    proxy.fault = fault
    const startedAt = performance.now()
    const [error, pipeline, transaction] = await Promise.all([
      errorOf(client.incr(dead)), client.pipeline().incr(dead).exec(), errorOf(client.multi().incr(dead).exec())
    ])
    const ms = performance.now() - startedAt
    t.ok(ms < COMMAND_TIMEOUT_MS + 200, `${fault}: ${ms.toFixed(0)} ms`)
    t.match([error, pipeline![0]![0], transaction], Array(3).fill({ code: /^FST_BRK_REDIS_(TIMEOUT|CONNECTION_LOST)$/, ambiguous: true, notApplied: false }))
    let sent = 3
    for (let error = await errorOf(client.incr(dead)); error.notApplied !== true; error = await errorOf(client.incr(dead))) sent++
    t.match(await errorOf(client.incr(dead)), { code: /^FST_BRK_(CIRCUIT_OPEN|REDIS_NOT_CONNECTED)$/, notApplied: true }, 'and the next ones are not even sent')
    t.ok(Number.isInteger(await client.incr(alive)), 'another shard')
    t.ok(guard.isHealthy() && guard.breaker.state === 'closed')
    t.match(await errorOf(guard.probe()), { kind: /timeout|transport/ }, 'but health knows')
    proxy.fault = 'pass'
    const healedAt = performance.now()
    await until(() => client.get(dead).then(() => true, () => false))
    t.ok(performance.now() - healedAt < 1200 + 300)
    t.equal(await master.cli('get', dead), fault === 'blackhole' ? '0' : String(sent))
  }
  t.ok(logger.lines.some(({ message, details }) => /circuit is open/.test(message) && details.node === `127.0.0.1:${proxy.port}`), 'the log says which node')
  const hold = guard.forceOpen()
  t.match(await errorOf(client.get(alive)), { code: 'FST_BRK_CIRCUIT_OPEN' }, 'by hand for all shards')
  t.match(await errorOf(client.subscribe('a')), { code: 'FST_BRK_CIRCUIT_OPEN' })
  hold[Symbol.dispose]()
  guard.forceClose()
  t.ok(Number(await client.get(dead)) >= 3)
})

t.test('R3.3 the whole cluster down and up again: refused at once, and back without a restart', async (t) => {
  const cluster = await startRedisCluster(t)
  const guard = await healthyClusterGuard(t, cluster)
  const worker = guard.spawn('worker', { blocking: true })
  await until(() => worker.isHealthy())
  const forever = errorOf(worker.client.blpop('queue', 0))
  let told = 0
  const off = guard.onReady(() => { told++ })
  const epoch = guard.connectionEpoch
  await Promise.all(cluster.nodes.map((node) => node.kill()))
  t.match(await forever, { code: 'FST_BRK_REDIS_CONNECTION_LOST', ambiguous: true })
  await until(() => guard.breaker.state !== 'closed')
  t.match(await errorOf(guard.client.get('a')), { code: 'FST_BRK_CIRCUIT_OPEN', notApplied: true })
  t.match(guard.state, { connection: 'reconnecting', healthy: false })
  t.match(await errorOf(guard.probe()), { kind: 'transport' })
  await Promise.all(cluster.nodes.map((node) => node.restart()))
  await until(() => guard.isHealthy() && worker.isHealthy())
  await until(() => guard.client.set('a', 1).then(() => true, () => false))
  off()
  t.ok(told > 0 && guard.connectionEpoch > epoch)
  t.ok(guard.stats().reconnects > 0)
  guard.reconnect()
  await until(() => guard.isHealthy() && guard.shards().every(({ connection }) => connection === 'ready'))
  await guard.client.quit()
  t.notOk(guard.isHealthy())
  guard.reconnect()
  await until(() => guard.client.get('a').then((value) => value === '1', () => false))
})

t.test('R3.2 nothing there, or no cluster: refused at once, said why, and used when it comes', async (t) => {
  const port = await freePort()
  const absent = clusterGuard(t, [{ host: '127.0.0.1', port }])
  await until(() => absent.lastError !== null)
  t.match(absent.lastError, { kind: 'transport', code: 'ECONNREFUSED' })
  for (const attempt of [absent.client.get('a'), absent.client.pipeline().get('a').exec(), absent.client.multi().get('a').exec(), absent.client.subscribe('a')]) {
    t.match(await errorOf(attempt), { code: /^FST_BRK_(REDIS_NOT_CONNECTED|CIRCUIT_OPEN)$/, notApplied: true })
  }
  t.match(await errorOf(absent.client.duplicate({ enableAutoPipelining: true }).get('a')), { code: 'FST_BRK_REDIS_NOT_CONNECTED' })
  const silent = clusterGuard(t, [{ host: '127.0.0.1', port: await startSilentServer(t, 'answer-nothing') }])
  await until(() => silent.lastError?.kind === 'timeout')
  const single = await startRedis(t)
  const misconfigured = clusterGuard(t, [single])
  await until(() => misconfigured.lastError?.code === 'NOT_A_CLUSTER')
  t.match(misconfigured.lastError, { kind: 'configuration' })
  const empty = await startRedis(t, { args: ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())] })
  const waiting = clusterGuard(t, [{ host: '127.0.0.1', port: await freePort() }, empty])
  await until(() => waiting.lastError?.code === 'CLUSTERDOWN')
  await empty.cli('cluster', 'addslotsrange', 0, 16383)
  await until(() => waiting.isHealthy())
  await until(() => waiting.client.set('a', 1).then(() => true, () => false))
  for (const guard of [absent, silent, misconfigured]) {
    const startedAt = performance.now()
    await guard.close()
    t.ok(performance.now() - startedAt < 500 + 100)
    t.match(guard.state, { closed: true, connection: 'end' })
    t.match(await errorOf(guard.client.get('a')), { code: 'FST_BRK_REDIS_CLOSED' })
  }
})
