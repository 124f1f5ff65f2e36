import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Cache } from '../../../services/cache/cache.ts'
import { getOr, quietly, setQuietly } from '../../../services/cache/quiet.ts'
import { Random } from '../../helpers/random.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'
import { counting, world } from './world.ts'

t.test('R9.1 get, set, delete and wrap; what one process keeps, all have', async (t) => {
  const server = await startRedis(t)
  const [one, two] = await Promise.all([world(t, server.url), world(t, server.url)])
  t.equal(await one.cache.get('a'), undefined)
  for (const value of [{ deep: ['x', 1, null] }, 'text', 0, false, null, '']) {
    t.equal(await one.cache.set('a', value), true)
    t.strictSame(await two.cache.get('a'), value)
  }
  t.equal(await two.cache.delete('a'), true)
  t.equal(await one.cache.get('a'), undefined)

  const origin = counting()
  t.equal(await one.cache.wrap('b', { ttlMs: 60_000 }, origin), 1)
  await until(async () => await two.cache.get('b') === 1)
  t.equal(await two.cache.wrap('b', {}, origin), 1)
  t.equal(origin.calls, 1)
  const typed: { name: string } = await one.cache.wrap('c', {}, () => ({ name: 'not even a promise' }))
  t.strictSame(typed, { name: 'not even a promise' })
  await t.rejects(one.cache.wrap('d', {}, () => { throw new Error('from the origin') }), { message: 'from the origin' })
  t.equal(await one.cache.get('d'), undefined, 'failures are not kept')
  t.match(one.cache.stats(), { errorsAvoided: 0, originErrors: 1, bypassed: 0, suspected: false })
})

t.test('R9.1 namespaces and prefixes do not see each other, and long keys stay short', async (t) => {
  const server = await startRedis(t)
  const { cache } = await world(t, server.url)
  const other = await world(t, server.url, { keyPrefix: 'other:cache' })
  const users = cache.namespace('users')
  await Promise.all([cache.set('1', 'root'), users.set('1', 'user'), users.namespace('old').set('1', 'old'), other.cache.set('1', 'other')])
  t.strictSame(await Promise.all([cache.get('1'), users.get('1'), users.namespace('old').get('1'), other.cache.get('1')]), ['root', 'user', 'old', 'other'])
  await users.delete('1')
  t.equal(await cache.get('1'), 'root')
  t.strictSame((await server.cli('keys', '*')).sort(), ['breakwater:cache/users/old:1', 'breakwater:cache:1', 'other:cache:1'])
  t.equal(users.stats().hits, cache.stats().hits, 'counted together')
  const long = 'x'.repeat(100_000)
  await cache.set(long, 1)
  await cache.set(`${long}y`, 2)
  t.strictSame([await cache.get(long), await cache.get(`${long}y`)], [1, 2])
  t.ok((await server.cli('keys', '*')).every((key: string) => key.length < 600))
})

t.test('R9.1 the programmer\'s mistakes are errors', async (t) => {
  const cache = new Cache({ client: null })
  const wrong = { code: 'FST_BRK_CACHE_OPTION' }
  await t.rejects(cache.get(''), wrong)
  await t.rejects(cache.get(7 as unknown as string), wrong)
  for (const options of [{ ttlMs: 0 }, { ttlMs: NaN }, { ttlMs: Infinity }, { staleMs: -1 }, { jitter: 2 }, { lockMs: '1' as unknown as number }]) {
    await t.rejects(cache.wrap('a', options, () => 1), wrong)
  }
  await t.rejects(cache.set('a', 1, { ttlMs: -1 }), wrong)
  t.throws(() => cache.namespace('a:b'), wrong)
  t.throws(() => new Cache({ client: null, keyPrefix: 'a#b' }), wrong)
  t.throws(() => new Cache({ client: null, ttlMs: 0 }), wrong)
})

t.test('R9.1 single flight: one call of the origin for all who ask at the same time, however it ends', async (t) => {
  const server = await startRedis(t)
  const { cache } = await world(t, server.url)
  const origin = counting(20)
  const values = await Promise.all(Array.from({ length: 100 }, () => cache.wrap('a', {}, origin)))
  t.ok(values.every((value) => value === 1))
  t.match(cache.stats(), { originCalls: 1, coalesced: 99 })
  origin.failure = new Error('out')
  const failed = await Promise.allSettled(Array.from({ length: 100 }, () => cache.wrap('b', {}, origin)))
  t.ok(failed.every(({ status }) => status === 'rejected'))
  t.equal(origin.calls, 2)
  origin.failure = null
  t.equal(await cache.wrap('b', {}, origin), 3, 'the failed flight is over')
})

