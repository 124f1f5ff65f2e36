import { inspect } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis, ReplyError } from 'ioredis'
import t from 'tap'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { RedisGuard } from '../../../services/redis/guard.ts'
import type { GuardOptions } from '../../../services/redis/guard.ts'
import { until } from '../../helpers/until.ts'
import { startFaultProxy } from '../../helpers/fault-proxy.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { freePort, startRedis } from '../../helpers/redis-server.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { startSilentServer } from '../../helpers/silent-server.ts'

function makeGuard (t: Teardown, url: string, options: Partial<GuardOptions> = {}): RedisGuard {
  const guard = new RedisGuard({ target: resolveRedisTarget({ REDIS_URL: url }).target!, commandTimeoutMs: 300, connectTimeoutMs: 500, ...options })
  t.teardown(() => guard.close())
  return guard
}

async function healthyGuard (t: Teardown, url: string, options: Partial<GuardOptions> = {}): Promise<RedisGuard> {
  const guard = makeGuard(t, url, options)
  await until(() => guard.isHealthy())
  return guard
}

const errorOf = async (promise: Promise<unknown>) => await promise.then(() => null, (error) => error)

t.test('R3.1 a drop-in ioredis client: every kind of command passes the choke point once', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url)
  const { client } = guard
  const counted = async (title: string, commands: number, run: () => Promise<unknown>) => {
    const before = guard.stats().commands
    await run()
    t.equal(guard.stats().commands - before, commands, `I8 ${title}: ${commands}`)
  }
  t.ok(client instanceof Redis)
  t.equal(guard.stats().commands, 0, 'I8 the handshake is not counted')
  await counted('command', 1, () => client.set('a', 1))
  await counted('callback', 1, () => new Promise((resolve) => { void client.get('a', (_error, value) => resolve(t.equal(value, '1'))) }))
  await counted('Buffer', 1, async () => t.same(await client.getBuffer('a'), Buffer.from('1')))
  await counted('call', 1, async () => t.equal(await client.call('GET', 'a'), '1'))
  await counted('pipeline', 3, async () => {
    const replies = await client.pipeline().incr('a').lpush('a', 'x').get('a').exec()
    t.match(replies, [[null, 2], [{ code: 'FST_BRK_REDIS_REPLY', kind: 'caller' }], [null, '2']])
  })
  await counted('multi', 4, async () => t.strictSame(await client.multi().incr('a').incr('a').exec(), [[null, 3], [null, 4]]))
  await counted('multi on the open line', 4, async () => {
    await client.multi({ pipeline: false })
    await client.incr('a')
    await client.incr('a')
    t.strictSame(await client.exec(), [[null, 5], [null, 6]])
  })
  await counted('script', 2, async () => {
    client.defineCommand('plus', { numberOfKeys: 1, lua: 'return redis.call("incrby", KEYS[1], ARGV[1])' })
    const scripted = client as Redis & { plus (key: string, by: number): Promise<number> }
    t.equal(await scripted.plus('a', 4), 10)
    t.equal(await scripted.plus('a', 5), 15)
  })
  await counted('script that the server forgot', 2, async () => {
    await server.cli('script', 'flush')
    t.equal(await (client as Redis & { plus (key: string, by: number): Promise<number> }).plus('a', 5), 20)
  })
  await counted('scan stream', 1, async () => {
    const found = []
    for await (const keys of client.scanStream()) found.push(...keys)
    t.strictSame(found, ['a'])
  })
  await counted('hash', 2, async () => {
    await client.hset('hash', { one: 1 })
    t.strictSame(await client.hgetall('hash'), { one: '1' })
  })
  t.match(guard.stats(), { rejected: 0, timeouts: 0, reconnects: 0, failures: { caller: 2 }, latencyMs: { p50: Number, p99: Number } })
  t.equal(guard.breaker.state, 'closed', 'R3.6 mistakes of callers open nothing')
})

t.test('what is sent in one turn of the event loop goes out in one write, in the order in which it was sent', async (t) => {
  const server = await startRedis(t)
  const { client } = await healthyGuard(t, server.url)
  const chunks: string[] = []
  client.stream.on('data', () => { chunks.push('reply') })
  const replies = Promise.all([
    client.set('list', 'a'),
    client.append('list', 'b'),
    client.pipeline().append('list', 'c').append('list', 'd').exec(),
    client.append('list', 'e'),
    client.multi().append('list', 'f').exec(),
    ...Array.from({ length: 100 }, () => client.get('list'))
  ])
  t.equal(client.stream.writableCorked, 1, 'nothing has gone out before the turn ends')
  t.equal((await replies).at(-1), 'abcdef', 'six writes in order')
  t.equal(client.stream.writableCorked, 0)
  t.ok(chunks.length < 10, `106 replies came in ${chunks.length} pieces, because the questions did`)
  client.stream.destroy()
  t.match(await errorOf(client.get('list')), { kind: 'transport' }, 'a line that breaks in the same turn is no exception')
})

