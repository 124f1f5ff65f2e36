import { once } from 'node:events'
import { tracingChannel } from 'node:diagnostics_channel'
import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { RedisGuard } from '../../../services/redis/guard.ts'
import type { GuardOptions } from '../../../services/redis/guard.ts'
import { until } from '../../helpers/until.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer } from '../../helpers/redis-server.ts'

type Callback = (error?: Error | null, reply?: unknown) => void
type Subject = Redis & Record<string, (...args: unknown[]) => Promise<unknown>>

async function start (t: Test, redisOptions: RedisOptions = {}, options: Partial<GuardOptions> = {}): Promise<{ server: RedisServer, guard: RedisGuard, client: Subject }> {
  const server = await startRedis(t)
  const target = resolveRedisTarget({ REDIS_URL: server.url }).target!
  const guard = new RedisGuard({ target, commandTimeoutMs: 1000, redisOptions, ...options })
  t.teardown(() => guard.close())
  if (redisOptions.lazyConnect !== true) await until(() => guard.isHealthy())
  return { server, guard, client: guard.client as Subject }
}

const errorOf = async (promise: Promise<unknown>) => await promise.then(() => null, (error) => error)

/** What a callback is called with; a second call is a failure. */
function called (t: Test, run: (callback: Callback) => unknown): Promise<[Error | null | undefined, unknown]> {
  let calls = 0
  return new Promise((resolve) => run((error, reply) => {
    if (++calls > 1) t.fail('called back twice')
    resolve([error, reply])
  }))
}

async function drain (stream: AsyncIterable<unknown[]>): Promise<unknown[]> {
  const found = []
  for await (const chunk of stream) found.push(...chunk)
  return found
}

t.test('R3.1 WATCH: a transaction that somebody else overtook answers null, and leaves the connection as it was', async (t) => {
  const { server, client } = await start(t)
  await client.set('stock', 5)
  await client.watch('stock')
  t.strictSame(await client.multi().decr('stock').exec(), [[null, 4]], 'nobody interfered')
  await client.watch('stock')
  await server.cli('set', 'stock', 9)
  t.equal(await client.multi().decr('stock').exec(), null)
  await client.watch('stock')
  await server.cli('set', 'stock', 8)
  await client.unwatch()
  t.strictSame(await client.multi().decr('stock').exec(), [[null, 7]])
  await client.multi({ pipeline: false })
  t.equal(await client.decr('stock'), 'QUEUED')
  t.equal(await client.discard(), 'OK')
  t.equal(await client.get('stock'), '7')
  await client.watch('stock')
  await server.cli('set', 'stock', 3)
  await client.multi({ pipeline: false })
  await client.decr('stock')
  t.equal(await client.exec(), null, 'on the open line too')
  const aborted = await errorOf(client.multi().set('stock', 1).call('nonsense').exec())
  t.match(aborted, { message: /^EXECABORT/, kind: 'caller', notApplied: true, previousErrors: [{ message: /unknown command/ }] })
})

t.test('R3.1 pipelines and transactions in every form', async (t) => {
  const { client } = await start(t)
  t.strictSame(await client.pipeline([['set', 'a', '1'], ['incr', 'a'], ['get', 'a']]).exec(), [[null, 'OK'], [null, 2], [null, '2']])
  t.strictSame(await client.multi([['incr', 'a'], ['get', 'a']]).exec(), [[null, 3], [null, '3']])
  const pipeline = client.pipeline()
  const seen: unknown[] = []
  pipeline.get('a', (_error, value) => { seen.push(value) }).getBuffer('a').call('incrby', 'a', 2)
  t.equal(pipeline.length, 3)
  const [error, replies] = await called(t, (callback) => { void pipeline.exec(callback as never) })
  t.equal(error, null)
  t.strictSame(replies, [[null, '3'], [null, Buffer.from('3')], [null, 5]])
  t.strictSame(seen, ['3'])
  t.strictSame(await client.pipeline().exec(), [], 'an empty one')
  const many = client.pipeline()
  for (let count = 0; count < 5000; count++) many.incr('many')
  t.equal((await many.exec())!.at(-1)![1], 5000)
})

