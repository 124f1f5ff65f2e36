import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { Patience } from '../../../services/cache/patience.ts'
import { RedisTier } from '../../../services/cache/redis-tier.ts'
import { Statistics } from '../../../services/cache/statistics.ts'
import { startFaultProxy } from '../../helpers/fault-proxy.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { startSlowProxy } from '../../helpers/slow-proxy.ts'
import { counting, quantile, world } from './world.ts'

/** As in production. */
const impatient = { minPatienceMs: undefined, maxPatienceMs: undefined }
const url = (port: number) => `redis://127.0.0.1:${port}`

interface Outage { url: string, begin: () => unknown, end: () => unknown }

/** Each begins with a Redis that is well. */
const outages: Record<string, (t: Test, server: RedisServer) => Promise<Outage>> = {
  killed: async (_, server) => ({ url: server.url, begin: () => server.kill(), end: () => server.restart() }),
  frozen: async (_, server) => ({ url: server.url, begin: () => server.freeze(), end: () => server.thaw() }),
  'a black hole': async (t, server) => {
    const proxy = await startFaultProxy(t, server.port)
    return { url: url(proxy.port), begin: () => { proxy.fault = 'blackhole' }, end: () => { proxy.fault = 'pass' } }
  },
  slow: async (t, server) => {
    let delayMs = 0
    const port = await startSlowProxy(t, server.port, () => delayMs)
    return { url: url(port), begin: () => { delayMs = 120 }, end: () => { delayMs = 0 } }
  }
}

for (const [name, prepare] of Object.entries(outages)) {
  t.test(`R9.1 ${name}: before, during and after, no request fails and none waits for Redis`, async (t) => {
    const server = await startRedis(t)
    const outage = await prepare(t, server)
    const { cache, guard } = await world(t, outage.url, { ...impatient, memoryBytes: 0 })
    const origin = counting(10)
    await until(async () => {
      await cache.wrap('a', {}, origin)
      return cache.stats().hits > 0
    })

    await outage.begin()
    const wrapped: number[] = []
    const bare: number[] = []
    const endAt = performance.now() + 1500
    const clocked = async (times: number[], run: () => Promise<unknown>) => {
      const from = performance.now()
      await run()
      times.push(performance.now() - from)
    }
    const worker = async (_: unknown, id: number) => {
      for (let round = 0; performance.now() < endAt; round++) {
        await Promise.all([clocked(wrapped, () => cache.wrap(`${id}:${round}`, {}, origin)), clocked(bare, origin)])
      }
    }
    await Promise.all(Array.from({ length: 4 }, worker))
    t.ok(wrapped.length > 50, `${wrapped.length} calls`)
    t.ok(quantile(wrapped, 0.5) < quantile(bare, 0.5) + 5, `median ${quantile(wrapped, 0.5).toFixed(2)} ms, of the origin ${quantile(bare, 0.5).toFixed(2)} ms`)
    t.ok(quantile(wrapped, 0.95) < quantile(bare, 0.95) + 40, `p95 ${quantile(wrapped, 0.95).toFixed(2)} ms, of the origin ${quantile(bare, 0.95).toFixed(2)} ms`)
    const { hitRatio, bypassed } = cache.stats()
    t.ok(bypassed > wrapped.length * 0.8, `${bypassed} bypassed`)
    t.ok(hitRatio! > 0, 'an outage is not a series of misses')

    await outage.end()
    await until(() => guard.isHealthy())
    const { hits } = cache.stats()
    await until(async () => {
      await cache.wrap('b', {}, origin)
      return cache.stats().hits > hits
    })
    t.pass('used again')
  })
}