t.test('R3.6 reply errors stay reply errors, and say what they mean; arguments are gone', async (t) => {
  const server = await startRedis(t)
  const { client, breaker } = await healthyGuard(t, server.url)
  await client.set('text', 'x')
  const error = await errorOf(client.lpush('text', 's3cret'))
  t.ok(error instanceof ReplyError)
  t.match(error, { message: /^WRONGTYPE/, code: 'FST_BRK_REDIS_REPLY', kind: 'caller', notApplied: true, ambiguous: false, command: { name: 'lpush' } })
  t.notMatch(inspect(error, { depth: 5, showHidden: true }), /s3cret/)
  for (let count = 0; count < 10; count++) t.match(await errorOf(client.auth('s3cret')), { kind: /auth|caller/ })
  t.equal(breaker.state, 'closed', 'a caller\'s own AUTH is the caller\'s business')
})

t.test('R3.1 subscribers and duplicates: guarded, and what they send may wait for their connection', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url)
  const subscriber = guard.client.duplicate()
  const heard: string[] = []
  subscriber.on('message', (_channel, message) => heard.push(message))
  t.equal(await subscriber.subscribe('news'), 1)
  await guard.client.publish('news', 'one')
  await until(() => heard.length === 1)
  await server.cli('client', 'kill', 'type', 'pubsub')
  await until(async () => await guard.client.publish('news', 'two') === 1)
  await until(() => heard.includes('two'))
  t.pass('subscribed again by itself')

  const lazy = guard.client.duplicate({ lazyConnect: true, keyPrefix: 'mine:' })
  t.strictSame(await lazy.multi().set('a', 1).get('a').exec(), [[null, 'OK'], [null, '1']])
  t.equal(await guard.client.get('mine:a'), '1')
  await lazy.quit()
  t.match(await errorOf(lazy.get('a')), { code: 'FST_BRK_REDIS_NOT_CONNECTED' })
  const stranger = guard.client.duplicate({ password: 's3cret', lazyConnect: true })
  t.match(await stranger.ping().catch((error: Error) => error), /PONG|ERR/)

  const monitor = await guard.client.monitor()
  const seen = new Promise((resolve) => monitor.on('monitor', (_time, args) => resolve(args)))
  await guard.client.get('watched')
  t.strictSame(await seen, ['get', 'watched'])
})

t.test('R3.1 a duplicate towards a dead address gives up at the first failure, or at the deadline, and never sends later', async (t) => {
  const silent = makeGuard(t, `redis://127.0.0.1:${await startSilentServer(t, 'answer-nothing')}`, { connectTimeoutMs: 2000, commandTimeoutMs: 100 })
  const waiting = silent.client.duplicate()
  t.match(await errorOf(waiting.set('late', 1)), { code: /NOT_SENT|NOT_CONNECTED/, notApplied: true, ambiguous: false })
  const refused = makeGuard(t, `redis://127.0.0.1:${await freePort()}`)
  const failing = refused.client.duplicate()
  t.match(await errorOf(failing.set('late', 1)), { code: 'FST_BRK_REDIS_NOT_CONNECTED', notApplied: true })
  t.match(await errorOf(failing.set('late', 1)), { code: 'FST_BRK_REDIS_NOT_CONNECTED', notApplied: true })
  t.match(silent.stats(), { commands: 1 })
})