t.test('R3.1 scanning: all kinds of streams, as text and as bytes, and an outage ends one with an error', async (t) => {
  const { server, client } = await start(t)
  const keys = Array.from({ length: 50 }, (_, index) => `key:${index}`)
  await client.mset(Object.fromEntries(keys.map((key) => [key, 1])))
  await client.hset('hash', { field: 'value' })
  await client.sadd('set', 'member')
  await client.zadd('zset', 1, 'member')
  t.strictSame(new Set(await drain(client.scanStream({ match: 'key:*', count: 7 }))), new Set(keys))
  t.strictSame((await drain(client.scanBufferStream({ match: 'key:1' })))[0], Buffer.from('key:1'))
  t.strictSame(await drain(client.scanStream({ type: 'hash' })), ['hash'])
  t.strictSame(await drain(client.hscanStream('hash')), ['field', 'value'])
  t.strictSame(await drain(client.hscanBufferStream('hash')), [Buffer.from('field'), Buffer.from('value')])
  t.strictSame(await drain(client.sscanStream('set')), ['member'])
  t.strictSame(await drain(client.sscanBufferStream('set')), [Buffer.from('member')])
  t.strictSame(await drain(client.zscanStream('zset')), ['member', '1'])
  t.strictSame(await drain(client.zscanBufferStream('zset')), [Buffer.from('member'), Buffer.from('1')])
  const stream = client.scanStream({ count: 1 })
  const pages = stream[Symbol.asyncIterator]()
  await pages.next()
  await server.kill()
  await until(() => client.status !== 'ready')
  t.match(await errorOf(drain(pages)), { kind: 'transport', code: /NOT_CONNECTED|CONNECTION_LOST/ })
})

t.test('R3.1 pub/sub: channels, patterns, shards, bytes, and all of them again after a lost connection', async (t) => {
  const { server, client } = await start(t)
  const subscriber = client.duplicate() as Subject
  const heard: unknown[][] = []
  for (const event of ['message', 'pmessage', 'smessage', 'messageBuffer', 'pmessageBuffer', 'smessageBuffer']) {
    subscriber.on(event, (...args: unknown[]) => heard.push([event, ...args]))
  }
  t.equal(await subscriber.subscribe('one', 'two'), 2)
  t.equal(await subscriber.psubscribe('o?e'), 3)
  t.equal(await subscriber.ssubscribe('shard'), 1)
  const publish = async () => {
    heard.length = 0
    await client.publish('one', 'x')
    await client.spublish('shard', 'y')
    await until(() => heard.length === 6)
    return heard.map(([event, ...args]) => [event, ...args.map(String)]).sort()
  }
  const expected = [
    ['message', 'one', 'x'], ['messageBuffer', 'one', 'x'], ['pmessage', 'o?e', 'one', 'x'], ['pmessageBuffer', 'o?e', 'one', 'x'],
    ['smessage', 'shard', 'y'], ['smessageBuffer', 'shard', 'y']
  ]
  t.strictSame(await publish(), expected)
  t.ok(heard.find(([event]) => event === 'messageBuffer')!.slice(1).every(Buffer.isBuffer))
  await server.kill()
  await until(() => subscriber.status !== 'ready')
  await server.restart()
  await until(async () => (await client.pubsub('NUMPAT').catch(() => 0)) === 1 && (await client.pubsub('SHARDCHANNELS') as string[]).length === 1)
  t.strictSame(await publish(), expected, 'subscribed again by itself')
  t.equal(await subscriber.punsubscribe('o?e'), 2)
  t.equal(await subscriber.unsubscribe(), 0)
  t.equal(await subscriber.sunsubscribe('shard'), 0)
  t.equal(await subscriber.get('a'), null, 'and is a client like any other again')
  const old = client.duplicate({ protocol: 2 }) as Subject
  await old.subscribe('news')
  t.match(await errorOf(old.get('a')), { message: /subscriber mode/, kind: 'caller', notApplied: true, ambiguous: false }, 'RESP2 does not allow it')
})

t.test('R3.1 monitor sees what others send, also after a lost connection', async (t) => {
  const { server, guard, client } = await start(t)
  const monitor = await client.monitor()
  t.equal(monitor.mode, 'monitor')
  t.match(await errorOf(monitor.get('a')), { message: /monitoring mode/ })
  const seen: string[] = []
  monitor.on('monitor', (_time, args: string[], source, database) => {
    seen.push(args.join(' '))
    if (source === '' || database !== '0') t.fail('source and database')
  })
  await until(async () => await client.get('before') === null && seen.includes('get before'))
  await server.cli('client', 'kill', 'type', 'normal')
  await until(() => guard.isHealthy() && monitor.status as string === 'monitoring')
  await until(async () => await client.get('after').catch(() => 'not yet') === null && seen.includes('get after'))
  monitor.disconnect()
  await once(monitor, 'end')
})

