import { Redis } from 'ioredis'
import t from 'tap'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { slotKey } from '../../../services/queue/keys.ts'
import { RedisTransport } from '../../../services/relay/transport/redis-transport.ts'
import { Relay } from '../../../services/relay/relay.ts'
import type { RelayOptions } from '../../../services/relay/relay.ts'
import { StreamTransport } from '../../../services/relay/transport/stream-transport.ts'
import type { StreamTransportOptions } from '../../../services/relay/transport/stream-transport.ts'
import type { Transport } from '../../../services/relay/transport/transport.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { plainConnection } from '../../helpers/plain-connection.ts'
import { Random } from '../../helpers/random.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer, RedisServerOptions, Teardown } from '../../helpers/redis-server.ts'
import { Switchboard } from '../../helpers/switchboard.ts'
import { until } from '../../helpers/until.ts'
import { Schedule } from './schedule.ts'
import { streamBodies, streamWorld } from './stream-world.ts'
import { realRelay } from './worlds.ts'

const QUEUE = 'queue'
const STREAM = '{queue}:stream'
const WATERMARKS = '{queue}:stream-watermark'
const FIRST_SEED = Number(process.env.SEED ?? 1)
const SCHEDULES = Number(process.env.STREAM_SCHEDULES ?? 250)

t.setTimeout(300_000)