t.test('R3.3 blocking commands: their own timeout is their deadline, for ever is for ever, and a lost connection ends them', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url, { commandTimeoutMs: 100 })
  const worker = guard.spawn('worker', { blocking: true })
  await until(() => worker.isHealthy())
  t.equal(await worker.client.blpop('queue', 0.3), null, 'longer than a command may take')
  t.equal(await worker.client.xread('BLOCK', 150, 'STREAMS', 'stream', '$'), null)
  t.equal(await worker.client.xread('STREAMS', 'stream', '0'), null)
  t.equal(await worker.client.wait(1, 150), 0)
  const forever = worker.client.blpop('queue', 0)
  const behind = errorOf(worker.client.get('a'))
  t.match(await behind, { code: 'FST_BRK_REDIS_TIMEOUT' }, 'whoever stands behind it on the same line waits too')
  t.equal(guard.breaker.state, 'closed', 'and that is no evidence')
  await guard.client.lpush('queue', 'x')
  t.strictSame(await forever, ['queue', 'x'])
  const lost = errorOf(worker.client.brpoplpush('queue', 'other', 0))
  await until(async () => /cmd=brpoplpush/.test(await server.cli('client', 'list')))
  await server.cli('client', 'kill', 'type', 'normal')
  t.match(await lost, { code: 'FST_BRK_REDIS_CONNECTION_LOST', ambiguous: true, notApplied: false })
  await until(() => worker.isHealthy() && guard.isHealthy())
  const frozen = errorOf(worker.client.blpop('queue', 0.1))
  server.freeze()
  t.match(await frozen, { code: 'FST_BRK_REDIS_TIMEOUT' })
  server.thaw()
})

t.test('R3.3 no ghosts, no duplicates: a command whose reply is lost runs once and is reported as ambiguous', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const guard = await healthyGuard(t, `redis://127.0.0.1:${proxy.port}`, { commandTimeoutMs: 150 })
  const { client } = guard
  for (const [title, breakLine] of [
    ['silence', () => {}],
    ['cut after the request', () => proxy.cut()]
  ] as const) {
    await client.set('counter', 0)
    const served = new Promise<void>((resolve) => { proxy.onRequest = (bytes) => { if (bytes.includes('incr')) resolve() } })
    proxy.fault = 'swallow-replies'
    const result = errorOf(client.incr('counter'))
    await served
    await until(async () => await server.cli('get', 'counter') === '1')
    breakLine()
    t.match(await result, { notApplied: false, ambiguous: true, code: /TIMEOUT|CONNECTION_LOST/ }, title)
    t.match(await errorOf(client.incr('counter')), { notApplied: true }, 'the next one is not even sent')
    proxy.fault = 'pass'
    proxy.cut()
    await until(() => guard.isHealthy())
    await delay(50)
    t.equal(await client.get('counter'), '1', 'executed exactly once')
  }
})

t.test('R3.3 a pipeline and a transaction on a dead line are rejected as a whole', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const guard = await healthyGuard(t, `redis://127.0.0.1:${proxy.port}`, { commandTimeoutMs: 150 })
  proxy.fault = 'blackhole'
  const [pipeline, transaction] = await Promise.all([
    guard.client.pipeline().incr('a').incr('b').exec(),
    errorOf(guard.client.multi().incr('a').exec())
  ])
  t.match(pipeline, [[{ code: 'FST_BRK_REDIS_TIMEOUT' }], [{ ambiguous: true }]])
  t.match(transaction, { code: /TIMEOUT|CONNECTION_LOST/, ambiguous: true })
  t.match(await guard.client.pipeline().incr('a').incr('b').exec(), [[{ notApplied: true }], [{ notApplied: true }]])
  t.match(guard.lastError, { kind: 'timeout', code: 'SILENT' })
  proxy.fault = 'pass'
  await until(() => guard.isHealthy())
  t.equal(await server.cli('exists', 'a', 'b'), 0)
  t.equal(guard.connectionEpoch, 2)
})

t.test('R3.3 a slow server on a living line keeps its connection', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url, { commandTimeoutMs: 100, breaker: { consecutiveFailures: 100 } })
  const { client } = guard
  await client.subscribe('news')
  const epoch = guard.connectionEpoch
  const blocker = await healthyGuard(t, server.url, { commandTimeoutMs: 5000 })
  const news = setInterval(() => { void errorOf(blocker.client.publish('news', 'x')) }, 10)
  const slow = client.eval('for i = 1, 2 do redis.call("publish", "news", "x") end return redis.call("blpop", "nothing", 0)', 0)
  await errorOf(slow)
  clearInterval(news)
  t.equal(guard.connectionEpoch, epoch)
})