t.test('R3.1 key prefix: commands, pipelines, transactions, scripts and duplicates', async (t) => {
  const { server, client } = await start(t, { keyPrefix: 'app:' })
  client.defineCommand('both', { numberOfKeys: 2, lua: 'return redis.call("mget", KEYS[1], KEYS[2])' })
  await client.mset('a', 1, Buffer.from('b'), 2)
  t.strictSame((await server.cli('keys', '*')).sort(), ['app:a', 'app:b'])
  t.strictSame(await client.pipeline().get('a').del('b').exec(), [[null, '1'], [null, 1]])
  t.strictSame(await client.multi().set('b', 3).rename('b', 'c').exec(), [[null, 'OK'], [null, 'OK']])
  t.strictSame(await client.both!('a', 'c'), ['1', '3'])
  t.equal(await client.eval('return redis.call("get", KEYS[1])', 1, 'a'), '1')
  t.equal(await client.call('get', 'a'), '1')
  const duplicate = client.duplicate() as Subject
  t.equal(await duplicate.get('c'), '3')
  t.strictSame(await client.keys('*').then((keys) => keys.sort()), ['app:a', 'app:c'], 'patterns and replies are left alone, as in ioredis')
  t.strictSame(await drain(client.scanStream({ match: 'app:a' })), ['app:a'])
})

t.test('R3.1 automatic pipelining: one write for the callers of one turn, and each its own reply or error', async (t) => {
  const { server, guard, client } = await start(t, { enableAutoPipelining: true })
  await client.set('text', 'x')
  const before = guard.stats().commands
  const results = await Promise.allSettled([client.get('text'), client.incr('text'), client.incr('number'), client.getBuffer('text')])
  t.match(results, [{ value: 'x' }, { reason: { code: 'FST_BRK_REDIS_REPLY', kind: 'caller' } }, { value: 1 }, { value: Buffer.from('x') }])
  t.equal(guard.stats().commands - before, 4)
  await server.kill()
  await until(() => !guard.isHealthy())
  const refused = await Promise.allSettled([client.get('text'), client.incr('number')])
  t.match(refused, [{ reason: { notApplied: true, kind: 'transport' } }, { reason: { notApplied: true } }])
  t.match((await called(t, (callback) => { void client.get('text', callback as never) }))[0], { notApplied: true })
  await server.restart()
  await until(() => guard.isHealthy())
  t.strictSame(await Promise.all([client.get('text'), client.incr('number')]), [null, 1])
})

t.test('R3.1 bytes in and out', async (t) => {
  const { client } = await start(t)
  const bytes = Buffer.from([0, 255, 13, 10, 128, 36])
  await client.set(bytes, bytes)
  t.strictSame(await client.getBuffer(bytes), bytes)
  t.strictSame(await client.callBuffer('get', bytes), bytes)
  await client.hset('hash', { a: bytes })
  t.strictSame(await client.hgetallBuffer('hash'), { a: bytes })
  await client.rpush('list', bytes, 'text')
  t.strictSame(await client.lrangeBuffer('list', 0, -1), [bytes, Buffer.from('text')])
  t.strictSame(await client.pipeline().getBuffer(bytes).lpopBuffer('list').exec(), [[null, bytes], [null, bytes]])
  t.strictSame(await client.multi().getBuffer(bytes).exec(), [[null, bytes]])
  t.strictSame(await client.evalBuffer!('return ARGV[1]', 0, bytes), bytes)
  client.defineCommand('echo2', { numberOfKeys: 0, lua: 'return ARGV[1]' })
  t.strictSame(await client['echo2Buffer']!(bytes), bytes)
  t.equal(await client.dump('list').then((text) => text === null), false)
  t.equal(await client.restore('copy', 0, (await client.dumpBuffer('list'))!), 'OK')
})

