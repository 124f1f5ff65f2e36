import { Redis } from 'ioredis'
import t from 'tap'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { RedisTransport, watermarkKey } from '../../../services/relay/redis-transport.ts'
import { Relay } from '../../../services/relay/relay.ts'
import type { RelayOptions } from '../../../services/relay/relay.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { plainConnection } from '../../helpers/plain-connection.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer, RedisServerOptions, Teardown } from '../../helpers/redis-server.ts'
import { Switchboard } from '../../helpers/switchboard.ts'
import { until } from '../../helpers/until.ts'

const QUEUE = 'queue'

interface Setup { server?: RedisServer, redis?: RedisServerOptions, port?: number, journal?: SqliteJournal, relay?: Partial<RelayOptions> }

async function start (t: Teardown, setup: Setup = {}) {
  const server = setup.server ?? await startRedis(t, setup.redis)
  const clock = { skewMs: 0 }
  const engine = new InlineEngine({ now: () => Date.now() + clock.skewMs })
  const journal = setup.journal ?? new SqliteJournal(engine, 'none')
  const transport = new RedisTransport(plainConnection(t, setup.port ?? server.port), QUEUE)
  const logger = memoryLogger()
  const relay = new Relay({ journal, transport, logger, idleMs: 20, checkMs: 50, ...setup.relay })
  t.teardown(() => relay.stop())
  relay.start()
  relay.start()
  let sent = 0
  const publish = async (count: number) => {
    for (let index = 0; index < count; index++) await journal.append([{ key: 'model', body: `m${++sent}` }])
  }
  const queued = async (from = server): Promise<string[]> => (await from.cli('lrange', QUEUE, 0, -1)).reverse()
  const wanted = () => Array.from({ length: sent }, (_, index) => `m${index + 1}`)
  const arrived = (from = server) => until(async () =>
    (await queued(from).catch(() => [])).length >= sent)
  return { server, clock, journal, transport, logger, relay, publish, queued, wanted, arrived }
}

t.test('R5.2 what is accepted reaches the queue, in order, in batches', async (t) => {
  const { relay, publish, queued, wanted, arrived } = await start(t)
  await until(() => relay.stats.leader)
  await publish(1200)
  await arrived()
  t.strictSame(await queued(), wanted())
  t.match(relay.stats, { leader: true, published: 1200, rewound: 0, lost: 0, emptied: 0, lastError: null })
})

t.test('R5.1, R5.4 through an outage: accepted all the while, one line in the log, then the backlog in order', async (t) => {
  const { server, publish, queued, wanted, arrived, logger } = await start(t, { redis: { args: ['--appendonly', 'yes'] } })
  await publish(10)
  await arrived()
  await server.kill()
  await publish(10)
  await server.restart()
  await publish(10)
  await arrived()
  t.strictSame(await queued(), wanted())
  t.ok(logger.of('warn').length <= 1, 'R10.5 one line per transition')
})

t.test('R5.3 a frozen Redis: the batch that timed out is sent again, and is in the queue once', async (t) => {
  const { server, publish, queued, wanted, arrived, relay, logger } = await start(t)
  await publish(5)
  await arrived()
  server.freeze()
  await publish(5)
  await until(() => relay.stats.lastError !== null)
  server.thaw()
  await publish(5)
  await arrived()
  t.strictSame(await queued(), wanted())
  await until(() => relay.stats.lastError === null)
  t.strictSame(logger.of('warn'), ['relay cannot publish, messages wait in the journal'])
  t.ok(logger.of('info').includes('relay works again'))
})

t.test('R5.3 FLUSHALL without a reconnect: noticed while idle, and everything retained is sent again', async (t) => {
  const { server, publish, queued, wanted, arrived, relay, logger } = await start(t)
  await publish(20)
  await arrived()
  await server.cli('flushall')
  await arrived()
  t.strictSame(await queued(), wanted())
  t.match(relay.stats, { emptied: 1, rewound: 20, lost: 0 })
  t.strictSame(logger.of('error'), ['Redis came back empty'])
})