t.test('R3.4 R3.7 open means rejection without a socket; force open, force close, reset', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url)
  const hold = guard.forceOpen()
  t.notOk(guard.isHealthy())
  const before = await server.cli('info', 'commandstats')
  t.match(await errorOf(guard.client.get('a')), { code: 'FST_BRK_CIRCUIT_OPEN', kind: String, notApplied: true, ambiguous: false, retryAfterMs: Number })
  t.match(await guard.client.pipeline().get('a').exec(), [[{ code: 'FST_BRK_CIRCUIT_OPEN' }]])
  t.equal(/cmdstat_get/.test(before), false)
  t.equal(/cmdstat_get/.test(await server.cli('info', 'commandstats')), false, 'nothing was sent')
  t.match(guard.state, { breaker: 'isolated', healthy: false, connection: 'ready', closed: false })
  t.match(await guard.probe(), { role: 'master' }, 'the health connection is not behind the breaker')
  hold[Symbol.dispose]()
  await until(() => guard.isHealthy())
  guard.breaker.trip('test')
  guard.forceClose()
  t.ok(guard.isHealthy())
  guard.breaker.trip('test')
  guard.reset()
  t.ok(guard.isHealthy())
  guard.breaker.trip('test')
  await until(() => guard.isHealthy())
  t.equal(await guard.client.get('a'), null, 'PINGs of ours closed it')
  t.match(guard.stats(), { rejected: 2 })
})

t.test('R3.7 the guard tells: epoch, readiness, probe, reconnect, statistics, last error', async (t) => {
  const server = await startRedis(t)
  const guard = makeGuard(t, server.url)
  let told = 0
  const off = guard.onReady(() => { told++ })
  t.equal(guard.lastError, null)
  await until(() => told === 1)
  t.equal(guard.connectionEpoch, 1)
  guard.reconnect()
  await until(() => guard.connectionEpoch === 2 && told === 2)
  t.match(guard.stats(), { reconnects: 1 })
  await server.kill()
  await until(() => guard.lastError?.code === 'ECONNREFUSED')
  t.match(guard.lastError, { kind: 'transport', at: Number })
  t.match(await errorOf(guard.probe()), { kind: 'transport', reason: 'ECONNREFUSED' })
  t.match(guard.state, { healthy: false, breaker: /open/ })
  await server.restart()
  guard.reconnect()
  await until(() => told === 3)
  t.match(await Promise.all([guard.probe(), guard.probe()]), [{ latencyMs: Number, role: 'master' }, { role: 'master' }])
  server.freeze()
  t.match(await errorOf(guard.probe()), { kind: 'timeout' })
  const both = await Promise.all([errorOf(guard.probe()), errorOf(guard.probe())])
  t.match(both, [{ kind: 'timeout' }, { kind: 'timeout' }])
  server.thaw()
  off()
  await guard.client.quit().catch(() => {})
  guard.reconnect()
  await until(() => guard.isHealthy())
  t.equal(told, 3)
})

t.test('what ioredis restores after a reconnect is let through, uncounted, before anybody else', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url)
  await guard.client.select(3)
  await guard.client.set('where', 'three')
  await server.cli('client', 'kill', 'type', 'normal')
  await until(() => guard.connectionEpoch === 2 && guard.isHealthy())
  t.equal(await guard.client.get('where'), 'three')
  t.match(guard.stats(), { commands: 3 })
})

t.test('spawned connections share the breaker and have deadlines of their own; closing the first closes all', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url)
  const relay = guard.spawn('relay', { commandTimeoutMs: 2000 })
  await until(() => relay.isHealthy())
  t.equal(relay.breaker, guard.breaker)
  t.match(await server.cli('client', 'list'), /name=breakwater-relay /)
  const duplicate = guard.client.duplicate()
  t.equal(await duplicate.ping(), 'PONG')
  await guard.close()
  await guard.close()
  for (const client of [guard.client, relay.client, duplicate]) {
    t.match(await errorOf(client.get('a')), { code: 'FST_BRK_REDIS_CLOSED', notApplied: true })
    t.equal(await client.quit(), 'OK', 'a second farewell is no mistake')
  }
  t.throws(() => guard.spawn('late'), { code: 'FST_BRK_REDIS_CLOSED' })
  t.match(await errorOf(guard.probe()), { code: 'FST_BRK_REDIS_CLOSED' })
  guard.reconnect()
  t.match(guard.state, { closed: true, connection: 'end' })
})

t.test('R10.5 one line for each transition, none for each failure', async (t) => {
  const server = await startRedis(t)
  const logger = memoryLogger()
  const guard = await healthyGuard(t, server.url, { logger })
  await server.kill()
  for (let count = 0; count < 100; count++) await errorOf(guard.client.get('a'))
  await delay(300)
  await server.restart()
  await until(() => guard.isHealthy())
  t.strictSame(logger.of('warn').sort(), ['the Redis circuit is open: commands are refused', 'the connection to Redis is lost'])
  // Either may be first: the circuit is closed by a PING on a connection of its own.
  t.strictSame(logger.of('info').sort(), ['Redis is connected', 'Redis is connected', 'the Redis circuit is closed: commands are let through'])
  t.strictSame(logger.of('error'), [])
  guard.forceOpen()
  t.equal(logger.of('warn').length, 3)
})