t.test('R3.1 R3.3 callbacks: each is called once, with the reply, the error or the refusal', async (t) => {
  const { server, guard, client } = await start(t, { showFriendlyErrorStack: true })
  client.defineCommand('plus', { numberOfKeys: 1, lua: 'return redis.call("incrby", KEYS[1], ARGV[1])' })
  const forms: Record<string, (callback: Callback) => unknown> = {
    command: (callback) => client.set('a', 1, callback as never),
    call: (callback) => client.call('incr', 'a', callback as never),
    script: (callback) => client.plus!('a', 2, callback),
    buffer: (callback) => client.getBuffer('a', callback as never),
    pipeline: (callback) => client.pipeline().incr('a').exec(callback as never),
    transaction: (callback) => client.multi().incr('a').exec(callback as never)
  }
  for (const [name, form] of Object.entries(forms)) {
    const [error, reply] = await called(t, form)
    t.equal(error, null, name)
    t.ok(reply, name)
  }
  t.match((await called(t, (callback) => client.lpush('a', 'x', callback as never)))[0], { message: /^WRONGTYPE/, stack: /drop-in\.test/ })
  server.freeze()
  t.match((await called(t, forms['command']!))[0], { code: 'FST_BRK_REDIS_TIMEOUT', ambiguous: true, stack: /drop-in\.test/ }, 'the stack is the caller\'s')
  await until(() => !guard.isHealthy())
  for (const [name, form] of Object.entries(forms)) {
    const [error, reply] = await called(t, form)
    // A pipeline reports for each of its commands, as in ioredis.
    t.match(name === 'pipeline' ? (reply as [Error][])[0]![0] : error, { notApplied: true, retryAfterMs: Number, stack: /drop-in\.test/ }, name)
  }
  server.thaw()
  await until(() => guard.isHealthy())
  t.match(await called(t, forms['command']!), [null, 'OK'])
  t.strictSame(await called(t, (callback) => client.quit(callback as never)), [null, 'OK'])
  t.strictSame(await called(t, (callback) => client.quit(callback as never)), [null, 'OK'])
})

t.test('R3.1 scripts: own commands with fixed, variable and no keys, read-only, in pipelines, from options, after SCRIPT FLUSH', async (t) => {
  const { client } = await start(t, { scripts: { first: { numberOfKeys: 1, lua: 'return {KEYS[1], ARGV[1]}', readOnly: true } } })
  t.strictSame(await client.first!('key', 'argument'), ['key', 'argument'])
  client.defineCommand('various', { lua: 'return {#KEYS, #ARGV}' })
  t.strictSame(await client.various!(2, 'a', 'b', 'c'), [2, 1])
  t.strictSame(await client.various!(0, 'c'), [0, 1])
  const pipeline = client.pipeline() as unknown as Record<string, (...args: unknown[]) => { exec (): Promise<unknown> }>
  await client.script('FLUSH')
  t.strictSame(await pipeline.first!('k', 'v').exec(), [[null, ['k', 'v']]], 'a pipeline loads it first')
  await client.script('FLUSH')
  t.strictSame(await client.first!('k', 'w'), ['k', 'w'])
  const duplicate = client.duplicate() as Subject
  t.strictSame(await duplicate.first!('k', 'x'), ['k', 'x'])
  t.match(await errorOf(client.eval('redis.call("set", KEYS[1], 1) return redis.call("lpush", KEYS[1], 1)', 1, 'half')),
    { kind: 'caller', ambiguous: true, notApplied: false }, 'it may have written before it failed')
  t.equal(await client.get('half'), '1')
  t.match(await client.function('LOAD', '#!lua name=lib\nredis.register_function("twice", function(keys, args) return args[1] * 2 end)'), 'lib')
  t.equal(await client.fcall('twice', 0, 21), 42)
})

t.test('R3.1 transformers and commands that ioredis does not know', async (t) => {
  const { client } = await start(t)
  Redis.Command.setArgumentTransformer('hmset', (args) => args.length === 2 && args[1] instanceof Date ? [args[0], 'at', args[1].getTime()] : args)
  Redis.Command.setReplyTransformer('hmget', (reply) => (reply as string[]).map(Number))
  await client.hmset('hash', new Date(5) as never)
  t.strictSame(await client.hmget('hash', 'at'), [5])
  client.addBuiltinCommand('lolwut2')
  t.match(await errorOf(client.lolwut2!('x')), { message: /unknown command/, kind: 'caller' })
  t.equal((await client.call('OBJECT', 'FREQ', 'hash').catch(({ message }: Error) => message) as string).startsWith('ERR'), true)
  t.ok(client.getBuiltinCommands().includes('get'))
  const custom = client.createBuiltinCommand('get')
  t.equal(await custom.string.call(client, 'nothing'), null)
})