t.test('R9.1 an origin that hangs does not take all later callers with it', async (t) => {
  const time = { now: 0 }
  const cache = new Cache({ client: null, clock: () => time.now })
  void cache.wrap('a', {}, () => new Promise(() => {}))
  time.now = 9_999
  const joined = cache.wrap('a', {}, () => 'not called')
  time.now = 10_001
  t.equal(await cache.wrap('a', {}, () => 'called'), 'called')
  t.equal(await Promise.race([joined, delay(20, 'hangs')]), 'hangs')
})

t.test('R9.1 lifetimes vary by a tenth, from the seed', async (t) => {
  const server = await startRedis(t)
  const lives = async (seed: number, jitter?: number) => {
    const random = new Random(seed)
    const { cache, guard } = await world(t, server.url, { random: () => random.next(), keyPrefix: `seed${seed}`, now: () => 1_000_000 })
    await Promise.all(Array.from({ length: 50 }, (_, index) => cache.wrap(String(index), { ttlMs: 1_000_000, lockMs: 0, ...jitter === undefined ? {} : { jitter } }, () => index)))
    await until(async () => (await guard.client.dbsize()) % 50 === 0)
    const texts = await Promise.all(Array.from({ length: 50 }, (_, index) => guard.client.get(`seed${seed}:${index}`)))
    return texts.map((text) => parseInt(/^1:(\w+)=/.exec(text!)![1]!, 36) - 1_000_000)
  }
  const first = await lives(7)
  t.ok(first.every((lifeMs) => lifeMs >= 900_000 && lifeMs <= 1_100_000))
  t.ok(Math.max(...first) - Math.min(...first) > 150_000)
  t.ok(new Set(first).size > 45)
  await server.cli('flushall')
  t.strictSame(await lives(7), first)
  await server.cli('flushall')
  t.ok((await lives(8, 0)).every((lifeMs) => lifeMs === 1_000_000))
})

t.test('R9.1 what is kept goes: from the cache when it expires, from Redis when it cannot be of use any more', async (t) => {
  const server = await startRedis(t)
  const { cache, travel } = await world(t, server.url, { jitter: 0 })
  await cache.set('a', 1, { ttlMs: 10_000, staleMs: 5000 })
  const leftMs = await server.cli('pttl', 'breakwater:cache:a')
  t.ok(leftMs > 13_000 && leftMs <= 15_001, String(leftMs))
  travel(9000)
  t.equal(await cache.get('a'), 1)
  travel(2000)
  t.equal(await cache.get('a'), undefined)
  t.match(cache.stats(), { hits: 1, misses: 1, hitRatio: 0.5 })
})

t.test('R9.1 nothing is kept of nothing, unless asked', async (t) => {
  const server = await startRedis(t)
  const { cache } = await world(t, server.url)
  for (const nothing of [null, undefined]) {
    const origin = counting()
    const absent = async () => { await origin(); return nothing }
    await cache.wrap(`no ${nothing}`, {}, absent)
    t.equal(await cache.wrap(`no ${nothing}`, {}, absent), nothing)
    t.equal(origin.calls, 2)
    await cache.wrap(`yes ${nothing}`, { negativeTtlMs: 1000 }, absent)
    await until(async () => (await server.cli('exists', `breakwater:cache:yes ${nothing}`)) === 1)
    t.equal(await cache.wrap(`yes ${nothing}`, { negativeTtlMs: 1000 }, absent), nothing)
    t.equal(origin.calls, 3)
    t.ok(await server.cli('pttl', `breakwater:cache:yes ${nothing}`) <= 1101)
  }
})

t.test('R9.1 values too large, unencodable or unreadable are misses, and counted', async (t) => {
  const server = await startRedis(t)
  const { cache, guard } = await world(t, server.url, { maxValueBytes: 100 })
  await cache.set('large', 'small')
  t.equal(await cache.set('large', 'é'.repeat(60)), false)
  t.equal(await cache.get('large'), undefined, 'what was there before does not stay')
  t.equal(await cache.wrap('large', {}, () => 'x'.repeat(200)), 'x'.repeat(200))
  t.equal(cache.stats().tooLarge, 2)

  const circular: unknown[] = []
  circular.push(circular)
  for (const value of [circular, 1n, () => {}]) t.equal(await cache.wrap('odd', {}, () => value), value)
  t.equal(cache.stats().unencodable, 3)

  for (const text of ['', 'not ours', '1:zz=', '1:zzzzzzzzz={broken', '1:zzzzzzzzz-rest', '2:zzzzzzzzz=1', '\u0000\u0001', 'x'.repeat(1e6)]) {
    await guard.client.set('breakwater:cache:corrupt', text)
    const before = cache.stats().corrupt
    t.equal(await cache.get('corrupt'), undefined)
    t.equal(cache.stats().corrupt, before + 1, text.slice(0, 20))
  }
  t.equal(await cache.wrap('corrupt', {}, () => 'whole'), 'whole')
  await until(async () => await cache.get('corrupt') === 'whole')

  await guard.client.lpush('breakwater:cache:list', 'of another type')
  t.equal(await cache.wrap('list', {}, () => 1), 1)
  t.match(cache.stats(), { errorsAvoided: 1, suspected: false })
})