t.test('I6 the password appears nowhere: not in errors, events, logs, options, nor in whoever prints the client', async (t) => {
  const server = await startRedis(t, { args: ['--requirepass', 'right'], client: { password: 'right' } })
  const logger = memoryLogger()
  const guard = makeGuard(t, `redis://:s3cret@127.0.0.1:${server.port}`, { logger })
  const events: Error[] = []
  guard.client.on('error', (error) => events.push(error))
  await until(() => events.length > 1)
  t.match(events[0], { code: 'FST_BRK_REDIS_CONNECTION', kind: 'auth', reason: 'WRONGPASS' })
  t.match(guard.lastError, { kind: 'auth', code: 'WRONGPASS' })
  const refusal = await errorOf(guard.client.set('a', 1))
  const probe = await errorOf(guard.probe())
  t.match([refusal, probe], [{ kind: 'auth' }, { kind: 'auth' }])
  const shown = [events, refusal, probe, logger.lines, guard.state, guard.stats(), guard.client, guard.client.options, guard.client.pipeline(), guard]
  t.notMatch(inspect(shown, { depth: 8, showHidden: false }), /s3cret/)
  t.notMatch(JSON.stringify([events, refusal, logger.lines, guard.client, guard.client.options]), /s3cret/)
  await server.cli('config', 'set', 'requirepass', 's3cret')
  await until(() => guard.isHealthy())
  t.equal(await guard.client.set('a', 1), 'OK')
})

t.test('a server that starts to demand a password gets it on a new connection', async (t) => {
  const server = await startRedis(t, { client: { password: 'later' } })
  const guard = await healthyGuard(t, `redis://:later@127.0.0.1:${server.port}`)
  await server.cli('config', 'set', 'requirepass', 'later')
  await server.cli('client', 'kill', 'type', 'normal')
  await until(() => guard.isHealthy() && guard.connectionEpoch === 2)
  t.equal(await guard.client.ping(), 'PONG')
  t.match(await errorOf(guard.client.call('reset')), null)
  const error = await errorOf(guard.client.get('a'))
  t.match(error, { code: 'FST_BRK_REDIS_AUTH', kind: 'auth', notApplied: true })
  await until(() => guard.isHealthy())
  t.equal(await guard.client.get('a'), null)
})

t.test('a stall of our own event loop is not held against Redis', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url, { commandTimeoutMs: 60, breaker: { consecutiveFailures: 1 } })
  server.freeze()
  const error = errorOf(guard.client.get('a'))
  await new Promise(setImmediate)
  const until = performance.now() + 200
  while (performance.now() < until) { /* stalls */ }
  t.match(await error, { code: 'FST_BRK_REDIS_TIMEOUT' })
  t.match(guard.stats(), { timeouts: 1, localTimeouts: 1 })
  t.equal(guard.breaker.state, 'closed')
  server.thaw()
  t.equal(await guard.client.get('a'), null, 'on the same connection')
  t.equal(guard.connectionEpoch, 1)
})

t.test('R3.8 a primary that became a replica is left: the name may lead to another server by now', async (t) => {
  const server = await startRedis(t)
  const guard = await healthyGuard(t, server.url, { breaker: { consecutiveFailures: 2, openMs: 100 }, retries: 0 })
  await server.cli('replicaof', '127.0.0.1', 1)
  for (let count = 0; count < 2; count++) t.match(await errorOf(guard.client.set('a', 1)), { code: 'FST_BRK_REDIS_OVERLOADED', reason: 'READONLY' })
  await until(() => guard.connectionEpoch === 2)
  await server.cli('replicaof', 'no', 'one')
  await until(() => guard.isHealthy())
  t.equal(await guard.client.set('a', 1), 'OK')
})

t.test('R3.3 a call that blocks for ever ends when another connection finds the line dead', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const guard = await healthyGuard(t, `redis://127.0.0.1:${proxy.port}`, { commandTimeoutMs: 100 })
  const worker = guard.spawn('worker', { blocking: true })
  await until(() => worker.isHealthy())
  const blocked = errorOf(worker.client.blpop('queue', 0))
  await guard.client.ping()
  proxy.fault = 'blackhole'
  t.match(await errorOf(guard.client.get('a')), { code: 'FST_BRK_REDIS_TIMEOUT' })
  t.match(await blocked, { code: 'FST_BRK_REDIS_CONNECTION_LOST' })
  proxy.fault = 'pass'
})