t.test('R3.1 streams: XADD, XREAD, groups, and blocking calls on a duplicate, which a disconnect ends', async (t) => {
  const { client } = await start(t)
  const id = await client.xadd('events', '*', 'kind', 'made')
  t.strictSame(await client.xread('COUNT', 1, 'STREAMS', 'events', '0'), [['events', [[id, ['kind', 'made']]]]])
  await client.xgroup('CREATE', 'events', 'group', '0')
  t.strictSame(await client.xreadgroup('GROUP', 'group', 'me', 'COUNT', 1, 'STREAMS', 'events', '>'), [['events', [[id, ['kind', 'made']]]]])
  t.equal(await client.xack('events', 'group', id!), 1)
  const worker = client.duplicate() as Subject
  const waiting = worker.xread('BLOCK', 0, 'STREAMS', 'events', '$')
  const popped = client.duplicate().blmpop(0, 2, 'first', 'second', 'LEFT')
  await until(async () => (await client.client('LIST') as string).match(/cmd=(xread|blmpop)/g)?.length === 2)
  await client.xadd('events', '*', 'kind', 'sent')
  await client.rpush('second', 'x')
  t.match(await waiting, [['events', [[String, ['kind', 'sent']]]]])
  t.strictSame(await popped, ['second', ['x']])
  const endless = errorOf(worker.brpop('nothing', 0))
  await until(async () => /cmd=brpop/.test(await client.client('LIST') as string))
  worker.disconnect()
  t.match(await endless, { code: 'FST_BRK_REDIS_CONNECTION_LOST' })
})

t.test('R3.1 by hand: lazyConnect, connect, disconnect, quit; the states and events are those of ioredis', async (t) => {
  const { server, guard, client } = await start(t, { lazyConnect: true })
  const events: string[] = []
  for (const event of ['wait', 'connecting', 'connect', 'ready', 'close', 'reconnecting', 'end']) client.on(event, () => events.push(event))
  t.equal(client.status, 'wait')
  await client.connect()
  t.equal(client.status, 'ready')
  t.match(await errorOf(client.connect()), { message: /already connecting/ })
  t.equal(await client.ping(), 'PONG')
  await server.cli('client', 'kill', 'type', 'normal')
  await until(() => events.filter((event) => event === 'ready').length === 2)
  client.disconnect()
  await once(client, 'end')
  t.match(await errorOf(client.get('a')), { code: 'FST_BRK_REDIS_NOT_CONNECTED', notApplied: true })
  await called(t, (callback) => client.connect(callback as never))
  await until(() => guard.isHealthy())
  t.equal(await client.get('a'), null)
  t.equal(await client.quit(), 'OK')
  await until(() => client.status === 'end')
  t.strictSame(events, [
    'wait', 'connecting', 'connect', 'ready', 'close', 'reconnecting', 'connecting', 'connect', 'ready', 'close', 'end',
    'connecting', 'connect', 'ready', 'close', 'end'
  ])
})

t.test('R3.3 quit ends well and in time, whatever the server does', async (t) => {
  const { server, client } = await start(t, {}, { commandTimeoutMs: 200 })
  const frozen = client.duplicate() as Subject
  const killed = client.duplicate() as Subject
  const answered = client.duplicate() as Subject
  await Promise.all([frozen.ping(), killed.ping(), answered.ping()])
  t.strictSame(await Promise.all([answered.quit(), answered.quit()]), ['OK', 'OK'], 'twice at once')
  server.freeze()
  t.equal(await frozen.quit(), 'OK')
  await until(() => frozen.status === 'end')
  const waiting = killed.quit()
  await server.kill()
  t.equal(await waiting, 'OK')
  t.strictSame(await killed.quitBuffer!(), Buffer.from('OK'), 'and once more')
  await until(() => killed.status === 'end')
})

