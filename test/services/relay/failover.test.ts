import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { watermarkKey } from '../../../services/queue/keys.ts'
import { RedisTransport } from '../../../services/relay/transport/redis-transport.ts'
import { plainConnection } from '../../helpers/plain-connection.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { QUEUE, guardedConnection, startPair, startRelay as start } from './setup.ts'

const LAG_MS = 250

t.test('R5.3 a replica 250 ms behind is promoted after kill -9 of the primary, under traffic: nothing missing, twice or out of order', async (t) => {
  const { primary, replica, replication, address, failOver } = await startPair(t)
  const { publish, queued, wanted, arrived, relay, logger, traffic } = await start(t, { server: primary, port: address.port, guarded: true })
  await publish(50)
  await arrived(replica)
  const stop = traffic()
  replication.stall()
  await delay(LAG_MS)
  await failOver()
  const had = await replica.cli('hvals', watermarkKey(QUEUE))
  await until(() => relay.stats.rewound > 0)
  await publish(50)
  await stop()
  await arrived(replica)
  t.strictSame(await queued(replica), wanted())
  t.ok(relay.stats.rewound > 20, `${relay.stats.rewound} messages repaired; the replica had ${had}`)
  t.match(relay.stats, { lost: 0, emptied: 0, buried: 0 })
  const logged = logger.lines.filter(({ message }) => message === 'Redis had forgotten messages, they are sent again')
  t.equal(logged.reduce((sum, { details }) => sum + details.rewound, 0), relay.stats.rewound, 'and the log has their number')
})

t.test('R5.3 three failovers in a row, the second to an empty server: under policy replay all of it is there, once and in order', async (t) => {
  const first = await startPair(t)
  const { publish, queued, wanted, arrived, relay, traffic } = await start(t, { server: first.primary, port: first.address.port, guarded: true })
  await publish(20)
  await arrived(first.primary)
  const stop = traffic()
  await first.failOver()
  await until(async () => (await queued(first.replica)).length > 50)
  const second = await startPair(t)
  first.address.switchTo(second.primary.port)
  await until(() => relay.stats.emptied === 1)
  second.replication.stall()
  await delay(50)
  await second.primary.kill()
  await second.replica.cli('replicaof', 'no', 'one')
  first.address.switchTo(second.replica.port)
  await publish(20)
  await stop()
  await arrived(second.replica)
  t.strictSame(await queued(second.replica), wanted())
  t.equal(relay.stats.lost, 0)
})

t.test('R5.3 an empty replica is promoted under policy ignore: what was published counts as consumed, the rest flows in order', async (t) => {
  const { primary, replica, replication, address, failOver } = await startPair(t)
  const { publish, queued, arrived, relay, journal } = await start(t, { server: primary, port: address.port, guarded: true, relay: { emptyPolicy: 'ignore' } })
  replication.stall()
  await publish(20)
  await arrived(primary)
  await until(async () => (await journal.stats()).pendingRows === 0)
  await failOver()
  await until(() => relay.stats.emptied === 1)
  await publish(20)
  await until(async () => await replica.cli('llen', QUEUE) === 20)
  t.strictSame(await queued(replica), Array.from({ length: 20 }, (_, index) => `m${index + 21}`))
  t.match(relay.stats, { rewound: 0, lost: 0 })
})

t.test('R5.3 a failover that forgot more than retention has kept: counted, logged by number, and the rest flows in order', async (t) => {
  const { primary, replica, replication, address, failOver } = await startPair(t)
  const { publish, queued, arrived, relay, journal, logger } = await start(t, { server: primary, port: address.port, guarded: true, relay: { retentionMs: 0 } })
  await publish(20)
  await arrived(replica)
  replication.stall()
  await publish(20)
  await until(async () => (await journal.stats()).retainedRows === 0)
  await failOver()
  await publish(5)
  await until(() => relay.stats.lost > 0)
  await until(async () => (await queued(replica)).at(-1) === 'm45')
  t.equal(relay.stats.lost, 20)
  t.strictSame((await queued(replica)).slice(20), ['m41', 'm42', 'm43', 'm44', 'm45'])
  t.match(logger.lines.filter(({ level }) => level === 'error'), [{ details: { lost: 20, rebases: [{ expected: 20, to: 40 }] } }])
})

const notReplicated = { code: 'FST_BRK_REPLICATION', kind: 'replication' }

/** Without the handshake of a client library, whose commands count as something to wait for. */
async function bareReply (port: number, request: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(request)
  const [reply] = await once(socket, 'data')
  socket.destroy()
  return String(reply)
}

const replicated = { minReplicas: 1, replicaTimeoutMs: 100 }