t.test('R9.1 any codec', async (t) => {
  const server = await startRedis(t)
  const { cache } = await world(t, server.url, { codec: { encode: (value) => `<${String(value)}>`, decode: (text) => text.slice(1, -1) } })
  await cache.set('a', 'b')
  t.match(await server.cli('get', 'breakwater:cache:a'), /^1:\w+=<b>$/)
  t.equal(await cache.get('a'), 'b')
})

t.test('R9.1 stale-while-error: an expired value instead of the origin\'s error, for as long as asked', async (t) => {
  const server = await startRedis(t)
  const { cache, travel } = await world(t, server.url, { jitter: 0, lockMs: 0 })
  const origin = counting()
  const options = { ttlMs: 10_000, staleMs: 20_000 }
  await cache.wrap('a', options, origin)
  await until(async () => await cache.get('a') === 1)
  origin.failure = new Error('out')
  travel(15_000)
  t.equal(await cache.wrap('a', options, origin), 1)
  await t.rejects(cache.wrap('a', { ttlMs: 10_000 }, origin), { message: 'out' }, 'only if asked')
  t.equal(await cache.get('a'), undefined, 'an expired value is not a hit')
  t.match(cache.stats(), { stale: 1, originErrors: 2 })
  travel(16_000)
  await t.rejects(cache.wrap('a', options, origin), { message: 'out' })
  origin.failure = null
  t.equal(await cache.wrap('a', options, origin), 5)
})

t.test('R9.1 stale-while-revalidate: the expired value at once, and one refresh behind it', async (t) => {
  const server = await startRedis(t)
  const [one, two] = [await world(t, server.url, { jitter: 0 }), await world(t, server.url, { jitter: 0 })]
  const origin = counting(30)
  const options = { ttlMs: 10_000, staleMs: 60_000, revalidate: true }
  await one.cache.wrap('a', options, origin)
  await until(async () => await two.cache.get('a') === 1)
  await server.cli('del', 'breakwater:cache#lock:a')
  for (const { travel } of [one, two]) travel(15_000)
  const values = await Promise.all([one, one, two, one, two].map(({ cache }) => cache.wrap('a', options, origin)))
  t.strictSame(values, [1, 1, 1, 1, 1])
  await until(async () => await one.cache.get('a') === 2)
  t.equal(origin.calls, 2, 'one refresh in all processes')
  origin.failure = new Error('out')
  for (const { travel } of [one, two]) travel(15_000)
  t.equal(await one.cache.wrap('a', options, origin), 2, 'a refresh that fails is nobody\'s error')
})

t.test('R9.1 one call of the origin for all processes', async (t) => {
  const server = await startRedis(t)
  const fleet = await Promise.all([1, 2, 3].map(() => world(t, server.url)))
  const origin = counting(60)
  const ask = async (key: string) => await Promise.all(fleet.flatMap(({ cache }) => Array.from({ length: 20 }, () => cache.wrap(key, {}, origin))))
  t.ok((await ask('a')).every((value) => value === 1))
  t.equal(origin.calls, 1)
  t.equal(fleet.reduce((sum, { cache }) => sum + cache.stats().shared, 0), 2)

  origin.failure = new Error('out')
  const results = await Promise.allSettled(fleet.map(({ cache }) => cache.wrap('b', {}, origin)))
  t.ok(results.every(({ status }) => status === 'rejected'), 'who waited tries itself when the lock is given back')
  t.ok(origin.calls <= 4)
  t.equal(await server.cli('exists', 'breakwater:cache#lock:b'), 0)
  origin.failure = null

  await fleet[0]!.cache.wrap('c', { lockMs: 20_000 }, origin)
  t.ok(await server.cli('pttl', 'breakwater:cache#lock:c') > 15_000, 'who missed a moment ago must not get the lock')
  await fleet[0]!.cache.delete('c')
  t.equal(await fleet[1]!.cache.wrap('c', {}, () => 'new'), 'new')
  t.equal(fleet[1]!.cache.stats().shared + fleet[2]!.cache.stats().shared + fleet[0]!.cache.stats().shared, 2, 'a deleted value takes its lock with it')
  t.ok(await server.cli('pttl', 'breakwater:cache#lock:c') <= 1000)
})