t.test('R3.3 a loop that tries again at once cannot keep the process from noticing that Redis is back', async (t) => {
  const { server, guard, client } = await start(t)
  const worker = client.duplicate() as Subject
  await worker.ping()
  await server.kill()
  await until(() => !guard.isHealthy())
  for (const each of [client, worker]) {
    let failures = 0
    const enough = new AbortController()
    const loop = (async () => {
      while (!enough.signal.aborted && failures < 1_000_000) await each.get('a').catch(() => { failures++ })
    })()
    const startedAt = performance.now()
    await until(() => performance.now() - startedAt > 300)
    enough.abort()
    await loop
    t.ok(failures > 0 && failures < 1_000_000, 'timers had their turn')
    if (each === worker) t.ok(failures < 100, `on a connection of its own there is a pause between two refusals: ${failures}`)
  }
  const burst = await Promise.allSettled(Array.from({ length: 5000 }, () => client.get('a')))
  t.ok(burst.every(({ status }) => status === 'rejected'))
  await server.restart()
  await until(async () => await worker.get('a').catch(() => 'not yet') === null)
})

t.test('R3.1 events of an outage: errors are told to whoever listens', async (t) => {
  const { server, guard, client } = await start(t)
  const told = once(client, 'reconnecting')
  const failed = once(client, 'error')
  await server.kill()
  t.match(await told, [Number])
  t.match(await failed, [{ code: 'FST_BRK_REDIS_CONNECTION', kind: 'transport' }])
  await server.restart()
  await until(() => guard.isHealthy())
})

t.test('R3.1 what other libraries look at: options, status, mode, isCluster, and the databases', async (t) => {
  const { server, client } = await start(t, { keyPrefix: 'x:', family: 4, stringNumbers: true, db: 2, clientInfoTag: 'tagged', connectionName: 'named' })
  t.match(client.options, {
    host: server.host,
    port: server.port,
    db: 2,
    family: 4,
    keyPrefix: 'x:',
    stringNumbers: true,
    maxRetriesPerRequest: 0,
    enableReadyCheck: false,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false
  })
  t.match(client, { status: 'ready', mode: 'normal', isCluster: false })
  t.match(await client.client('INFO'), /name=named .*db=2 /)
  t.equal(await client.incr('a'), '1' as never)
  const selected = once(client, 'select')
  t.equal(await client.select(4), 'OK')
  t.strictSame(await selected, [4])
  t.equal(await client.get('a'), null)
  t.strictSame(await client.pipeline().select(2).get('a').exec(), [[null, 'OK'], [null, '1']])
  t.equal(await (client.duplicate({ db: 2 }) as Subject).get('a'), '1')
})

t.test('R3.1 replies of RESP2 and of RESP3, as the options say', async (t) => {
  for (const [options, expected] of [
    [{ protocol: 2 }, ['a', '1']],
    [{ protocol: 3 }, ['a', '1']],
    [{ protocol: 3, replyMapping: 'resp3' }, [['a', 1]]]
  ] as [RedisOptions, unknown][]) {
    const { client } = await start(t, options)
    await client.zadd('z', 1, 'a')
    t.strictSame(await client.zrange('z', 0, '-1', 'WITHSCORES'), expected, JSON.stringify(options))
  }
})

t.test('R3.3 options that would send twice or lie about it are taken for what can be kept of them', async (t) => {
  const { server, guard, client } = await start(t, { reconnectOnError: ({ message }) => message.includes('READONLY') ? 2 : false, commandTimeout: 1 })
  t.equal(await client.eval('local n = 0 for i = 1, 3000000 do n = n + i end return 1', 0), 1, 'commandTimeout of ioredis is not in force')
  await server.cli('replicaof', '127.0.0.1', 1)
  t.match(await errorOf(client.set('a', 1)), { message: /^READONLY/, notApplied: true, ambiguous: false })
  await server.cli('replicaof', 'no', 'one')
  await until(() => guard.isHealthy() && guard.connectionEpoch >= 2)
  t.equal(await client.get('a'), null, 'the connection was replaced')
})

t.test('R3.1 traces: one event for each command', async (t) => {
  const { client } = await start(t)
  const seen: string[] = []
  const subscribers = { start: (message: unknown) => { seen.push((message as { command: string }).command) }, end () {}, asyncStart () {}, asyncEnd () {}, error () {} }
  const channel = tracingChannel<unknown, object>('ioredis:command')
  channel.subscribe(subscribers)
  await client.set('a', 1)
  await client.get('a')
  channel.unsubscribe(subscribers)
  t.strictSame(seen.filter((name) => name === 'set' || name === 'get'), ['set', 'get'])
})