t.test('PUBLISH_MIN_REPLICAS: what a lagging replica lacks does not count as published, and health can see why', async (t) => {
  const { primary, replica, replication, address } = await startPair(t)
  const { publish, queued, wanted, arrived, relay, journal, logger } = await start(t, {
    server: primary, port: address.port, guarded: true, transport: replicated, relay: { checkMs: 60_000 }
  })
  await publish(10)
  await arrived(replica)
  await until(async () => (await journal.stats()).pendingRows === 0)
  replication.stall()
  await publish(10)
  await until(async () => await primary.cli('llen', QUEUE) > 10)
  await until(() => relay.stats.lastError !== null)
  t.strictSame(relay.stats.lastError, { code: 'FST_BRK_REPLICATION', kind: 'replication' })
  await delay(300)
  t.match(await journal.stats(), { pendingRows: 10, retainedRows: 10 }, 'not confirmed, not by the watermarks either')
  t.equal(relay.stats.published, 10)
  t.strictSame(logger.of('warn'), ['relay cannot publish, messages wait in the journal'])

  replication.switchTo(primary.port)
  await arrived(replica)
  await until(async () => (await journal.stats()).pendingRows === 0)
  await until(() => relay.stats.lastError === null)
  t.strictSame(await queued(primary), wanted(), 'sent again, and in the queue once')
})

t.test('PUBLISH_MIN_REPLICAS: a failover loses nothing that was confirmed, so nothing has to be repaired', async (t) => {
  const { primary, replica, replication, address, failOver } = await startPair(t)
  const { publish, queued, wanted, arrived, relay, journal, traffic } = await start(t, {
    server: primary, port: address.port, guarded: true, transport: replicated
  })
  await publish(10)
  const stop = traffic()
  await until(() => relay.stats.published > 100)
  replication.stall()
  await delay(LAG_MS)
  const confirmed = relay.stats.published
  await failOver()
  t.ok(await replica.cli('llen', QUEUE) >= confirmed, 'the replica has what was confirmed')
  await stop()
  // A primary without replicas confirms nothing: that is the price.
  await until(() => relay.stats.lastError?.kind === 'replication')
  const second = await startRedis(t, { args: ['--replicaof', replica.host, String(replica.port)] })
  await arrived(replica)
  await until(async () => (await journal.stats()).pendingRows === 0)
  t.strictSame(await queued(replica), wanted())
  t.match(relay.stats, { rewound: 0, lost: 0 })
  await arrived(second)
  t.strictSame(await queued(second), wanted())
})

t.test('PUBLISH_MIN_REPLICAS: a fresh connection is not believed before it has written', async (t) => {
  const { primary, replication, address } = await startPair(t)
  const batch = { term: 'a', first: 1, last: 2, bodies: ['one', 'two'], previous: null }
  const fresh = async () => {
    const connection = plainConnection(t, address.port)
    await until(() => connection.isHealthy())
    return new RedisTransport(connection, QUEUE, replicated)
  }
  t.equal(await (await fresh()).publish(batch), true)
  replication.stall()
  const more = { ...batch, first: 3, last: 4 }
  await t.rejects((await fresh()).publish(more), notReplicated)
  t.equal(await primary.cli('llen', QUEUE), 4)

  t.match(await bareReply(primary.port, 'WAIT 1 100\r\n'), ':1', 'the trap: nothing written here, so every replica has it')
  await t.rejects((await fresh()).publish(more), notReplicated, 'the batch is there already, and still not confirmed')
  await t.rejects((await fresh()).watermarks(['a', 'b']), notReplicated, 'nor do the watermarks confirm it')
  const transport = await fresh()
  await primary.cli('script', 'flush')
  await t.rejects(transport.publish(more), notReplicated)
  const offset = async () => Number(/master_repl_offset:(\d+)/.exec(await primary.cli('info', 'replication'))![1])
  const growth = async (work: () => Promise<unknown>) => {
    const before = await offset()
    await t.rejects(work(), notReplicated)
    return await offset() - before
  }
  // From Redis 7.2 on WAIT knows only the writes of its own connection, so each question begins with one.
  t.ok(await growth(() => transport.publish(more)) > 50, 'a batch that is there is written to')
  t.ok(await growth(() => transport.watermarks(['a'])) > 50, 'and so are watermarks')
  t.equal(await primary.cli('llen', QUEUE), 4)
})

t.test('PUBLISH_MIN_REPLICAS: a batch may wait for replicas longer than the connection\'s own deadline', async (t) => {
  const { address, replication } = await startPair(t)
  const guard = guardedConnection(t, address.port, 200)
  await until(() => guard.isHealthy())
  const transport = new RedisTransport(guard, QUEUE, { minReplicas: 1, replicaTimeoutMs: 500 })
  const batch = { term: 'a', first: 1, last: 1, bodies: ['one'], previous: null }
  t.equal(await transport.publish(batch), true)
  replication.stall()
  const startedAt = performance.now()
  await t.rejects(transport.publish({ ...batch, first: 2, last: 2 }), notReplicated)
  t.ok(performance.now() - startedAt >= 450)
  t.ok(guard.isHealthy(), 'and the circuit knows that Redis is well')
})