t.test('R5.3 FLUSHALL under policy ignore: only what comes after is sent', async (t) => {
  const { server, publish, queued, arrived, relay } = await start(t, { relay: { emptyPolicy: 'ignore' } })
  await publish(3)
  await arrived()
  await server.cli('flushall')
  await until(() => relay.stats.emptied === 1)
  await publish(2)
  await until(async () => (await queued()).length === 2)
  t.strictSame(await queued(), ['m4', 'm5'])
  t.match(relay.stats, { rewound: 0, lost: 0 })
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

t.test('R5.3 what retention had pruned is counted as lost, logged by number, and the rest flows', async (t) => {
  const { server, publish, queued, arrived, relay, logger, journal } = await start(t, { relay: { retentionMs: 0 } })
  await publish(4)
  await arrived()
  await until(async () => (await journal.stats()).retainedRows === 0)
  await server.cli('rpop', QUEUE, 4)
  const [term] = await server.cli('hkeys', watermarkKey(QUEUE))
  await server.cli('hset', watermarkKey(QUEUE), term, 1)
  await until(() => relay.stats.lost === 3)
  await publish(1)
  await until(async () => (await queued()).length === 1)
  t.strictSame(await queued(), ['m5'])
  t.match(logger.lines.filter(({ level }) => level === 'error'), [{ details: { lost: 3, rebases: [{ expected: 1, to: 4 }] } }])
})

t.test('R5.2 a second relay waits, and takes over when the first stops; the order holds', async (t) => {
  const first = await start(t)
  const second = await start(t, { server: first.server, journal: first.journal, relay: { leaseMs: 150 } })
  await first.publish(5)
  await first.arrived()
  t.strictSame([first.relay.stats.leader, second.relay.stats.leader], [true, false])
  await first.relay.stop()
  await until(() => second.relay.stats.leader)
  await first.publish(5)
  await first.arrived()
  t.strictSame(await first.queued(), first.wanted())
  t.equal(second.relay.stats.published, 5)
})

t.test('R5.2 a relay that lost its lease stops publishing, and may lead again later', async (t) => {
  const { journal, clock, publish, arrived, logger, queued, wanted } = await start(t, { relay: { leaseMs: 100 } })
  await publish(1)
  await arrived()
  clock.skewMs = 50_000
  const usurper = await journal.acquireLease('usurper', 100)
  clock.skewMs = 0
  t.type(usurper, 'string')
  await publish(1)
  await until(() => logger.of('warn').includes('relay lost its lease'))
  clock.skewMs = 60_000
  await arrived()
  t.strictSame(await queued(), wanted())
})

t.test('R5.2 a lease is held through an outage that outlasts it', async (t) => {
  const { server, journal, relay, publish } = await start(t, { relay: { leaseMs: 120 } })
  await until(() => relay.stats.leader)
  await server.kill()
  await publish(1)
  let taken = null
  const giveUpAt = performance.now() + 400
  while (performance.now() < giveUpAt && taken === null) {
    taken = await journal.acquireLease('other', 120)
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
  t.equal(taken, null)
})

t.test('a watermark that somebody else keeps moving back slows the loop down instead of spinning it', async (t) => {
  const { publish, relay, transport, journal } = await start(t, { relay: { checkMs: 3_600_000 } })
  await until(() => relay.stats.leader)
  let refusals = 0
  transport.publish = async () => { refusals++; return false }
  await publish(1)
  await until(() => refusals > 5)
  const seen = refusals
  await new Promise((resolve) => { setTimeout(resolve, 200) })
  t.ok(refusals - seen < 50, `${refusals - seen} attempts in 200 ms`)
  t.match(await journal.stats(), { pendingRows: 1 })
})

t.test('R5.8 the bare payload is published for live listeners, and a refusal there never fails the publish', async (t) => {
  const { server, journal } = await start(t)
  const subscriber = new Redis(server.port)
  t.teardown(() => subscriber.disconnect())
  const heard: string[] = []
  await subscriber.subscribe(`${QUEUE}:pubsub`)
  subscriber.on('message', (_channel, message) => heard.push(message))
  const body = JSON.stringify({
    message_id: '1', message_type: 'x', payload: { tags: { a: '","timestamp":"1","retry_count":0' } }, timestamp: '2026-11-21T10:18:32.840000', retry_count: 0, max_retries: 3
  })
  await journal.append([{ key: 'model', body }])
  await until(() => heard.length === 1)
  t.strictSame(JSON.parse(heard[0]!), { tags: { a: '","timestamp":"1","retry_count":0' } })

  await server.cli('acl', 'setuser', 'default', 'resetchannels')
  await journal.append([{ key: 'model', body }])
  await until(async () => await server.cli('llen', QUEUE) === 2)
})

t.test('I7 a relay stops in time while Redis hangs, and hands its lease over', async (t) => {
  const { server, relay, publish, journal } = await start(t)
  await publish(1)
  await until(() => relay.stats.leader)
  server.freeze()
  await publish(1)
  await new Promise((resolve) => { setTimeout(resolve, 20) })
  const startedAt = performance.now()
  await relay.stop()
  await relay.stop()
  t.ok(performance.now() - startedAt < 1000)
  t.type(await journal.acquireLease('next', 1000), 'string')
})

t.test('keys of our own share the slot of the queue', async (t) => {
  t.equal(watermarkKey('hokusai:model_ready_queue'), '{hokusai:model_ready_queue}:watermark')
  t.equal(watermarkKey('a:{tag}:b'), 'a:{tag}:b:watermark')
  t.equal(watermarkKey('a:{}:b'), '{a:{}:b}:watermark')
})
