import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import t from 'tap'
import { ListSource } from '../../../services/consumer/list/list-source.ts'
import { startFaultProxy } from '../../helpers/fault-proxy.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { AOF, DEAD_LETTERS, NOTHING, PROCESSING, QUEUE, connection, contents, envelope, listSource, push, slot, versions, world } from './queue-world.ts'

t.test('R8.1 a take moves and claims in one step, oldest first; an acknowledgement leaves nothing', async (t) => {
  const { redis, source } = await world(t)
  await push(redis, ...['1', '2', '3'].map((version) => envelope(version)))
  const taken = await source.take(2, 0)
  t.strictSame(versions(taken), ['1', '2'])
  t.strictSame(taken.map(({ deliveries }) => deliveries), [1, 1])
  t.match(await contents(redis), { queue: ['3'], processing: ['1', '2'], others: ['claims'] })
  t.equal(await source.acknowledge(taken[0]!), true)
  t.equal(await source.acknowledge(taken[0]!), false, 'once')
  t.equal(await source.acknowledge(taken[1]!), true)
  t.strictSame(await contents(redis), { ...NOTHING, queue: ['3'] })
})

t.test('an empty queue is waited for; a message that comes wakes the take, and no message is moved by waiting', async (t) => {
  const { redis, source } = await world(t)
  const startedAt = performance.now()
  t.strictSame(await source.take(1, 100), [])
  t.ok(performance.now() - startedAt >= 90)
  const taking = source.take(5, 5000)
  await delay(30)
  await push(redis, envelope('1'))
  t.strictSame(versions(await taking), ['1'])
  t.ok(performance.now() - startedAt < 2000)
})

t.test('identical bytes twice are two messages', async (t) => {
  const { redis, source } = await world(t)
  const body = envelope('1')
  await push(redis, body, body, body)
  const [first, second, third] = await source.take(3, 0)
  t.equal(new Set([first, second, third].map((delivery) => delivery!.receipt)).size, 3)
  t.equal(await source.acknowledge(first!), true)
  t.equal(await source.acknowledge(first!), false, 'its receipt does not acknowledge another copy')
  t.equal((await contents(redis)).processing.length, 2)
  t.equal(await source.retry(second!, Buffer.from(body), 0), true)
  t.equal(await source.retry(third!, Buffer.from(body), 0), true)
  t.equal((await source.take(3, 0)).length, 2, 'also those that waited for their next attempt')
})

t.test('R8.1 what a dead consumer left comes back when its lease ran out: to be taken next, in its old order', async (t) => {
  const { redis, source } = await world(t, { visibilityMs: 600 })
  await push(redis, ...['1', '2', '3', '4'].map((version) => envelope(version)))
  const [first, second] = await source.take(3, 0)
  t.strictSame(await source.recover(), { abandoned: 0, due: 0 }, 'not before')
  for (let i = 0; i < 4; i++) {
    await delay(200)
    t.strictSame(await source.renew([first!]), new Set([first!.receipt]), 'renewed, a lease goes on')
  }
  const other = await listSource(t, redis, { visibilityMs: 600 })
  t.strictSame(await other.recover(), { abandoned: 2, due: 0 })
  t.match(await contents(redis), { queue: ['2', '3', '4'], processing: ['1'] })
  t.strictSame(await source.renew([first!, second!]), new Set([first!.receipt]))
  for (const end of [source.acknowledge(second!), source.retry(second!, Buffer.from('x'), 0), source.bury(second!, Buffer.from('x'))]) {
    t.equal(await end, false, 'what is not ours any more stays as it is')
  }
  t.equal(await source.handBack([second!]), 0)
  const again = await other.take(1, 0)
  t.equal(again[0]!.deliveries, 2)
  t.match(await contents(redis), { queue: ['3', '4'], processing: ['1', '2'], letters: [] })
})

