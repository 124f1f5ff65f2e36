import type { Cluster, Redis } from 'ioredis'
import t from 'tap'
import { startRedisCluster } from '../../../helpers/redis-cluster.ts'
import { until } from '../../../helpers/until.ts'
import { healthyClusterGuard, keysByShard } from './worlds.ts'

type Subject = Cluster & Record<string, (...args: unknown[]) => Promise<unknown>>

const errorOf = async (promise: Promise<unknown>) => await promise.then(() => null, (error) => error)

t.test('R3.1 in a cluster the documented uses of an ioredis Cluster hold', async (t) => {
  const cluster = await startRedisCluster(t, { masters: 3 })
  const guard = await healthyClusterGuard(t, cluster)
  const client = guard.cluster as Subject
  const [one, two, three] = await keysByShard(cluster) as [string, string, string]

  await t.test('keys, callbacks, bytes, pipelines and transactions of one slot', async (t) => {
    t.strictSame(await Promise.all([one, two, three].map((key) => client.set(key, key))), ['OK', 'OK', 'OK'])
    t.equal(await new Promise((resolve) => { void client.get(two, (_error, value) => resolve(value)) }), two)
    t.strictSame(await client.getBuffer(three), Buffer.from(three))
    t.strictSame(await client.pipeline().set(`{${one}}x`, 1).incr(`{${one}}x`).exec(), [[null, 'OK'], [null, 2]])
    t.strictSame(await client.multi().incr(`{${one}}x`).get(one).exec(), [[null, 3], [null, one]])
    t.match(await errorOf(client.pipeline().get(one).get(two).exec()), { message: /same slot|same node/i }, 'as in ioredis')
    t.match(await errorOf(client.mget(one, two)), { message: /CROSSSLOT/, kind: 'caller', notApplied: true })
  })

  await t.test('scripts are loaded where they are needed', async (t) => {
    client.defineCommand('mine', { numberOfKeys: 1, lua: 'return redis.call("get", KEYS[1])' })
    t.strictSame(await Promise.all([one, two, three].map((key) => client.mine!(key))), [one, two, three])
    t.strictSame(await client.pipeline([['mine', one], ['mine', one]]).exec(), [[null, one], [null, one]])
  })

  await t.test('every node can be asked by itself', async (t) => {
    t.equal(client.nodes('master').length, 3)
    const found: string[] = []
    for (const node of client.nodes('master')) {
      for await (const keys of node.scanStream()) found.push(...keys as string[])
    }
    t.strictSame(new Set(found), new Set([one, two, three, `{${one}}x`]))
    t.strictSame(await Promise.all(client.nodes('master').map((node) => node.watch(one).catch(({ message }: Error) => message.slice(0, 5)))).then((replies) => replies.sort()), ['MOVED', 'MOVED', 'OK'])
  })

  await t.test('pub/sub: channels, patterns and shards, on the client and on a duplicate', async (t) => {
    const subscriber = client.duplicate() as Cluster
    t.teardown(() => subscriber.quit())
    const heard: string[][] = []
    for (const event of ['message', 'pmessage', 'smessage']) subscriber.on(event, (...args: string[]) => heard.push([event, ...args]))
    await subscriber.subscribe('news')
    await subscriber.psubscribe('n?ws')
    for (const channel of [one, two, three]) await subscriber.ssubscribe(channel)
    await until(async () => {
      heard.length = 0
      await client.publish('news', 'x')
      for (const channel of [one, two, three]) await client.spublish(channel, 'y')
      return await until(() => heard.length === 5, 500).catch(() => false)
    })
    t.strictSame(heard.sort(), [
      ['message', 'news', 'x'], ['pmessage', 'n?ws', 'news', 'x'], ...[one, two, three].sort().map((channel) => ['smessage', channel, 'y'])
    ].sort())
  })

  await t.test('options, a blocking call on a duplicate, and the end', async (t) => {
    t.match(client, { isCluster: true, status: 'ready', options: { scaleReads: 'master', maxRedirections: 16 } })
    const worker = client.duplicate() as unknown as Redis
    const popped = worker.blpop(`{${two}}queue`, 0)
    await client.lpush(`{${two}}queue`, 'x')
    t.strictSame(await popped, [`{${two}}queue`, 'x'])
    const fresh = () => client.duplicate() as Cluster
    t.strictSame(await fresh().pipeline().get(one).exec(), [[null, one]], 'a pipeline may be the first that a duplicate sends')
    t.strictSame(await fresh().multi().get(two).exec(), [[null, two]], 'or a transaction')
    t.equal(await fresh().get(three), three)
    t.equal(await worker.quit(), 'OK')
    t.match(await errorOf(worker.get(one)), { notApplied: true, code: /^FST_BRK_REDIS/ })
    t.equal(await client.get(one), one, 'the others go on')
  })
})
