import t from 'tap'
import type { Batch } from '../../../services/journal/journal.ts'
import { MessageRejected } from '../../../services/relay/errors.ts'
import { Isolation } from '../../../services/relay/isolation.ts'
import { RedisTransport } from '../../../services/relay/transport/redis-transport.ts'
import { plainConnection } from '../../helpers/plain-connection.ts'
import { Random } from '../../helpers/random.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { startFaultProxy } from '../../helpers/fault-proxy.ts'
import { until } from '../../helpers/until.ts'
import { QUEUE, startRelay } from './setup.ts'
import type { Setup } from './setup.ts'

const GIANT = 'g'.repeat(1.5 * 1024 * 1024)

/** A server whose largest argument is 1 MiB, and a relay whose batches are larger. */
async function startNarrow (t: Teardown, setup: Setup & { closed?: boolean } = {}) {
  const server = await startRedis(t)
  await server.cli('config', 'set', 'proto-max-bulk-len', '1mb')
  if (setup.closed) await server.cli('acl', 'setuser', 'default', '-config')
  return await startRelay(t, { guarded: true, ...setup, server, relay: { maxBytes: 8 * 1024 * 1024, ...setup.relay } })
}

const body = (index: number) => `m${index}`
const bodies = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => body(from + index))
const entry = (text: string) => ({ key: 'model', body: text })

for (const closed of [false, true]) {
  t.test(`R5.6 a message that the server cannot take (${closed ? 'it does not tell its limit, and cuts the connection' : 'it tells its limit'}) is isolated; the rest flows in order`, async (t) => {
    const { server, journal, relay, queued, logger } = await startNarrow(t, { closed })
    await until(() => relay.stats.leader)
    await journal.append([...bodies(1, 60).map(entry), entry(GIANT), ...bodies(61, 150).map(entry)])
    await until(async () => await server.cli('llen', QUEUE) === 150)
    t.strictSame(await queued(), bodies(1, 150))
    await until(() => relay.stats.lastError === null)
    t.match(relay.stats, { buried: 1, published: 150, rewound: 0, lost: 0 })
    const [letter] = await journal.deadLetters({ limit: 10 })
    t.match(letter, { key: 'model', attempts: 3 })
    t.equal(letter!.body, GIANT, 'byte for byte')
    t.match(letter!.reason, closed ? /Protocol error|connection broke/ : '1572864 bytes are more than the server\'s proto-max-bulk-len, 1048576')
    t.match(logger.lines.filter(({ level }) => level === 'error'), [{ message: 'message rejected by the queue, it is a dead letter now', details: { seq: 61, attempts: 3 } }])
    t.notOk(JSON.stringify(logger.lines).includes('ggg'), 'contents are not logged')
    t.match(await journal.stats(), { deadRows: 1, pendingRows: 0 })
  })
}

t.test('R5.6 replayed once the server takes it, a dead letter arrives as it was', async (t) => {
  const { server, journal, relay, queued } = await startNarrow(t)
  await journal.append([entry(GIANT)])
  await until(() => relay.stats.buried === 1)
  await server.cli('config', 'set', 'proto-max-bulk-len', '512mb')
  const [letter] = await journal.deadLetters({ limit: 1 })
  await journal.replayDeadLetters([letter!.id])
  await until(async () => (await queued())[0] === GIANT)
  t.equal(relay.stats.buried, 1)
})

t.test('R5.6 a limit of our own: several culprits in one batch, at its ends and side by side', async (t) => {
  const { server, journal, relay, queued } = await startRelay(t, { guarded: true, transport: { maxMessageBytes: 20 } })
  await until(() => relay.stats.leader)
  const poison = 'é'.repeat(11)
  const culprits = new Set([0, 1, 57, 99])
  await journal.append(Array.from({ length: 100 }, (_, index) => entry(culprits.has(index) ? poison : body(index))))
  await until(async () => await server.cli('llen', QUEUE) === 96)
  await until(() => relay.stats.buried === 4)
  t.strictSame(await queued(), bodies(0, 99).filter((_, index) => !culprits.has(index)))
  t.match(await journal.stats(), { deadRows: 4, pendingRows: 0 })
  await server.cli('flushall')
  await until(() => relay.stats.emptied === 1)
  await until(async () => await server.cli('llen', QUEUE) === 96)
  t.equal(relay.stats.buried, 4, 'a replay passes over the numbers of the dead letters')
  t.strictSame(await queued(), bodies(0, 99).filter((_, index) => !culprits.has(index)))
})