t.test('R8.1 all consumers may recover at once', async (t) => {
  const { redis, source } = await world(t, { visibilityMs: 100 })
  await push(redis, ...['1', '2', '3'].map((version) => envelope(version)))
  await source.take(3, 0)
  await delay(120)
  const others = await Promise.all([1, 2, 3, 4].map(() => listSource(t, redis, { visibilityMs: 100 })))
  const recovered = await Promise.all(others.map((other) => other.recover()))
  t.equal(recovered.reduce((sum, { abandoned }) => sum + abandoned, 0), 3)
  t.match(await contents(redis), { queue: ['1', '2', '3'], processing: [] })
})

t.test('R8.1 a message without a claim is left alone for two visibility periods after it was first seen', async (t) => {
  const { redis, source, client } = await world(t, { visibilityMs: 200 })
  await push(redis, envelope('1'), envelope('2'))
  // As a redis-py consumer takes.
  await client.brpoplpush(QUEUE, PROCESSING, 1)
  const startedAt = performance.now()
  t.strictSame(await source.recover(), { abandoned: 0, due: 0 })
  while (performance.now() - startedAt < 350) {
    t.strictSame(await source.recover(), { abandoned: 0, due: 0 })
    await delay(50)
  }
  await until(async () => (await source.recover()).abandoned === 1)
  t.ok(performance.now() - startedAt >= 400)
  t.match(await contents(redis), { queue: ['1', '2'], processing: [], others: ['recoveries'] })
})

t.test('the watch over unclaimed messages starts anew after a gap: the same bytes may have come again', async (t) => {
  const { redis, source, client } = await world(t, { visibilityMs: 100 })
  const body = envelope('1')
  await push(redis, body)
  await client.brpoplpush(QUEUE, PROCESSING, 1)
  await source.recover()
  await delay(300)
  t.strictSame(await source.recover(), { abandoned: 0, due: 0 })
})

t.test('beside a claimed copy, an unclaimed one is found', async (t) => {
  const { redis, source, client } = await world(t, { visibilityMs: 400 })
  const body = envelope('1')
  await push(redis, body, body)
  await client.brpoplpush(QUEUE, PROCESSING, 1)
  const [mine] = await source.take(1, 0)
  let recovered = 0
  for (let i = 0; i < 40 && recovered === 0; i++) {
    recovered += (await source.recover()).abandoned
    await source.renew([mine!])
    await delay(25)
  }
  t.equal(recovered, 1)
  t.equal(await source.acknowledge(mine!), true)
})

t.test('R8.1 a message that its consumers do not survive is put back three times, then it is a dead letter', async (t) => {
  const { redis, source } = await world(t, { visibilityMs: 100 })
  await push(redis, envelope('poison'))
  for (let delivery = 1; delivery <= 4; delivery++) {
    const [taken] = await source.take(1, 0)
    t.equal(taken!.deliveries, delivery)
    await delay(110)
    await source.recover()
  }
  const { letters, ...rest } = await contents(redis)
  t.match(rest, { queue: [], processing: [], others: [] })
  t.match(letters, [/^FastifyError: The message was recovered 3 times within 72 h/])
})

t.test('R8.1 a retry waits in the delayed set, and comes when it is due, before all that waits', async (t) => {
  const { redis, source } = await world(t)
  await push(redis, envelope('1'), envelope('2'), envelope('3'))
  const [first, second] = await source.take(2, 0)
  t.equal(await source.retry(first!, Buffer.from(envelope('1 again')), 150), true)
  t.equal(await source.retry(second!, Buffer.from(envelope('2 again')), 100), true)
  t.match(await contents(redis), { queue: ['3'], processing: [], others: ['delayed'] })
  await delay(160)
  t.strictSame(await source.recover(), { abandoned: 0, due: 2 })
  t.strictSame((await contents(redis)).queue, ['2 again', '1 again', '3'])
  for (const delivery of await source.take(3, 0)) await source.acknowledge(delivery)
  const [fourth] = (await push(redis, envelope('4')), await source.take(1, 0))
  await source.retry(fourth!, fourth!.body, 80)
  const startedAt = performance.now()
  t.strictSame(versions(await source.take(1, 5000)), ['4'], 'a take waits no longer than until the next one is due')
  t.ok(performance.now() - startedAt < 1000)
})

