import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Delivery } from '../../../services/consumer/source.ts'
import { StreamSource } from '../../../services/consumer/stream/stream-source.ts'
import type { StreamSourceOptions } from '../../../services/consumer/stream/stream-source.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { Random } from '../../helpers/random.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

const QUEUE = 'queue'
const STREAM = '{queue}:stream'
const DELAYED = '{queue}:stream-delayed'
const VISIBILITY_MS = 40
const OVERDUE_MS = 60

t.setTimeout(120_000)

async function connection (t: Teardown, server: RedisServer): Promise<Redis> {
  const client = new Redis({ port: server.port, enableOfflineQueue: false, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, retryStrategy: () => 20 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  await once(client, 'ready')
  return client
}

async function start (t: Teardown, server?: RedisServer) {
  const redis = server ?? await startRedis(t)
  const client = await connection(t, redis)
  const source = async (options: Partial<StreamSourceOptions> = {}) => new StreamSource({
    client, blocking: await connection(t, redis), queue: QUEUE, visibilityMs: VISIBILITY_MS, ...options
  })
  const add = async (...bodies: (string | Buffer)[]) => {
    for (const body of bodies) await client.xadd(STREAM, '*', 'body', body)
  }
  const pending = async (group = 'breakwater') => (await client.xpending(STREAM, group) as [number])[0]
  return { redis, client, source, add, pending }
}

const text = (deliveries: Delivery[]) => deliveries.map(({ body }) => body.toString())

t.test('R8.1 messages come oldest first, byte for byte, and stay pending until they are acknowledged', async (t) => {
  const { source, add, pending, client } = await start(t)
  const bytes = Buffer.from([0x7b, 0xff, 0x00, 0x0a, 0xfe])
  await add('1', '2', bytes)
  const consumer = await source()
  const [first, second] = await consumer.take(2, 0) as [Delivery, Delivery]
  t.strictSame(text([first, second]), ['1', '2'], 'a group that is made later skips nothing')
  const [third] = await consumer.take(2, 0) as [Delivery]
  t.strictSame(third.body, bytes)
  t.strictSame([first, second, third].map(({ deliveries }) => deliveries), [1, 1, 1])
  t.equal(new Set([first, second, third].map(({ receipt }) => receipt)).size, 3)
  t.strictSame(await consumer.take(2, 0), [])
  t.equal(await pending(), 3)
  t.ok(await consumer.acknowledge(first))
  t.notOk(await consumer.acknowledge(first), 'only once')
  t.ok(await consumer.acknowledge(third))
  t.equal(await pending(), 1)
  t.equal(await client.xlen(STREAM), 3, 'a group removes nothing from the stream')
})

t.test('R8.1 a take waits for the first message, and no longer than it may', async (t) => {
  const { source, add } = await start(t)
  const consumer = await source()
  const startedAt = performance.now()
  t.strictSame(await consumer.take(5, 80), [])
  const waitedMs = performance.now() - startedAt
  t.ok(waitedMs >= 75 && waitedMs < 1000, `${waitedMs} ms`)
  const taking = consumer.take(5, 10_000)
  await delay(20)
  await add('1')
  t.strictSame(text(await taking), ['1'])
})

t.test('R8.1 the consumers of a group share the messages, each group gets all of them', async (t) => {
  const { source, add } = await start(t)
  await add('1', '2', '3', '4')
  const [one, two, other] = [await source(), await source(), await source({ group: 'audit' })]
  t.strictSame([text(await one.take(2, 0)), text(await two.take(4, 0))], [['1', '2'], ['3', '4']])
  t.strictSame(text(await other.take(9, 0)), ['1', '2', '3', '4'])
  const late = await source({ group: 'late', from: '$' })
  t.strictSame(await late.take(9, 0), [])
  await add('5')
  t.strictSame(text(await late.take(9, 0)), ['5'])
})

t.test('options that break their rules are refused', async (t) => {
  const [client, blocking] = [{} as any, {} as any]
  for (const wrong of [{ group: 'a b' }, { group: '' }, { blocking: client }, { visibilityMs: 0 }]) {
    t.throws(() => new StreamSource({ client, blocking, queue: QUEUE, ...wrong }), { code: 'FST_BRK_CONSUMER_OPTION' })
  }
})

t.test('R8.1 kill -9: what the dead consumer had comes back in order, nothing is lost', async (t) => {
  const { source, add, pending, redis } = await start(t)
  await add('1', '2', '3', '4')
  const child = spawn(process.execPath, [`${import.meta.dirname}/stream-subject.ts`, String(redis.port), QUEUE, '3'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = await once(createInterface(child.stdout), 'line') as [string]
  t.strictSame(JSON.parse(line), ['1', '2', '3'])
  child.kill('SIGKILL')
  await once(child, 'exit')

  const patient = await source({ visibilityMs: 60_000 })
  const [own] = await patient.take(9, 0) as [Delivery]
  t.strictSame(text([own]), ['4'])
  t.strictSame(await patient.recover(), { abandoned: 0, due: 0 }, 'the lease of the dead one still runs')
  await patient.acknowledge(own)
  const survivor = await source()
  let recovered = 0
  await until(async () => (recovered += (await survivor.recover()).abandoned) === 3)
  const taken = await survivor.take(9, 0)
  t.strictSame(text(taken), ['1', '2', '3'])
  t.strictSame(taken.map(({ deliveries }) => deliveries), [2, 2, 2])
  for (const delivery of taken) t.ok(await survivor.acknowledge(delivery))
  t.equal(await pending(), 0)
})

t.test('R8.1 whoever lost the lease can do nothing any more, not even when the message came back to it', async (t) => {
  const { source, add, client, pending } = await start(t)
  await add('1')
  const [slow, quick] = [await source(), await source()]
  const [stale] = await slow.take(1, 0) as [Delivery]
  await delay(OVERDUE_MS)
  t.match(await quick.recover(), { abandoned: 1 })
  t.match(await slow.recover(), { abandoned: 0 }, 'counted once')
  const refused = async (delivery: Delivery, owner: StreamSource) => {
    t.notOk(await owner.acknowledge(delivery))
    t.notOk(await owner.retry(delivery, Buffer.from('x'), 0))
    t.notOk(await owner.bury(delivery, Buffer.from('x')))
    t.equal(await owner.handBack([delivery]), 0)
    t.strictSame(await owner.renew([delivery]), new Set())
    t.strictSame([await client.llen('queue:dlq'), await client.zcard(DELAYED), await pending()], [0, 0, 1], 'nothing changed')
  }
  await refused(stale, slow)
  const [second] = await quick.take(1, 0) as [Delivery]
  await refused(stale, slow)
  await delay(OVERDUE_MS)
  await quick.recover()
  const [third] = await slow.take(1, 0) as [Delivery]
  t.strictSame([second.deliveries, third.deliveries], [2, 3])
  t.not(stale.receipt, third.receipt)
  await refused(stale, slow)
  await refused(second, quick)
  t.ok(await slow.acknowledge(third))
})

t.test('R8.1 a renewed lease does not run out', async (t) => {
  const { source, add } = await start(t)
  await add('1', '2')
  const [holder, other] = [await source({ visibilityMs: 500 }), await source({ visibilityMs: 500 })]
  const [kept, dropped] = await holder.take(2, 0) as [Delivery, Delivery]
  for (let round = 0; round < 8; round++) {
    await delay(80)
    t.strictSame(await holder.renew([kept]), new Set([kept.receipt]))
  }
  t.match(await other.recover(), { abandoned: 1 })
  t.strictSame(text(await other.take(9, 0)), ['2'])
  t.strictSame(await holder.renew([kept, dropped]), new Set([kept.receipt]))
  t.strictSame(await holder.renew([]), new Set())
  t.ok(await holder.acknowledge(kept))
})

t.test('R8.1 retry: out of hand and into the delayed in one step, back at the end when due, for this group alone', async (t) => {
  const { source, add, client, pending } = await start(t)
  await add('same', 'same', '3')
  const options = { visibilityMs: 60_000 }
  const [consumer, audit] = [await source(options), await source({ ...options, group: 'audit' })]
  const [first, second] = await consumer.take(2, 0) as [Delivery, Delivery]
  t.ok(await consumer.retry(first, Buffer.from('again \n 1'), 0))
  t.ok(await consumer.retry(second, Buffer.from('again \n 1'), 1000))
  t.notOk(await consumer.retry(second, Buffer.from('again'), 0))
  t.strictSame([await client.zcard(DELAYED), await pending()], [2, 0], 'equal bodies are two messages')
  t.strictSame(await consumer.recover(), { abandoned: 0, due: 1 })
  t.strictSame(text(await consumer.take(9, 0)), ['3', 'again \n 1'])
  const startedAt = performance.now()
  const again = await until(async () => {
    const taken = await consumer.take(9, 20_000)
    return taken.length > 0 && text(taken)
  })
  t.strictSame(again, ['again \n 1'], 'a take finds it without any recovery')
  t.ok(performance.now() - startedAt < 10_000, 'and does not wait for longer than that')
  t.strictSame(text(await audit.take(9, 0)), ['same', 'same', '3'], 'another group sees no retries')
  t.strictSame(await audit.take(9, 0), [])
  t.equal(await pending('audit'), 3, 'and they do not stay pending there')
  const blocked = audit.take(9, 2000)
  await delay(20)
  await client.xadd(STREAM, '*', 'body', 'x', 'group', 'breakwater')
  t.strictSame(await blocked, [], 'nor when it waits')
  t.equal(await pending('audit'), 3)
})

t.test('R8.1 retry and bury that the server refuses leave the message in hand', async (t) => {
  const { source, add, client } = await start(t)
  await add('1')
  const consumer = await source()
  const [message] = await consumer.take(1, 0) as [Delivery]
  await client.set(DELAYED, 'x')
  await client.set('queue:dlq', 'x')
  t.strictSame(await consumer.take(1, 0), [], 'and others can be taken')
  await t.rejects(consumer.retry(message, Buffer.from('1'), 0), /WRONGTYPE/)
  await t.rejects(consumer.bury(message, Buffer.from('1')), /WRONGTYPE/)
  await client.del(DELAYED, 'queue:dlq')
  t.ok(await consumer.bury(message, Buffer.from('letter')))
  t.strictSame(await client.lrange('queue:dlq', 0, -1), ['letter'])
})

t.test('R5.5 dead letters: in the slot of the queue where there is a cluster; too many deliveries make one', async (t) => {
  const { source, add, client, pending } = await start(t)
  await add('poison', 'good')
  const logger = memoryLogger()
  const consumer = await source({ cluster: true, maxDeliveries: 2, logger })
  for (const round of [1, 2]) {
    const taken = await consumer.take(9, 0)
    t.strictSame(text(taken), round === 1 ? ['poison', 'good'] : ['poison'])
    for (const delivery of taken) if (delivery.body.toString() === 'good') await consumer.acknowledge(delivery)
    await delay(OVERDUE_MS)
    t.match(await consumer.recover(), { abandoned: 1 })
  }
  await add('next')
  t.strictSame(text(await consumer.take(9, 0)), ['next'])
  const letter = JSON.parse((await client.lpop('{queue}:dlq'))!)
  t.match(letter, { original_message: 'poison', error: /taken 2 times/, original_queue: QUEUE })
  t.equal(await pending(), 1)
  t.strictSame(logger.of('warn'), ['message was taken too often, it becomes a dead letter'])

  await client.set('{queue}:dlq', 'x')
  for (const wanted of [['next'], [], []]) {
    await delay(OVERDUE_MS)
    await consumer.recover()
    t.strictSame(text(await consumer.take(9, 0)), wanted)
  }
  t.equal(await pending(), 1, 'what cannot be buried is not lost')
})

t.test('R8.1 handBack: taken next, in the old order, at once by anybody', async (t) => {
  const { source, add, client } = await start(t)
  await add('1', '2', '3', '4', '5')
  const [leaving, staying] = [await source({ visibilityMs: 60_000 }), await source({ visibilityMs: 60_000 })]
  const taken = await leaving.take(3, 0)
  await leaving.acknowledge(taken[1]!)
  t.equal(await leaving.handBack([taken[2]!, taken[0]!, taken[1]!]), 2)
  t.equal(await leaving.handBack([]), 0)
  t.match(await staying.recover(), { abandoned: 0 }, 'handed back is not abandoned')
  const next = await staying.take(3, 0)
  t.strictSame(text(next), ['1', '3', '4'])
  t.strictSame(next.map(({ deliveries }) => deliveries), [2, 2, 1])

  await staying.handBack(next)
  const [, claimed] = await client.xautoclaim(STREAM, 'breakwater', 'redis-py', 30_000, '0') as [string, unknown[]]
  t.equal(claimed.length, 3, 'by a consumer of another make too')

  const [dead, recovering] = [await source(), await source()]
  t.equal((await dead.take(9, 0)).length, 1)
  await delay(OVERDUE_MS)
  await recovering.recover()
  const [, recovered] = await client.xautoclaim(STREAM, 'breakwater', 'redis-py', 30_000, '0') as [string, unknown[]]
  t.equal(recovered.length, 4, 'and so is what was recovered')
})

t.test('R8.1 recover is bounded and goes on where it stopped', async (t) => {
  const { source, client } = await start(t)
  const pipeline = client.pipeline()
  for (let index = 0; index < 2500; index++) pipeline.xadd(STREAM, '*', 'body', String(index))
  await pipeline.exec()
  const [dead, alive] = [await source(), await source()]
  t.equal((await dead.take(2500, 0)).length, 2500)
  await delay(OVERDUE_MS)
  const counts = [(await alive.recover()).abandoned, (await alive.recover()).abandoned, (await alive.recover()).abandoned]
  t.strictSame(counts, [1000, 1000, 500])
  t.strictSame(text(await alive.take(2500, 0)), Array.from({ length: 2500 }, (_, index) => String(index)))
})

t.test('R8.1 FLUSHALL: the group comes back, nothing new is skipped, and what was in hand is nobody\'s', async (t) => {
  const { source, add, client } = await start(t)
  const logger = memoryLogger()
  const consumer = await source({ from: '$', logger })
  await consumer.take(1, 0)
  await add('1')
  const [lost] = await consumer.take(1, 0) as [Delivery]
  await client.flushall()
  t.notOk(await consumer.acknowledge(lost))
  t.strictSame(await consumer.renew([lost]), new Set())
  t.equal(await consumer.handBack([lost]), 0)
  await add('2', '3')
  t.strictSame(text(await consumer.take(9, 0)), ['2', '3'], 'from the oldest, though it began at the end')

  const waiting = consumer.take(9, 10_000)
  await delay(20)
  await client.flushall()
  await add('4')
  t.strictSame(text(await waiting), ['4'], 'also when it happens during a wait')
  await client.flushall()
  t.strictSame(await consumer.recover(), { abandoned: 0, due: 0 })
  t.equal(logger.of('info').length, 4, 'each time it says so')
})

t.test('R5.3 a replica knows who has what: after a failover the same consumers go on', async (t) => {
  const primary = await startRedis(t, { args: ['--repl-diskless-sync-delay', '0'] })
  const replica = await startRedis(t, { args: ['--replicaof', primary.host, String(primary.port)] })
  await until(async () => /master_link_status:up/.test(await replica.cli('info', 'replication')))
  const { source, add, client } = await start(t, primary)
  await add('1', '2', '3', '4', '5', '6')
  const consumer = await source({ consumer: 'me', visibilityMs: 60_000 })
  const taken = await consumer.take(5, 0)
  await consumer.acknowledge(taken[0]!)
  await consumer.retry(taken[1]!, Buffer.from('2 again'), 0)
  await consumer.handBack([taken[2]!])
  await consumer.recover()
  const [third] = await consumer.take(1, 0) as [Delivery]
  t.strictSame([third.body.toString(), third.deliveries], ['3', 2])
  t.equal(await client.wait(1, 5000), 1)
  const entries = async (server: RedisServer) => (await server.cli('xpending', STREAM, 'breakwater', '-', '+', 9)).map(([id, owner,, count]: unknown[]) => [id, owner, count])
  t.strictSame(await entries(replica), await entries(primary))
  t.equal((await entries(primary)).length, 3)

  await primary.kill()
  await replica.cli('replicaof', 'no', 'one')
  const promoted = new StreamSource({ client: await connection(t, replica), blocking: await connection(t, replica), queue: QUEUE, consumer: 'me', visibilityMs: 60_000 })
  t.ok(await promoted.acknowledge(third))
  t.strictSame(text(await promoted.take(9, 0)), ['6', '2 again'])
})

t.test('entries that somebody deleted unread are reported, and block nothing', async (t) => {
  const { source, add, client, pending } = await start(t)
  await add('1', '2')
  const logger = memoryLogger()
  const consumer = await source({ logger, visibilityMs: 60_000 })
  const taken = await consumer.take(2, 0)
  await consumer.handBack(taken)
  await client.xtrim(STREAM, 'MAXLEN', 0)
  await add('3')
  t.strictSame(text(await consumer.take(9, 0)), ['3'])
  t.match(logger.lines.filter(({ level }) => level === 'error'), [{ details: { vanished: 2 } }])
  t.equal(await pending(), 1)

  await add('4')
  const hasty = await source({ logger })
  await hasty.take(9, 0)
  await client.xtrim(STREAM, 'MAXLEN', 0)
  await delay(OVERDUE_MS)
  t.strictSame([await hasty.recover(), await hasty.take(9, 0)], [{ abandoned: 0, due: 0 }, []])
  t.equal(logger.of('error').length, 2)
  t.equal(await pending(), 0)
})

t.test('I1 a Redis that does not answer is given up in time', async (t) => {
  const { source, redis } = await start(t)
  const consumer = await source({ commandTimeoutMs: 100 })
  await consumer.take(1, 0)
  const waiting = consumer.take(1, 50)
  redis.freeze()
  await t.rejects(waiting, { code: 'FST_BRK_CONSUMER_TIMEOUT' })
  await t.rejects(consumer.recover())
  redis.thaw()
  await until(() => consumer.take(1, 0).catch(() => null))
})

t.test('an entry of another make becomes a message that tells what it was', async (t) => {
  const { source, client } = await start(t)
  await client.xadd(STREAM, '*', 'name', 'churn', 'version', '1')
  const [foreign] = await (await source()).take(1, 0) as [Delivery]
  t.strictSame(JSON.parse(foreign.body.toString()), { name: 'churn', version: '1' })
})

t.test('a consumer leaves the group when it holds nothing', async (t) => {
  const { source, add, client } = await start(t)
  await add('1')
  const [holder, idle] = [await source({ consumer: 'holder' }), await source({ consumer: 'idle' })]
  const names = async () => (await client.xinfo('CONSUMERS', STREAM, 'breakwater') as string[][]).map(([, name]) => name)
  const [message] = await holder.take(1, 0) as [Delivery]
  await idle.take(1, 0)
  await holder.close()
  await idle.close()
  t.strictSame(await names(), ['holder'], 'what it holds would go with it')
  await holder.acknowledge(message)
  await holder.close()
  t.strictSame(await names(), [])
  await client.flushall()
  await holder.close()
})

t.test('R8.1 random consumers that take, finish, fail, vanish and recover: each message ends exactly once', async (t) => {
  const { source, client } = await start(t)
  const consumers = await Promise.all(Array.from({ length: 3 }, () => source({ visibilityMs: 1, maxDeliveries: Infinity })))
  for (let seed = 1; seed <= 25; seed++) {
    const random = new Random(seed)
    await client.flushall()
    const held: { owner: StreamSource, delivery: Delivery }[] = []
    const ended: string[] = []
    let sent = 0
    const end = async ({ owner, delivery }: typeof held[number]) => {
      const body = delivery.body.toString()
      const dice = random.next()
      if (dice < 0.5) return await owner.acknowledge(delivery) && ended.push(body)
      if (dice < 0.6) return await owner.bury(delivery, Buffer.from('letter')) && ended.push(body)
      if (dice < 0.7) return await owner.handBack([delivery])
      if (dice < 0.8) return await owner.retry(delivery, delivery.body, random.below(3))
      if (dice < 0.9) return await owner.renew([delivery])
    }
    for (let step = 0; step < 80; step++) {
      const owner = random.pick(consumers)
      const dice = random.next()
      if (dice < 0.3) await client.xadd(STREAM, '*', 'body', `m${++sent}`)
      else if (dice < 0.6) held.push(...(await owner.take(1 + random.below(3), 0)).map((delivery) => ({ owner, delivery })))
      else if (dice < 0.7) await owner.recover()
      // What stays in `held` is ended a second time later, by an owner that may have lost it.
      else if (held.length > 0) await end(random.chance(0.7) ? held.splice(random.below(held.length), 1)[0]! : random.pick(held))
    }
    await until(async () => {
      const [owner] = consumers as [StreamSource]
      await owner.recover()
      for (const delivery of await owner.take(100, 0)) if (await owner.acknowledge(delivery)) ended.push(delivery.body.toString())
      return ended.length >= sent
    })
    const wanted = Array.from({ length: sent }, (_, index) => `m${index + 1}`)
    const found = ended.toSorted((a, b) => Number(a.slice(1)) - Number(b.slice(1)))
    if (found.join() !== wanted.join()) return t.strictSame(found, wanted, `seed ${seed}`)
  }
  t.pass('25 seeds')
})
