import { Redis } from 'ioredis'
import t from 'tap'
import { RateCounter } from '../../../services/access/rate-counter.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

const windowMs = 60_000

t.test('R6.4 counts by caller and window', async t => {
  let now = 120_000
  const counter = new RateCounter({ windowMs, client: null, available: () => false, now: () => now })
  t.strictSame(counter.add('a'), { current: 1, ttl: 60_000 })
  now += 1000
  t.strictSame(counter.add('a'), { current: 2, ttl: 59_000 })
  t.strictSame(counter.add('b'), { current: 1, ttl: 59_000 })
  now += 59_000
  t.strictSame(counter.add('a'), { current: 1, ttl: 60_000 }, 'a new window begins from nothing')
})

t.test('R6.4 memory is bounded: the oldest caller of many is forgotten', async t => {
  const counter = new RateCounter({ windowMs, client: null, available: () => false, now: () => 0 })
  for (let index = 0; index <= 10_000; index++) counter.add(`caller${index}`)
  t.equal(counter.add('caller0').current, 1, 'forgotten')
  t.equal(counter.add('caller10000').current, 2, 'remembered')
})

t.test('R6.4 processes count together, and alone while Redis is out', async t => {
  const server = await startRedis(t)
  const client = new Redis({ host: server.host, port: server.port, maxRetriesPerRequest: 0, enableOfflineQueue: false, retryStrategy: () => 20 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  await until(async () => client.status === 'ready')
  const options = { windowMs, client, available: () => client.status === 'ready', shareMs: 5, now: () => 1_000_000 }
  const [one, two] = [new RateCounter(options), new RateCounter(options)]
  t.teardown(() => { one.stop(); two.stop() })
  for (let index = 0; index < 10; index++) one.add('a')
  await until(async () => await server.cli('get', 'breakwater:rate:16:a') === '10')
  let seen = two.add('a').current
  await until(async () => { seen = two.add('a').current; return seen > 10 })
  t.ok(seen > 10, `the other has seen ${seen}`)
  t.ok(await server.cli('pttl', 'breakwater:rate:16:a') <= 2 * windowMs)

  await server.kill()
  const before = one.add('a').current
  t.equal(one.add('a').current, before + 1, 'counts on')
  await server.restart()
  await until(async () => { one.add('a'); return Number(await server.cli('get', 'breakwater:rate:16:a')) > 0 })
})
