import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import t from 'tap'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { watermarkKey } from '../../../services/queue/keys.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import type { RedisServer } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { QUEUE, startRelay as start } from './setup.ts'

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

t.test('a watermark that somebody else keeps moving back slows the loop down, even under traffic, instead of spinning it', async (t) => {
  const { publish, relay, transport, journal, traffic } = await start(t, { relay: { checkMs: 3_600_000 } })
  await until(() => relay.stats.leader)
  let refusals = 0
  transport.publish = async () => { refusals++; return false }
  await publish(1)
  await until(() => refusals > 8)
  const seen = refusals
  const stop = traffic()
  await new Promise((resolve) => { setTimeout(resolve, 200) })
  await stop()
  t.ok(refusals - seen < 20, `${refusals - seen} attempts in 200 ms`)
  t.ok((await journal.stats()).pendingRows > 1)
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

  await subscriber.unsubscribe()
  const published = async () => /cmdstat_publish/.test(await server.cli('info', 'commandstats'))
  await server.cli('config', 'resetstat')
  await journal.append([{ key: 'model', body }])
  await until(async () => await server.cli('llen', QUEUE) === 2)
  t.notOk(await published(), 'not where nobody listens')
  await subscriber.psubscribe('*:pubsub')
  subscriber.on('pmessage', (_pattern, _channel, message) => heard.push(message))
  await journal.append([{ key: 'model', body }])
  await until(() => heard.length === 2)

  await server.cli('acl', 'setuser', 'default', 'resetchannels', '-pubsub')
  await server.cli('config', 'resetstat')
  await journal.append([{ key: 'model', body }])
  await until(async () => await server.cli('llen', QUEUE) === 4)
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

t.test('R5.2 a waiting relay asks for the lease often, wakes nobody up and logs nothing', async (t) => {
  const first = await start(t)
  await until(() => first.relay.stats.leader)
  const acquireLease = t.capture(first.journal, 'acquireLease', first.journal.acquireLease)
  const second = await start(t, { server: first.server, journal: first.journal, relay: { leaseMs: 400 } })
  await first.publish(100)
  await first.arrived()
  await until(() => acquireLease().length > 0)
  const startedAt = performance.now()
  await new Promise((resolve) => { setTimeout(resolve, 200) })
  const polls = acquireLease().length
  t.ok(polls >= 3 && polls <= (performance.now() - startedAt) / 20 + 1, `${polls} polls, every 20 ms`)
  t.strictSame(second.logger.lines, [])
})

t.test('I9 old messages are pruned and terms retired while batches never pause, in slices between them', async (t) => {
  const { journal, publish, relay, queued, wanted, arrived, traffic, clock } = await start(t, { relay: { retentionMs: 0, checkMs: 50, maxRows: 5 } })
  await until(() => relay.stats.leader)
  const results: string[] = []
  for (const name of ['advance', 'prune', 'retireTerms'] as const) {
    const original = journal[name].bind(journal) as (...args: any[]) => Promise<any>
    journal[name] = async (...args: any[]) => {
      const result = await original(...args)
      results.push(name === 'advance' && result === null ? 'idle' : name)
      return result
    }
  }
  await publish(3000)
  const stop = traffic()
  await until(() => results.filter((name) => name === 'prune').length > 3 && results.includes('retireTerms'))
  await stop()
  await arrived()
  const busy = results.slice(0, results.indexOf('idle'))
  t.ok(busy.includes('prune'), 'pruned before the first pause')
  t.ok(busy.includes('retireTerms'), 'and asked for old terms')
  t.notOk(/prune,prune/.test(busy.join()), 'a batch between two slices')
  clock.skewMs = 0
  await until(async () => (await journal.stats()).retainedRows === 0)
  t.strictSame(await queued(), wanted())
})

t.test('old terms are asked for on the rhythm, not in every idle turn', async (t) => {
  const { relay, journal } = await start(t, { relay: { idleMs: 1, checkMs: 100 } })
  await until(() => relay.stats.leader)
  let turns = 0
  let retirements = 0
  const { advance, retireTerms } = journal
  journal.advance = (request) => advance.call(journal, request).finally(() => { turns++ })
  journal.retireTerms = (...args) => retireTerms.apply(journal, args).finally(() => { retirements++ })
  await until(() => retirements === 3)
  t.ok(turns > 30, `${turns} idle turns`)
})

t.test('a term that ended a day ago, its rows pruned, goes from the queue\'s hash and from the journal; a refusal is tried again', async (t) => {
  const clock = { skewMs: -25 * 60 * 60 * 1000 }
  const journal = new SqliteJournal(new InlineEngine({ now: () => Date.now() + clock.skewMs }), 'none')
  const relay = { retentionMs: 0 }
  const first = await start(t, { journal, relay })
  await first.publish(3)
  await first.arrived()
  await first.relay.stop()
  const { server } = first
  const [old] = await server.cli('hkeys', watermarkKey(QUEUE))
  await server.cli('acl', 'setuser', 'default', '-hdel')
  clock.skewMs = 0
  const second = await start(t, { server, journal, relay })
  await until(() => second.relay.stats.leader)
  await journal.append([{ key: 'model', body: 'next' }])
  await until(() => second.relay.stats.lastError !== null)
  t.ok((await server.cli('hkeys', watermarkKey(QUEUE))).includes(old))
  await server.cli('acl', 'setuser', 'default', '+hdel')
  await until(async () => !(await server.cli('hkeys', watermarkKey(QUEUE))).includes(old))
  await until(() => second.relay.stats.lastError === null)
  t.equal((await server.cli('hkeys', watermarkKey(QUEUE))).length, 1, 'the current one stays')
  t.strictSame(await second.queued(), ['m1', 'm2', 'm3', 'next'])
})

t.test('I9 at most two batches are in memory, whatever the backlog', async (t) => {
  const { server, journal, publish, relay, transport, arrived } = await start(t, { relay: { maxRows: 10 } })
  await until(() => relay.stats.leader)
  let held = 0
  let most = 0
  const advance = journal.advance.bind(journal)
  journal.advance = async (request) => {
    const batch = await advance(request)
    if (batch !== null) most = Math.max(most, ++held)
    return batch
  }
  const send = transport.publish.bind(transport)
  transport.publish = async (batch) => {
    const taken = await send(batch)
    held--
    return taken
  }
  await publish(500)
  await arrived(server)
  t.ok(most <= 2, `${most} batches`)
})

t.test('the loop asks nothing of a dead Redis, and new messages do not end its pause', async (t) => {
  const { server, transport, publish, queued, wanted, arrived, relay } = await start(t, { guarded: true, relay: { idleMs: 200 } })
  await publish(3)
  await arrived()
  await server.kill()
  await until(() => !transport.available)
  let calls = 0
  for (const name of ['publish', 'watermarks'] as const) {
    const original = transport[name].bind(transport) as (...args: any[]) => Promise<any>
    transport[name] = async (...args: any[]) => {
      calls++
      return await original(...args)
    }
  }
  await publish(50)
  await new Promise((resolve) => { setTimeout(resolve, 300) })
  t.equal(calls, 0)
  await server.restart()
  await until(async () => (await queued()).length === 53)
  t.strictSame(await queued(), wanted(), 'empty by then: everything retained is sent again')
  t.equal(relay.stats.emptied, 1)
})

interface Trouble {
  name: string
  begin (server: RedisServer): Promise<void>
  end (server: RedisServer): Promise<void>
  /** Of the relay's last error; null where it need not notice. */
  kind: string | null
}

const troubles: Trouble[] = [{
  name: 'SCRIPT FLUSH',
  begin: async (server) => { await server.cli('script', 'flush') },
  end: async (server) => { await server.cli('script', 'flush') },
  kind: null
}, {
  name: 'READONLY',
  begin: async (server) => { await server.cli('replicaof', '127.0.0.1', 1) },
  end: async (server) => { await server.cli('replicaof', 'no', 'one') },
  kind: 'overload'
}, {
  name: 'OOM',
  begin: async (server) => { await server.cli('config', 'set', 'maxmemory', 1) },
  end: async (server) => { await server.cli('config', 'set', 'maxmemory', 0) },
  kind: 'overload'
}, {
  name: 'MISCONF',
  begin: async (server) => {
    await mkdir(join(server.directory, 'dump.rdb', 'in the way'), { recursive: true })
    await server.cli('config', 'set', 'save', '3600 1')
    await server.cli('bgsave')
    await until(async () => /rdb_last_bgsave_status:err/.test(await server.cli('info', 'persistence')))
  },
  end: async (server) => { await server.cli('config', 'set', 'stop-writes-on-bgsave-error', 'no') },
  kind: 'overload'
}, {
  name: 'NOREPLICAS',
  begin: async (server) => { await server.cli('config', 'set', 'min-replicas-to-write', 1) },
  end: async (server) => { await server.cli('config', 'set', 'min-replicas-to-write', 0) },
  kind: 'overload'
}, {
  name: 'BUSY',
  begin: async (server) => {
    await server.cli('config', 'set', 'busy-reply-threshold', 20)
    server.cli('eval', 'while true do end', 0).catch(() => {})
  },
  end: async (server) => { await server.cli('script', 'kill') },
  kind: 'overload'
}, {
  name: 'the queue key has the wrong type',
  begin: async (server) => {
    await server.cli('eval', 'redis.call("RENAME", KEYS[1], "aside") redis.call("SET", KEYS[1], "in the way")', 1, QUEUE)
  },
  end: async (server) => { await server.cli('rename', 'aside', QUEUE) },
  kind: 'caller'
}]

for (const { name, begin, end, kind } of troubles) {
  t.test(`R5.3, R5.6 ${name} under traffic: the relay recovers by itself, nothing lost, twice, out of order or buried`, async (t) => {
    const { server, relay, publish, queued, wanted, arrived, traffic } = await start(t, { guarded: true })
    await publish(5)
    await arrived()
    const stop = traffic()
    await begin(server)
    if (kind !== null) await until(() => relay.stats.lastError !== null)
    if (kind !== null) t.equal(relay.stats.lastError?.kind, kind)
    await new Promise((resolve) => { setTimeout(resolve, 100) })
    await end(server)
    await publish(1)
    await stop()
    await arrived()
    t.strictSame(await queued(), wanted())
    await until(() => relay.stats.lastError === null)
    t.match(relay.stats, { buried: 0, lost: 0, emptied: 0 })
  })
}

t.test('R5.3 LOADING: a Redis that starts slowly is used as soon as it has its data', async (t) => {
  const args = ['--appendonly', 'yes', '--appendfsync', 'always', '--aof-use-rdb-preamble', 'no']
  const { server, relay, publish, queued, wanted, arrived, traffic } = await start(t, { guarded: true, redis: { args, skipReady: true } })
  await until(() => relay.stats.leader)
  await publish(300)
  await arrived()
  await server.cli('eval', 'for i = 1, 2000 do redis.call("SET", i, i) end', 0)
  await server.kill()
  const stop = traffic()
  await server.restart(['--key-load-delay', '500', '--loading-process-events-interval-bytes', '1024'])
  await until(async () => await server.cli('get', 1).catch((err) => /LOADING/.test(err.message)))
  await until(async () => await server.cli('get', 1).catch(() => null) === '1')
  await stop()
  await arrived()
  t.strictSame(await queued(), wanted())
  t.match(relay.stats, { buried: 0, lost: 0, emptied: 0 })
})