t.test('R9.1 only the first lookups wait for a frozen Redis, and an abandoned wait still tells the breaker', async (t) => {
  const server = await startRedis(t)
  const { cache, guard } = await world(t, server.url, impatient)
  server.freeze()
  const from = performance.now()
  await Promise.all([cache.get('a'), cache.get('b')])
  const waitedMs = performance.now() - from
  t.ok(waitedMs < 300, `${waitedMs} ms`)
  await until(() => cache.stats().suspected)
  const then = performance.now()
  for (let count = 0; count < 100; count++) await cache.wrap(String(count), {}, () => count)
  t.ok(performance.now() - then < 300, 'one wait each would take seconds')
  await until(() => !guard.isHealthy(), 5000)
  t.ok(cache.stats().errorsAvoided > 0)
  server.thaw()
  await until(() => guard.isHealthy())
  t.equal(cache.stats().suspected, false, 'Redis is back, nothing is suspected any more')
})

t.test('R9.1 while Redis is suspected nobody waits, not even for a probe, and there is one probe at a time', async (t) => {
  const server = await startRedis(t)
  const { guard } = await world(t, server.url, {}, 5000)
  const time = { now: 0 }
  const patience = new Patience({ clock: () => time.now })
  const tier = new RedisTier({ client: guard.client, available: () => guard.isHealthy(), patience, statistics: new Statistics(), clock: () => performance.now() })
  t.equal(await tier.read('a'), null)
  server.freeze()
  const oldest = tier.read('a')
  await delay(5)
  const younger = Promise.resolve(tier.read('b')).then(() => 'given up')
  t.equal(await oldest, undefined)
  t.equal(await Promise.race([younger, turn('waits on')]), 'given up', 'where the oldest is not answered, none is')
  t.ok(patience.suspected)
  const { commands } = guard.stats()
  t.equal(tier.read('a'), undefined)
  t.equal(guard.stats().commands, commands, 'not asked')
  time.now += 60
  t.equal(tier.read('a'), undefined, 'at once')
  t.equal(tier.read('a'), undefined)
  t.equal(guard.stats().commands, commands + 1, 'the probe')
  server.thaw()
  await until(() => {
    time.now += 60
    void tier.read('a')
    return !patience.suspected
  })
  t.ok(guard.isHealthy(), 'the breaker has seen no trouble')
})

t.test('R9.1 what passed through the process answers while Redis does not', async (t) => {
  const server = await startRedis(t)
  const { cache, guard, travel } = await world(t, server.url, { jitter: 0, memoryTtlMs: 30_000 })
  const origin = counting()
  const options = { ttlMs: 60_000, staleMs: 60_000 }
  await cache.wrap('a', options, origin)
  await until(async () => await cache.get('a') === 1)
  await server.kill()
  await until(() => !guard.isHealthy())
  const { hits, misses } = cache.stats()
  t.equal(await cache.wrap('a', options, origin), 1)
  t.equal(await cache.get('a'), 1)
  t.match(cache.stats(), { memoryHits: 2, hits, misses })
  travel(31_000)
  t.equal(await cache.get('a'), undefined, 'not for long: another process may have changed it')
  t.equal(await cache.wrap('a', options, origin), 2)
  t.equal(await cache.wrap('a', options, origin), 2)
  origin.failure = new Error('out')
  travel(100_000)
  t.equal(await cache.wrap('a', options, origin), 2, 'stale, when the origin fails too')
  travel(100_000)
  await t.rejects(cache.wrap('a', options, origin), { message: 'out' })
})

t.test('R9.1 memory is bounded', async (t) => {
  const server = await startRedis(t)
  const { cache, guard } = await world(t, server.url, { memoryBytes: 100_000 })
  await server.kill()
  await until(() => !guard.isHealthy())
  for (let count = 0; count < 200; count++) await cache.wrap(String(count), {}, () => 'x'.repeat(1000))
  const origin = counting()
  for (let count = 0; count < 200; count++) await cache.wrap(String(count), {}, origin)
  t.ok(cache.stats().memoryHits < 50, `${cache.stats().memoryHits} remembered`)
  const before = cache.stats().memoryHits
  await cache.wrap('199', {}, origin)
  t.equal(cache.stats().memoryHits, before + 1, 'the last is still there')

  for (let count = 0; count < 1100; count++) await cache.delete(String(count))
  t.match(cache.stats(), { unsettled: 1000, invalidationsLost: 100 })
})