t.test('a dead letter is written in the step that removes the message', async (t) => {
  const { redis, source } = await world(t)
  await push(redis, envelope('1'))
  const [taken] = await source.take(1, 0)
  t.equal(await source.bury(taken!, Buffer.from('{"error":"bad"}')), true)
  t.equal(await source.bury(taken!, Buffer.from('{"error":"bad"}')), false)
  t.strictSame(await contents(redis), { ...NOTHING, letters: ['bad'] })
  await push(redis, envelope('2'))
  const [gone] = await source.take(1, 0)
  await redis.cli('del', PROCESSING)
  t.equal(await source.bury(gone!, Buffer.from('{"error":"bad"}')), false, 'nor is one written for a message that somebody removed')
  t.equal(await source.retry((await push(redis, envelope('3')), await source.take(1, 0))[0]!, Buffer.from('{}'), 10), true)
  t.equal(await redis.cli('llen', DEAD_LETTERS), 1)
})

t.test('R8.1 hand back is one step, and keeps the old order', async (t) => {
  const { redis, source } = await world(t)
  await push(redis, ...['1', '2', '3', '4'].map((version) => envelope(version)))
  const [first, second, third] = await source.take(3, 0)
  await source.acknowledge(second!)
  t.equal(await source.handBack([first!, second!, third!]), 2)
  t.strictSame(await contents(redis), { ...NOTHING, queue: ['1', '3', '4'] })
  t.equal(await source.handBack([]), 0)
})

t.test('seize takes everything from everybody, in order', async (t) => {
  const { redis, source, client } = await world(t)
  await push(redis, ...['1', '2', '3'].map((version) => envelope(version)))
  await client.brpoplpush(QUEUE, PROCESSING, 1)
  await source.take(1, 0)
  t.equal(await source.seize(), 2)
  t.strictSame(await contents(redis), { ...NOTHING, queue: ['1', '2', '3'] })
})

t.test('R8.1 a take whose reply was lost is given again by the next one', async (t) => {
  const redis = await startRedis(t)
  const proxy = await startFaultProxy(t, redis.port)
  const source = await listSource(t, redis, { client: await connection(t, proxy.port), commandTimeoutMs: 150 })
  await push(redis, ...['1', '2', '3', '4', '5'].map((version) => envelope(version)))
  t.strictSame(versions(await source.take(1, 0)), ['1'])
  proxy.fault = 'swallow-replies'
  await t.rejects(source.take(3, 0), { code: 'FST_BRK_CONSUMER_TIMEOUT' })
  proxy.fault = 'pass'
  proxy.cut()
  const again = await until(() => source.take(2, 0).catch(() => null))
  t.strictSame(versions(again), ['2', '3'])
  t.strictSame(versions(await source.take(2, 0)), ['4'])
  t.strictSame(versions(await source.take(2, 0)), ['5'])
  t.equal(await source.acknowledge(again[0]!), true)
})

t.test('a script that Redis has forgotten is sent again', async (t) => {
  const { redis, source } = await world(t)
  await push(redis, envelope('1'))
  await source.take(1, 0)
  await redis.cli('script', 'flush')
  await push(redis, envelope('2'))
  t.strictSame(versions(await source.take(1, 0)), ['2'])
})

t.test('leases survive a restart of Redis with its log', async (t) => {
  const { redis, source } = await world(t, {}, { args: AOF })
  await push(redis, envelope('1'))
  const [taken] = await source.take(1, 0)
  await redis.kill()
  await t.rejects(source.acknowledge(taken!))
  await redis.restart(AOF)
  t.equal(await until(() => source.acknowledge(taken!).catch(() => null)), true)
})