async function connect (t: Teardown, server: RedisServer): Promise<Redis> {
  const client = new Redis({ port: server.port, retryStrategy: () => 20 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

/** A transport on its own, without journal and relay. */
async function bare (t: Teardown, options: StreamTransportOptions & { server?: RedisServer } = {}) {
  const { server = await startRedis(t), ...rest } = options
  const connection = plainConnection(t, server.port)
  const transport = new StreamTransport(connection, QUEUE, rest)
  await until(() => transport.available)
  const client = await connect(t, server)
  const send = (first: number, bodies: string[], term = 'a', previous: { term: string, seq: number } | null = null) =>
    transport.publish({ term, first, last: first + bodies.length - 1, bodies, previous })
  return { server, transport, client, send, bodies: () => streamBodies(client, QUEUE) }
}

interface Setup {
  server?: RedisServer
  redis?: RedisServerOptions
  port?: number
  journal?: SqliteJournal
  transport?: (server: RedisServer) => Transport
  stream?: StreamTransportOptions
  relay?: Partial<RelayOptions>
}

/** Journal, relay and transport. */
async function start (t: Teardown, setup: Setup = {}) {
  const server = setup.server ?? await startRedis(t, setup.redis)
  const journal = setup.journal ?? new SqliteJournal(new InlineEngine(), 'none')
  const transport = setup.transport?.(server) ?? new StreamTransport(plainConnection(t, setup.port ?? server.port), QUEUE, setup.stream)
  const logger = memoryLogger()
  const relay = new Relay({ journal, transport, logger, idleMs: 20, checkMs: 50, ...setup.relay })
  t.teardown(() => relay.stop())
  relay.start()
  let sent = 0
  const publish = async (count: number) => {
    await journal.append(Array.from({ length: count }, () => ({ key: 'model', body: `m${++sent}` })))
  }
  const queued = async (from = server): Promise<string[]> =>
    (await from.cli('xrange', STREAM, '-', '+')).map(([, [, body]]: [string, string[]]) => body)
  const wanted = () => Array.from({ length: sent }, (_, index) => `m${index + 1}`)
  const arrived = (from = server) => until(async () => (await queued(from).catch(() => [])).length >= sent)
  return { server, journal, transport, logger, relay, publish, queued, wanted, arrived }
}

t.test('I3 the script: what is there is not added again, a gap and an incomplete chain are refused, an empty body counts', async (t) => {
  const { transport, client, send, bodies } = await bare(t)
  t.ok(await send(1, ['1', '2']))
  t.ok(await send(1, ['1', '2']), 'sent again')
  t.ok(await send(2, ['2', '3', '', '5']), 'overlaps')
  t.notOk(await send(7, ['7']), 'a gap')
  t.ok(await send(6, ['']), 'nothing but a buried message')
  t.notOk(await send(1, ['x'], 'b', { term: 'a', seq: 7 }), 'the term before is not complete')
  t.ok(await send(1, ['6'], 'b', { term: 'a', seq: 6 }))
  t.ok(await send(2, ['7'], 'b', { term: 'a', seq: 9 }), 'the chain matters to the first batch only')
  t.strictSame(await bodies(), ['1', '2', '3', '5', '6', '7'])
  t.strictSame(await transport.watermarks(['a', 'b', 'c']), [6, 2, null])
  t.strictSame(await client.hgetall(WATERMARKS), { a: '6', b: '2' })
  t.ok(await transport.rebase('a', 6, 9))
  t.notOk(await transport.rebase('a', 6, 10))
  await transport.forget(['a'])
  t.strictSame(await transport.watermarks(['a', 'b']), [null, 2])
  t.strictSame(await transport.watermarks([]), [])
})

t.test('I3 a queue that refuses leaves the watermark where the entries end', async (t) => {
  const { client, transport, send } = await bare(t)
  await client.set(STREAM, 'no stream')
  await t.rejects(send(1, ['1']), /WRONGTYPE/)
  t.strictSame(await transport.watermarks(['a']), [null])
  await client.del(STREAM)
  await client.xadd(STREAM, '18446744073709551615-18446744073709551614', 'body', '0')
  await t.rejects(send(1, ['1', '2', '3']), /exhausted|equal or smaller/)
  const [, ...added] = await streamBodies(client, QUEUE)
  t.strictSame(added, ['1'], 'the last id there is')
  t.strictSame(await transport.watermarks(['a']), [1], 'those before the refusal count, and only those')
})

t.test('I3, R5.3 relay, SQL and stream script survive random schedules of crash, late command, reset, failover and takeover', { timeout: 120_000 }, async (t) => {
  const server = await startRedis(t)
  const client = await connect(t, server)
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SCHEDULES; seed++) {
    const world = await streamWorld(client, QUEUE)
    const { accepted, queued } = await new Schedule(world, realRelay, new Random(seed)).run(100)
    world.close()
    if (accepted.join() !== queued.join()) return t.strictSame(queued, accepted, `seed ${seed}`)
  }
  t.pass(`${SCHEDULES} schedules`)
})

t.test('R5.1, R5.4 through an outage: accepted all the while, then the backlog in order', async (t) => {
  const { server, publish, queued, wanted, arrived, relay } = await start(t, { redis: { args: ['--appendonly', 'yes'] } })
  await publish(1200)
  await arrived()
  await server.kill()
  await publish(10)
  await server.restart()
  await publish(10)
  await arrived()
  t.strictSame(await queued(), wanted())
  t.match(relay.stats, { rewound: 0, lost: 0, emptied: 0 })
})

t.test('R5.3 a frozen Redis: the batch that timed out is sent again, and is in the stream once', async (t) => {
  const { server, publish, queued, wanted, arrived, relay } = await start(t)
  await publish(5)
  await arrived()
  server.freeze()
  await publish(5)
  await until(() => relay.stats.lastError !== null)
  server.thaw()
  await publish(5)
  await arrived()
  t.strictSame(await queued(), wanted())
})

t.test('R5.3 FLUSHALL: replay sends what is retained again, ignore only what comes after', async (t) => {
  for (const emptyPolicy of ['replay', 'ignore'] as const) {
    const { server, publish, queued, relay, arrived } = await start(t, { relay: { emptyPolicy } })
    await publish(20)
    await arrived()
    await server.cli('flushall')
    await until(() => relay.stats.emptied === 1)
    await publish(2)
    await until(async () => (await queued()).at(-1) === 'm22')
    t.equal((await queued()).length, emptyPolicy === 'replay' ? 22 : 2, emptyPolicy)
  }
})

t.test('R5.3 a failover to a replica that missed the last writes is repaired exactly', async (t) => {
  const primary = await startRedis(t, { args: ['--repl-diskless-sync-delay', '0'] })
  const replication = new Switchboard(primary.port)
  await replication.listen()
  t.teardown(() => replication.close())
  const replica = await startRedis(t, { args: ['--replicaof', primary.host, String(replication.port)] })
  await until(async () => /master_link_status:up/.test(await replica.cli('info', 'replication')))
  const address = new Switchboard(primary.port)
  await address.listen()
  t.teardown(() => address.close())
  const { publish, queued, wanted, arrived, relay, logger } = await start(t, { server: primary, port: address.port })

  await publish(50)
  await arrived(replica)
  replication.stall()
  await publish(50)
  await arrived(primary)
  await primary.kill()
  await replica.cli('replicaof', 'no', 'one')
  const before = (await queued(replica)).length
  address.switchTo(replica.port)
  await publish(10)
  await arrived(replica)
  t.equal(before, 50, 'the replica had missed acknowledged writes')
  t.strictSame(await queued(replica), wanted())
  t.equal(relay.stats.rewound, 50)
  t.ok(logger.of('warn').includes('Redis had forgotten messages, they are sent again'))
})

t.test('R5.3 a replica holds what the primary holds: entries, ids and trimming', async (t) => {
  const primary = await startRedis(t, { args: ['--repl-diskless-sync-delay', '0'] })
  const replica = await startRedis(t, { args: ['--replicaof', primary.host, String(primary.port)] })
  await until(async () => /master_link_status:up/.test(await replica.cli('info', 'replication')))
  const { client, send } = await bare(t, { server: primary, maxLength: 150 })
  await client.xgroup('CREATE', STREAM, 'g', '0', 'MKSTREAM')
  for (let first = 1; first < 400; first += 40) {
    await send(first, Array.from({ length: 40 }, (_, index) => `m${first + index}`))
    await client.xreadgroup('GROUP', 'g', 'c', 'COUNT', 1000, 'NOACK', 'STREAMS', STREAM, '>')
  }
  t.equal(await client.xlen(STREAM), 150)
  await client.call('WAIT', 1, 5000)
  t.strictSame(await replica.cli('xrange', STREAM, '-', '+'), await primary.cli('xrange', STREAM, '-', '+'))
  t.strictSame(await replica.cli('hgetall', WATERMARKS), await primary.cli('hgetall', WATERMARKS))
})

t.test('R5.6 the limit: what all groups have done with goes, unread and unacknowledged entries stay, and publishing waits', async (t) => {
  const changes: boolean[] = []
  const { client, transport, send, bodies } = await bare(t, { maxLength: 4, onBlocked: ({ blockedTrim }) => changes.push(blockedTrim) })
  await t.rejects(send(1, ['1', '2', '3', '4', '5']), { code: 'FST_BRK_STREAM_FULL', kind: 'queue-full' }, 'no group has read anything')
  t.strictSame(await bodies(), ['1', '2', '3', '4'], 'those that fit are in it')
  t.strictSame(await transport.watermarks(['a']), [4])
  await t.rejects(send(5, ['5']), { code: 'FST_BRK_STREAM_FULL' })
  t.strictSame(changes, [true], 'told once')
  t.match(transport.stats, { length: 4, trimmed: 0, blockedTrim: true })

  await client.xgroup('CREATE', STREAM, 'fast', '0')
  await client.xgroup('CREATE', STREAM, 'slow', '0')
  const read = async (group: string, count: number) => await client.xreadgroup('GROUP', group, 'c', 'COUNT', count, 'STREAMS', STREAM, '>') as [string, [string, string[]][]][]
  const [[, fast]] = await read('fast', 4) as [[string, [string, string[]][]]]
  await client.xack(STREAM, 'fast', ...fast.map(([id]) => id))
  await t.rejects(send(5, ['5']), { code: 'FST_BRK_STREAM_FULL' }, 'the slow group has not read them')
  const [[, slow]] = await read('slow', 3) as [[string, [string, string[]][]]]
  await t.rejects(send(5, ['5']), { code: 'FST_BRK_STREAM_FULL' }, 'the slow group has not acknowledged them')
  await client.xack(STREAM, 'slow', slow[1]![0], slow[2]![0])
  await t.rejects(send(5, ['5']), { code: 'FST_BRK_STREAM_FULL' }, 'its oldest is still pending')
  await client.xack(STREAM, 'slow', slow[0]![0])
  t.ok(await send(5, ['5']))
  t.strictSame(await bodies(), ['2', '3', '4', '5'], 'no more went than had to')
  t.ok(await send(6, ['', '6']))
  t.ok(await send(8, ['']), 'a buried message needs no room')
  await t.rejects(send(9, ['7', '8']), { code: 'FST_BRK_STREAM_FULL' })
  t.strictSame(await bodies(), ['4', '5', '6', '7'], 'unread by the slow group: 4 to 7')
  t.strictSame(changes, [true, false, true])
})

t.test('R5.6 a limit of one, and one that was lowered', async (t) => {
  const server = await startRedis(t)
  const { send, client, bodies } = await bare(t, { server })
  await client.xgroup('CREATE', STREAM, 'g', '0', 'MKSTREAM')
  t.ok(await send(1, Array.from({ length: 5000 }, (_, index) => `m${index + 1}`)))
  await client.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10_000, 'NOACK', 'STREAMS', STREAM, '>')
  const lowered = await bare(t, { server, maxLength: 1000 })
  t.ok(await lowered.send(5001, ['last']))
  t.equal((await bodies()).length, 1000)
  t.equal((await bodies()).at(-1), 'last')
  await client.xreadgroup('GROUP', 'g', 'c', 'COUNT', 10_000, 'NOACK', 'STREAMS', STREAM, '>')
  const single = await bare(t, { server, maxLength: 1 })
  t.ok(await single.send(5002, ['x']))
  t.strictSame(await bodies(), ['x'])
  await t.rejects(single.send(5003, ['y']), { code: 'FST_BRK_STREAM_FULL' })
})

t.test('R5.6 random publishing, reading and acknowledging: no group ever misses an entry, the limit holds, nothing is stuck', async (t) => {
  const server = await startRedis(t)
  const client = await connect(t, server)
  for (let seed = FIRST_SEED; seed < FIRST_SEED + 40; seed++) {
    await client.flushall()
    const random = new Random(seed)
    const maxLength = 1 + random.below(30)
    const { transport } = await bare(t, { server, maxLength })
    const groups = ['a', 'b'].map((name) => ({ name, read: [] as string[], pending: [] as string[] }))
    for (const { name } of groups) await client.xgroup('CREATE', STREAM, name, '0', 'MKSTREAM')
    let sent = 0
    const publish = async (count: number) => {
      const bodies = Array.from({ length: count }, (_, index) => `m${sent + index + 1}`)
      await transport.publish({ term: 't', first: sent + 1, last: sent + count, bodies, previous: null }).catch((err) => {
        if (err.code !== 'FST_BRK_STREAM_FULL') throw err
      })
      sent = (await transport.watermarks(['t']))[0] ?? 0
    }
    const read = async (group: typeof groups[number], count: number) => {
      const reply = await client.xreadgroup('GROUP', group.name, 'c', 'COUNT', count, 'STREAMS', STREAM, '>') as [string, [string, string[]][]][] | null
      for (const [id, fields] of reply?.[0]?.[1] ?? []) {
        group.read.push(fields[1]!)
        group.pending.push(id)
      }
    }
    const acknowledge = async (group: typeof groups[number]) => {
      const [id] = group.pending.splice(random.below(group.pending.length), 1)
      if (id !== undefined) await client.xack(STREAM, group.name, id)
    }
    for (let step = 0; step < 60; step++) {
      const group = random.pick(groups)
      const dice = random.next()
      if (dice < 0.4) await publish(1 + random.below(10))
      else if (dice < 0.7) await read(group, 1 + random.below(8))
      else for (let count = random.below(8); count > 0; count--) await acknowledge(group)
      if (await client.xlen(STREAM) > maxLength) return t.fail(`seed ${seed}: longer than ${maxLength}`)
      if (step % 6 > 0) continue
      for (const { pending } of groups) {
        for (const id of pending) if ((await client.xrange(STREAM, id, id)).length === 0) return t.fail(`seed ${seed}: ${id} was pending and is gone`)
      }
    }
    for (const group of groups) {
      await read(group, 1000)
      while (group.pending.length > 0) await acknowledge(group)
    }
    const before = sent
    await publish(1)
    if (sent !== before + 1) return t.fail(`seed ${seed}: stuck though everything is done with`)
    for (const group of groups) {
      await read(group, 1000)
      const wanted = Array.from({ length: sent }, (_, index) => `m${index + 1}`)
      if (group.read.join() !== wanted.join()) return t.strictSame(group.read, wanted, `seed ${seed}, group ${group.name}`)
    }
  }
  t.pass('40 seeds')
})

t.test('R5.6 relay and limit: the journal keeps what does not fit, one warning, and it flows as the group reads', async (t) => {
  const changes: boolean[] = []
  const { server, relay, publish, queued, logger, journal } = await start(t, { stream: { maxLength: 10, onBlocked: ({ blockedTrim }) => changes.push(blockedTrim) } })
  await publish(25)
  await until(() => relay.stats.lastError !== null)
  t.strictSame(relay.stats.lastError, { code: 'FST_BRK_STREAM_FULL', kind: 'queue-full' })
  t.strictSame(await queued(), Array.from({ length: 10 }, (_, index) => `m${index + 1}`))
  await until(async () => (await journal.stats()).pendingRows === 15)
  await server.cli('xgroup', 'create', STREAM, 'g', '0')
  const read: string[] = []
  await until(async () => {
    const reply = await server.cli('xreadgroup', 'group', 'g', 'c', 'count', 4, 'noack', 'streams', STREAM, '>')
    for (const [, [, body]] of reply?.[0][1] ?? []) read.push(body)
    return read.length === 25
  })
  t.strictSame(read, Array.from({ length: 25 }, (_, index) => `m${index + 1}`))
  await until(() => relay.stats.lastError === null)
  t.strictSame(logger.of('warn'), ['relay cannot publish, messages wait in the journal'])
  t.strictSame(changes, [true, false])
})

t.test('a switch of transports: replay sends what is retained again, ignore what is new; the way back repeats what was sent meanwhile', async (t) => {
  for (const emptyPolicy of ['replay', 'ignore'] as const) {
    const server = await startRedis(t)
    const list = (server: RedisServer) => new RedisTransport(plainConnection(t, server.port), QUEUE)
    const listed = async () => (await server.cli('lrange', QUEUE, 0, -1)).reverse()
    const first = await start(t, { server, transport: list, relay: { emptyPolicy } })
    await first.publish(3)
    await until(async () => (await listed()).length === 3)
    await first.relay.stop()
    const { journal } = first
    await journal.append([{ key: 'model', body: 'm4' }])

    const second = await start(t, { server, journal, relay: { emptyPolicy } })
    await until(async () => (await second.queued()).includes('m4'))
    t.strictSame(await second.queued(), emptyPolicy === 'replay' ? ['m1', 'm2', 'm3', 'm4'] : ['m4'], `${emptyPolicy}, list → stream`)
    await second.relay.stop()
    await journal.append([{ key: 'model', body: 'm5' }])

    const third = await start(t, { server, journal, transport: list, relay: { emptyPolicy } })
    await until(async () => (await listed()).includes('m5'))
    t.strictSame(await listed(), ['m1', 'm2', 'm3', 'm4', 'm5'], `${emptyPolicy}, back to the list, which remembers its watermark`)
    await third.relay.stop()

    await server.cli('del', slotKey(QUEUE, 'stream-watermark'))
    await journal.append([{ key: 'model', body: 'm6' }])
    const fourth = await start(t, { server, journal, relay: { emptyPolicy: 'ignore' } })
    await until(async () => (await fourth.queued()).includes('m6'))
    t.notOk((await fourth.queued()).includes('m5'), 'ignore, and a watermark that was deleted: only what is new')
    await fourth.relay.stop()
  }
})

t.test('R5.3 PUBLISH_MIN_REPLICAS: nothing counts before the replica has it, nor when it is found there already', async (t) => {
  const primary = await startRedis(t, { args: ['--repl-diskless-sync-delay', '0'] })
  const replica = await startRedis(t, { args: ['--replicaof', primary.host, String(primary.port)] })
  await until(async () => /master_link_status:up/.test(await replica.cli('info', 'replication')))
  const { send, transport, bodies } = await bare(t, { server: primary, minReplicas: 1, replicaTimeoutMs: 100 })
  t.ok(await until(() => send(1, ['1', '2']).catch(() => false)))
  t.equal(await replica.cli('xlen', STREAM), 2)
  replica.freeze()
  await t.rejects(send(3, ['3']), { code: 'FST_BRK_REPLICATION' })
  await t.rejects(send(3, ['3']), { code: 'FST_BRK_REPLICATION' }, 'it is there, and the replica lacks it')
  await t.rejects(transport.watermarks(['a']), { code: 'FST_BRK_REPLICATION' })
  replica.thaw()
  t.ok(await until(() => send(3, ['3']).catch(() => false)))
  t.strictSame(await until(() => transport.watermarks(['a', 'b']).catch(() => null)), [3, null])
  t.strictSame(await bodies(), ['1', '2', '3'])
})

t.test('R5.5 a message above the limit is rejected for its contents, and the rest of the journal flows', async (t) => {
  const { journal, relay, queued } = await start(t, { stream: { maxMessageBytes: 100 } })
  await journal.append(['1', 'x'.repeat(101), '2'].map((body) => ({ key: 'model', body })))
  await until(async () => (await queued()).includes('2'))
  t.strictSame(await queued(), ['1', '2'])
  t.equal(relay.stats.buried, 1)
})

t.test('R5.8 the bare payload is published for live listeners', async (t) => {
  const { server, send } = await bare(t)
  const subscriber = await connect(t, server)
  const heard: string[] = []
  await subscriber.subscribe(`${QUEUE}:pubsub`)
  subscriber.on('message', (_channel, message) => heard.push(message))
  const body = JSON.stringify({ message_id: '1', message_type: 'x', payload: { a: 1 }, timestamp: '2026-11-21T10:18:32.840000', retry_count: 0, max_retries: 3 })
  await send(1, [body])
  await until(() => heard.length === 1)
  t.strictSame(heard, ['{"a":1}'])
})