t.test('R5.6 a connection that breaks on everything large condemns nobody: batches are halved until they pass', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  let cuts = 0
  proxy.onRequest = (bytes) => {
    if (bytes.length <= 20_000) return
    cuts++
    proxy.cut()
  }
  const { journal, relay, queued } = await startRelay(t, { server, port: proxy.port })
  await until(() => relay.stats.leader)
  const large = Array.from({ length: 64 }, (_, index) => `${index}`.padStart(1000, '.'))
  await journal.append(large.map(entry))
  await until(async () => await server.cli('llen', QUEUE) === 64)
  t.strictSame(await queued(), large)
  const before = cuts
  await journal.append(large.map(entry))
  await until(async () => await server.cli('llen', QUEUE) === 128)
  t.strictSame(await queued(), [...large, ...large])
  t.equal(cuts, before, 'and the next ones are smaller from the start')
  t.equal(relay.stats.buried, 0)
})

t.test('R5.6 resets, however many, bury nothing', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const random = new Random(1)
  let cutting = true
  proxy.onRequest = (bytes) => { if (cutting && bytes.length > 60 && random.chance(0.8)) proxy.cut() }
  const { journal, relay, queued, publish, wanted } = await startRelay(t, { server, port: proxy.port })
  await publish(10)
  let failures = 0
  const timer = setInterval(() => { if (relay.stats.lastError !== null) failures++ }, 5)
  t.teardown(() => clearInterval(timer))
  await until(() => failures > 100)
  cutting = false
  await until(async () => (await queued()).length === 10)
  t.strictSame(await queued(), wanted())
  t.match(relay.stats, { buried: 0 })
  t.match(await journal.stats(), { deadRows: 0 })
})

t.test('R5.6 evidence: what a failure to publish says about the contents', async (t) => {
  const server = await startRedis(t)
  const connection = plainConnection(t, server.port)
  await until(() => connection.isHealthy())
  const transport = new RedisTransport(connection, QUEUE)
  const batch = (...contents: string[]): Batch => ({ term: 'a', first: 1, last: contents.length, bodies: contents, previous: null })
  const failing = async (error: Error, content: Batch) => {
    connection.client.defineCommand('unused', { numberOfKeys: 0, lua: 'return 1' })
    const { client } = connection as any
    const { breakwaterPublish } = client
    client.breakwaterPublish = () => Promise.reject(error)
    try {
      return await transport.publish(content).then(() => null, (err) => err)
    } finally {
      client.breakwaterPublish = breakwaterPublish
    }
  }
  const lost = Object.assign(new Error('The connection to Redis was lost'), { code: 'FST_BRK_REDIS_CONNECTION_LOST' })
  for (const token of ['LOADING', 'READONLY', 'OOM', 'MISCONF', 'NOREPLICAS', 'CLUSTERDOWN', 'MOVED', 'ASK', 'TRYAGAIN', 'BUSY', 'NOSCRIPT', 'WRONGTYPE', 'NOAUTH']) {
    const error = Object.assign(new Error(`${token} of the queue`), { name: 'ReplyError' })
    for (let attempt = 0; attempt < 6; attempt++) t.equal(await failing(error, batch('a', 'b')), error, attempt === 0 ? token : '')
  }
  await server.cli('set', QUEUE, 'in the way')
  const wrong = await transport.publish(batch('secret')).then(() => null, (err) => err)
  t.match(wrong.message, /WRONGTYPE/)
  t.notOk(JSON.stringify({ ...wrong }).includes('secret'), 'an error carries no contents, guard or not')
  await server.cli('del', QUEUE)
  for (let attempt = 0; attempt < 20; attempt++) t.equal(await failing(lost, batch('x'.repeat(900_000))), lost, 'one that every server takes')
  t.equal(await failing(lost, batch('a', 'b')), lost)
  t.equal(await failing(lost, batch('a', 'b')), lost)
  t.ok(await failing(lost, batch('a', 'b')) instanceof MessageRejected, 'the third time in a row')
  t.equal(await transport.publish(batch('a', 'b')), true)
  t.equal(await failing(lost, batch('a', 'b')), lost, 'and from the beginning after a success')

  for (let attempt = 0; attempt < 20; attempt++) t.equal(await failing(lost, batch(GIANT)), lost, 'the server says that it takes it')
  await server.cli('acl', 'setuser', 'default', '-config')
  const verdicts = []
  await failing(lost, batch('c', 'd'))
  for (let attempt = 0; attempt < 5; attempt++) verdicts.push(await failing(lost, batch(GIANT)) instanceof MessageRejected)
  t.strictSame(verdicts, [false, false, false, false, true], 'only a giant, and only where the server does not tell')
})