t.test('what others removed from processing leaves no traces for ever', async (t) => {
  const { redis, source } = await world(t)
  const longAgo = Date.now() - 73 * 3_600_000
  await redis.cli('hset', slot('claims'), 'a', `x:${longAgo}`, 'b', `x:${Date.now()} y:${longAgo}`)
  await redis.cli('hset', slot('first-seen'), 'a', `${longAgo}:${longAgo}`)
  await redis.cli('hset', slot('recoveries'), 'a', `1:${longAgo}`, 'b', `1:${Date.now()}`)
  await source.recover()
  t.strictSame(await redis.cli('hkeys', slot('claims')), ['b'])
  t.strictSame(await redis.cli('hkeys', slot('recoveries')), ['b'])
  t.equal(await redis.cli('exists', slot('first-seen')), 0)
})

t.test('a long processing list is looked at in bounded steps', async (t) => {
  const { redis, source, client } = await world(t, { visibilityMs: 100 })
  const bodies = Array.from({ length: 450 }, (_, index) => envelope(String(index)))
  await client.lpush(QUEUE, ...bodies)
  await source.take(450, 0)
  await delay(110)
  t.equal((await source.recover()).abandoned, 200)
  t.strictSame((await contents(redis)).queue[0], '0')
  t.equal((await source.recover()).abandoned, 200)
  t.equal((await source.recover()).abandoned, 50)
})

t.test('options that cannot work are refused', async (t) => {
  const client = { callBuffer: async () => null, disconnect: () => {} }
  t.throws(() => new ListSource({ client, blocking: client, queue: 'q' }), { code: 'FST_BRK_CONSUMER_OPTION', message: /connection of its own/ })
  t.throws(() => new ListSource({ client, blocking: { ...client }, queue: 'q', visibilityMs: 0 }), { code: 'FST_BRK_CONSUMER_OPTION' })
})

t.test('R8.1 in a cluster everything is in the slot of the queue, and untagged leftovers come back too', async (t) => {
  const redis = await startRedis(t, { args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'] })
  await redis.cli('cluster', 'addslotsrange', 0, 16383)
  await until(async () => String(await redis.cli('cluster', 'info')).includes('cluster_state:ok'))
  const cluster = async () => {
    const client = new Cluster([{ host: redis.host, port: redis.port }], { enableOfflineQueue: false, redisOptions: { autoResendUnfulfilledCommands: false } })
    t.teardown(() => client.disconnect())
    await once(client, 'ready')
    return client
  }
  const source = new ListSource({ client: await cluster(), blocking: await cluster(), queue: QUEUE, cluster: true, visibilityMs: 100 })
  await push(redis, envelope('2'))
  const [taken] = await source.take(1, 50)
  t.equal(await redis.cli('llen', slot('processing')), 1)
  t.equal(await source.bury(taken!, Buffer.from('x')), true)
  t.equal(await redis.cli('llen', slot('dlq')), 1)
  t.strictSame(await source.take(1, 50), [])

  // A consumer without tags cannot move in one step here; it does it in two.
  await redis.cli('lpush', PROCESSING, envelope('0'), envelope('1'))
  await push(redis, envelope('3'))
  t.equal((await source.recover()).abandoned, 0)
  const other = new ListSource({ client: await cluster(), blocking: await cluster(), queue: QUEUE, cluster: true, visibilityMs: 100 })
  let moved = 0
  await until(async () => {
    for (const { abandoned } of await Promise.all([source.recover(), other.recover()])) moved += abandoned
    return moved === 2
  })
  t.strictSame(versions(await source.take(5, 0)), ['0', '1', '3'], 'once, though two consumers saw them')
  t.equal(await redis.cli('exists', PROCESSING), 0)
  t.equal((await source.recover()).abandoned, 0)
})