t.test('R9.1 a lock whose holder died blocks nobody longer than it lives', async (t) => {
  const server = await startRedis(t)
  const { cache } = await world(t, server.url, { lockMs: 300 })
  await server.cli('set', 'breakwater:cache#lock:a', 'dead', 'px', 60_000)
  const from = performance.now()
  t.equal(await cache.wrap('a', {}, () => 'mine'), 'mine')
  const waitedMs = performance.now() - from
  t.ok(waitedMs >= 290 && waitedMs < 1300, `${waitedMs} ms`)
  t.equal(await server.cli('get', 'breakwater:cache#lock:a'), 'dead', 'nor does anybody remove what is not theirs')
  await server.cli('set', 'breakwater:cache#lock:b', 'dead', 'px', 60)
  t.equal(await cache.wrap('b', { ttlMs: 500 }, () => 'mine'), 'mine')
  t.equal(await cache.wrap('c', { lockMs: 0 }, () => 'unlocked'), 'unlocked')
  t.equal(await server.cli('exists', 'breakwater:cache#lock:c'), 0)
})

t.test('R9.1 what is fetched while the key is deleted or set is not kept', async (t) => {
  const server = await startRedis(t)
  const { cache } = await world(t, server.url)
  const gate = Promise.withResolvers<string>()
  const old = cache.wrap('a', {}, () => gate.promise)
  await until(() => cache.stats().originCalls === 1)
  await cache.delete('a')
  const fresh = cache.wrap('a', {}, () => 'new')
  t.equal(await fresh, 'new', 'and nobody joins it')
  gate.resolve('old')
  t.equal(await old, 'old')
  await until(async () => await cache.get('a') === 'new')
  await delay(20)
  t.equal(await cache.get('a'), 'new')
})

t.test('R9.1 without Redis everything is a miss, and single flight works', async (t) => {
  const cache = new Cache({ client: null })
  const origin = counting(5)
  t.strictSame(await Promise.all([cache.wrap('a', {}, origin), cache.wrap('a', {}, origin)]), [1, 1])
  t.equal(await cache.wrap('a', {}, origin), 2)
  t.equal(await cache.set('a', 1), false)
  t.equal(await cache.delete('a'), false)
  t.equal(await cache.get('a'), undefined)
  t.match(cache.stats(), { hits: 0, misses: 0, hitRatio: null, bypassed: 3, coalesced: 1, originCalls: 2, unsettled: 0, writesLost: 0 })
})

t.test('R9.1 after close everything is a miss', async (t) => {
  const server = await startRedis(t)
  const { cache, guard } = await world(t, server.url)
  await cache.set('a', 1)
  cache.close()
  t.equal(await cache.get('a'), undefined)
  t.equal(await cache.wrap('a', {}, () => 2), 2)
  t.equal(await guard.client.ping(), 'PONG', 'the client stays open')
})

t.test('R3.9 quiet commands: a default instead of an error, but never instead of the caller\'s mistake', async (t) => {
  const server = await startRedis(t)
  const { guard: { client }, guard } = await world(t, server.url)
  t.equal(await setQuietly(client, 'a', 'x', { ttlMs: 60_000 }), true)
  t.equal(await setQuietly(client, 'b', 1), true)
  t.ok(await server.cli('pttl', 'a') > 50_000)
  t.equal(await getOr(client, 'a', 'fallback'), 'x')
  t.equal(await getOr(client, 'absent', null), null)
  t.equal(await quietly(client.incr('b'), 0), 2)
  await client.lpush('list', 1)
  await t.rejects(getOr(client, 'list', null), { code: 'FST_BRK_REDIS_REPLY' })
  server.freeze()
  const from = performance.now()
  t.equal(await getOr(client, 'a', 'fallback', { waitMs: 20 }), 'fallback')
  t.ok(performance.now() - from < 400)
  t.equal(await getOr(client, 'a', 'fallback'), 'fallback', 'by the command\'s own deadline')
  await until(() => !guard.isHealthy())
  t.equal(await setQuietly(client, 'a', 'x'), false)
  t.equal(await quietly(client.incr('b'), 0), 0)
})