t.test('an empty body counts its number and pushes nothing', async (t) => {
  const server = await startRedis(t)
  const connection = plainConnection(t, server.port)
  await until(() => connection.isHealthy())
  const transport = new RedisTransport(connection, QUEUE)
  const publish = (first: number, ...contents: string[]) =>
    transport.publish({ term: 'a', first, last: first + contents.length - 1, bodies: contents, previous: null })
  t.equal(await publish(1, '', 'b', '', 'd'), true)
  t.equal(await publish(3, '', 'd', 'e', ''), true)
  t.equal(await publish(7, ''), true)
  t.equal(await publish(9, ''), false, 'its number counts')
  t.strictSame((await server.cli('lrange', QUEUE, 0, -1)).reverse(), ['b', 'd', 'e'])
  t.strictSame(await transport.watermarks(['a']), [7])
})

t.test('a batch may be larger than Lua\'s stack', async (t) => {
  const server = await startRedis(t)
  const connection = plainConnection(t, server.port)
  await until(() => connection.isHealthy())
  const transport = new RedisTransport(connection, QUEUE)
  const contents = bodies(1, 20_000)
  t.equal(await transport.publish({ term: 'a', first: 1, last: 20_000, bodies: contents, previous: null }), true)
  t.strictSame((await server.cli('lrange', QUEUE, 0, -1)).reverse(), contents)
})

t.test('a batch that was too much altogether: smaller ones for a while, then larger ones again', async (t) => {
  const isolation = new Isolation()
  const batch = (first: number, last: number): Batch => ({ term: 'a', first, last, bodies: [], previous: null })
  isolation.rejected(batch(1, 100), new MessageRejected('too much'))
  isolation.accepted(batch(1, 50))
  isolation.accepted(batch(51, 75))
  isolation.accepted(batch(76, 88))
  isolation.accepted(batch(89, 100))
  t.equal(isolation.limit({ term: 'a', seq: 100 }, 500), 50)
  for (let count = 0; count < 32; count++) isolation.accepted(batch(101, 150))
  t.equal(isolation.limit({ term: 'a', seq: 150 }, 500), 100)
  for (let count = 0; count < 8 * 32; count++) isolation.accepted(batch(101, 150))
  t.equal(isolation.limit({ term: 'a', seq: 150 }, 1e6), 1e6)
})

t.test('bisection: whatever is rejected, in any place, is found in few steps; neighbours keep their order', async (t) => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = new Random(seed)
    const size = 1 + random.below(500)
    const poison = new Set(Array.from({ length: random.below(4) }, () => 1 + random.below(size)))
    const isolation = new Isolation()
    const buried: number[] = []
    const passed: number[] = []
    let published = 0
    let steps = 0
    while (published < size) {
      if (++steps > 200) return t.fail(`seed ${seed} does not end`)
      const limit = isolation.limit(published === 0 ? null : { term: 'a', seq: published }, 500)
      const batch = { term: 'a', first: published + 1, last: Math.min(size, published + limit), bodies: [], previous: null }
      const numbers = Array.from({ length: batch.last - batch.first + 1 }, (_, index) => batch.first + index)
      const culprit = numbers.findIndex((number) => poison.has(number) && !buried.includes(number))
      if (culprit === -1) {
        isolation.accepted(batch)
        passed.push(...numbers.filter((number) => !buried.includes(number)))
        published = batch.last
      } else if (isolation.rejected(batch, new MessageRejected('poison', random.chance(0.3) ? culprit : null)) === 'bury') {
        buried.push(batch.first)
        t.equal(isolation.attempts, 3)
        isolation.clear()
      }
    }
    const all = Array.from({ length: size }, (_, index) => index + 1)
    t.strictSame([buried, passed], [all.filter((number) => poison.has(number)), all.filter((number) => !poison.has(number))], `seed ${seed}`)
  }
})