t.test('R9.1 writes to a Redis that does not take them are bounded', async (t) => {
  const server = await startRedis(t)
  const { cache } = await world(t, server.url, { ...impatient, memoryBytes: 0 }, 2000)
  server.freeze()
  await cache.get('a')
  for (let count = 0; count < 20; count++) await cache.wrap(String(count), {}, () => 'x'.repeat(1_000_000))
  t.equal(cache.stats().writesLost, 12, 'eight fit')
})

t.test('R9.1 what was deleted or set during an outage does not come back with Redis', async (t) => {
  const server = await startRedis(t)
  const { cache, guard } = await world(t, server.url, { ...impatient, minPatienceMs: 100, maxPatienceMs: 100 })
  for (const key of ['sent', 'unsent', 'set', 'read', 'unread']) await until(async () => await cache.set(key, 'old'))
  server.freeze()
  t.equal(await cache.delete('sent'), false)
  t.equal(await cache.get('sent'), undefined)
  await until(() => !guard.isHealthy())
  t.equal(await cache.delete('unsent'), false)
  t.equal(await cache.delete('read'), false)
  t.equal(await cache.delete('unread'), false)
  t.equal(await cache.set('set', 'new'), false)
  t.equal(await cache.get('set'), 'new', 'from memory')
  t.equal(await cache.wrap('read', {}, () => 'newer'), 'newer')
  t.ok(cache.stats().unsettled >= 4)
  const seen: unknown[] = []
  server.thaw()
  await until(async () => {
    for (const key of ['sent', 'unsent', 'set', 'read']) seen.push(await cache.get(key))
    return guard.isHealthy() && cache.stats().unsettled === 0
  })
  t.notOk(seen.includes('old'))
  for (const key of ['sent', 'unsent', 'set', 'read']) t.not(await cache.get(key), 'old', key)
  t.equal(await server.cli('exists', 'breakwater:cache:sent', 'breakwater:cache:unsent', 'breakwater:cache:unread'), 0)
})

for (const memoryBytes of [0, 8 * 1024 ** 2]) {
  t.test(`R9.1 no herd at the return: one call of the origin for each key, in three processes with ${memoryBytes} bytes of memory`, async (t) => {
    const server = await startRedis(t)
    const fleet = await Promise.all([1, 2, 3].map(() => world(t, server.url, { memoryBytes })))
    const keys = Array.from({ length: 20 }, (_, index) => `key ${index}`)
    const origins = new Map(keys.map((key) => [key, counting(50)]))
    const ask = async (times: number) => {
      for (const origin of origins.values()) origin.calls = 0
      await Promise.all(fleet.flatMap(({ cache }) => keys.flatMap((key) => Array.from({ length: times }, () => cache.wrap(key, {}, origins.get(key)!)))))
      return [...origins.values()].map(({ calls }) => calls)
    }
    t.strictSame(await ask(2), keys.map(() => 1))
    await server.kill()
    await until(() => fleet.every(({ guard }) => !guard.isHealthy()))
    t.strictSame(await ask(5), keys.map(() => memoryBytes === 0 ? 3 : 0), 'out: one for each process, or what is remembered')
    await server.restart()
    await until(() => fleet.every(({ guard }) => guard.isHealthy()))
    t.strictSame(await ask(10), keys.map(() => 1), 'back, and empty')
  })
}

t.test('R9.1 a stale value that Redis is too slow to give is waited for when the origin fails', async (t) => {
  const server = await startRedis(t)
  let delayMs = 0
  const { cache, travel } = await world(t, url(await startSlowProxy(t, server.port, () => delayMs)), { ...impatient, memoryBytes: 0, jitter: 0 })
  const options = { ttlMs: 10_000, staleMs: 60_000 }
  await until(async () => await cache.set('a', 'stale', options))
  travel(20_000)
  delayMs = 150
  const failing = () => { throw new Error('out') }
  t.equal(await cache.wrap('a', options, failing), 'stale')
  t.equal(await cache.wrap('a', options, failing), 'stale')
  t.match(cache.stats(), { suspected: true, stale: 2, originErrors: 2 })
  await t.rejects(cache.wrap('b', options, failing), { message: 'out' })
})
