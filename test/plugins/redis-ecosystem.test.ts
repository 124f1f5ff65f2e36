import cookie from '@fastify/cookie'
import rateLimit from '@fastify/rate-limit'
import session from '@fastify/session'
import { RedisStore } from '@mgcrea/fastify-session-redis-store'
import { createCache } from 'async-cache-dedupe'
import { Queue, Worker } from 'bullmq'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { RateLimiterMemory, RateLimiterRedis } from 'rate-limiter-flexible'
import t from 'tap'
import type { Test } from 'tap'
import redis from '../../plugins/redis.ts'
import { until } from '../helpers/until.ts'
import { startRedis } from '../helpers/redis-server.ts'

declare module 'fastify' {
  interface Session { visits?: number }
}

const COMMAND_TIMEOUT_MS = 300
/** Nothing waits for longer than its command may take; the rest is what a busy machine adds. */
const BOUND_MS = COMMAND_TIMEOUT_MS + 1000

type Phase = (t: Test) => Promise<void>

/** A library as it comes, in an application of its own. `after` is tried until it succeeds: nobody lends a hand. */
interface Subject {
  before: Phase
  during: Phase
  after: () => Promise<boolean>
}

const faults = ['killed', 'frozen'] as const

/** Before, during and after; in between, `during` runs twice: before the outage is known, and once it is. */
function throughOutages (title: string, make: (app: FastifyInstance, t: Test) => Promise<Subject>): void {
  for (const fault of faults) {
    t.test(`R3.1 ${title}, unchanged; Redis ${fault}`, async (t) => {
      const server = await startRedis(t)
      const app = Fastify()
      t.teardown(() => app.close())
      await app.register(redis, { target: server.url, commandTimeoutMs: COMMAND_TIMEOUT_MS })
      const subject = await make(app, t)
      await app.ready()
      await t.test('before', async (t) => await subject.before(t))
      if (fault === 'killed') await server.kill()
      else server.freeze()
      await t.test('during', async (t) => await subject.during(t))
      await until(() => !app.redisGuard!.isHealthy())
      await t.test('during, and it is known', async (t) => await subject.during(t))
      if (fault === 'killed') await server.restart()
      else server.thaw()
      await until(() => subject.after())
    })
  }
}

async function bounded<T> (t: Test, run: () => Promise<T>): Promise<T> {
  const startedAt = performance.now()
  const result = await run()
  const ms = performance.now() - startedAt
  t.ok(ms < BOUND_MS, `within ${Math.round(ms)} ms`)
  return result
}

const errorOf = async (promise: Promise<unknown>) => await promise.then(() => null, (error) => error)

throughOutages('@fastify/rate-limit lets everybody in while it cannot count', async (app) => {
  await app.register(rateLimit, { redis: app.redis, skipOnError: true, max: 2, timeWindow: 60_000 })
  app.get('/', () => 'ok')
  const status = async () => (await app.inject('/')).statusCode
  return {
    async before (t) {
      t.strictSame([await status(), await status(), await status()], [200, 200, 429])
    },
    async during (t) {
      for (let count = 0; count < 4; count++) t.equal(await bounded(t, status), 200)
    },
    after: async () => await status() === 429
  }
})

throughOutages('@fastify/rate-limit without skipOnError answers 503', async (app) => {
  await app.register(rateLimit, { redis: app.redis, max: 2, timeWindow: 60_000 })
  app.get('/', () => 'ok')
  const status = async () => (await app.inject('/')).statusCode
  return {
    async before (t) { t.equal(await status(), 200) },
    async during (t) { t.equal(await bounded(t, status), 503) },
    after: async () => await status() === 429
  }
})

throughOutages('@mgcrea/fastify-session-redis-store', async (app) => {
  const store = new RedisStore<{ user: string }>({ client: app.redis, ttl: 60 })
  const read = async () => (await store.get('id'))?.[0]
  return {
    async before (t) {
      await store.set('id', { user: 'me' }, Date.now() + 60_000)
      await store.touch('id', Date.now() + 50_000)
      t.strictSame(await read(), { user: 'me' })
      await store.set('gone', { user: 'you' })
      await store.destroy('gone')
      await until(async () => await store.get('gone') === null)
    },
    async during (t) {
      t.match(await bounded(t, () => errorOf(store.get('id'))), { code: /^FST_BRK_/, statusCode: 503 })
      t.equal(await bounded(t, () => errorOf(store.set('id', { user: 'nobody' }))), null, 'it looks at no result of its pipeline')
    },
    async after () {
      const user = await read().catch(() => undefined)
      if (user === undefined) await store.set('id', { user: 'me' })
      return user?.user === 'me'
    }
  }
})

throughOutages('@fastify/session on callbacks', async (app) => {
  await app.register(cookie)
  await app.register(session, {
    secret: 'a secret of thirty-two characters!',
    cookie: { secure: false },
    store: {
      set (id, data, callback) { void app.redis.set(`session:${id}`, JSON.stringify(data), 'EX', 60, callback) },
      get (id, callback) { void app.redis.get(`session:${id}`, (error, text) => callback(error ?? null, text ? JSON.parse(text) : null)) },
      destroy (id, callback) { void app.redis.del(`session:${id}`, callback) }
    }
  })
  app.get('/', (request) => {
    request.session.visits = (request.session.visits ?? 0) + 1
    return request.session.visits
  })
  let mine = ''
  const visit = async () => {
    const response = await app.inject({ url: '/', headers: mine === '' ? {} : { cookie: mine } })
    const given = response.headers['set-cookie']
    if (given !== undefined) mine = String(given).split(';')[0]!
    return response
  }
  return {
    async before (t) { t.strictSame([(await visit()).body, (await visit()).body], ['1', '2']) },
    async during (t) { t.equal((await bounded(t, visit)).statusCode, 503) },
    after: async () => Number((await visit()).body) > 1
  }
})

throughOutages('async-cache-dedupe asks the origin', async (app, t) => {
  let asked = 0
  const cache = createCache({ ttl: 60, storage: { type: 'redis', options: { client: app.redis, invalidation: true } } })
    .define('square', { references: (n: number) => [`square:${n}`] }, async (n: number) => {
      asked++
      return n * n
    })
  t.teardown(() => cache.clear().catch(() => {}))
  let next = 10
  return {
    async before (t) {
      t.strictSame([await cache.square(3), await cache.square(3), asked], [9, 9, 1])
      await cache.invalidateAll('square:3')
      t.strictSame([await cache.square(3), asked], [9, 2])
    },
    async during (t) {
      const before = asked
      const n = next++
      t.strictSame(await bounded(t, () => Promise.all([cache.square(n), cache.square(n), cache.square(n)])), [n * n, n * n, n * n])
      t.equal(asked - before, 1, 'once for all')
    },
    async after () {
      await cache.square(4)
      const before = asked
      await cache.square(4)
      return asked === before
    }
  }
})

throughOutages('rate-limiter-flexible falls back to its memory', async (app) => {
  const options = { storeClient: app.redis, points: 2, duration: 60, keyPrefix: 'limit' }
  const bare = new RateLimiterRedis(options)
  const insured = new RateLimiterRedis({
    ...options, keyPrefix: 'insured', rejectIfRedisNotReady: true, insuranceLimiter: new RateLimiterMemory({ points: 100, duration: 60 })
  })
  const limited = async () => (await errorOf(bare.consume('me')) as { msBeforeNext?: number } | null)?.msBeforeNext !== undefined
  return {
    async before (t) {
      t.strictSame([await limited(), await limited(), await limited()], [false, false, true])
      t.match(await insured.consume('me'), { remainingPoints: 1 })
    },
    async during (t) {
      t.match(await bounded(t, () => errorOf(bare.consume('me'))), { code: /^FST_BRK_/, retryAfterMs: Number })
      t.ok((await bounded(t, () => insured.consume('me'))).remainingPoints > 90)
    },
    after: async () => await limited() && (await insured.consume('me')).remainingPoints <= 1
  }
})

throughOutages('BullMQ', async (app, t) => {
  const connection = app.redis.duplicate()
  const queue = new Queue('mail', { connection, skipVersionCheck: true })
  const done: string[] = []
  const worker = new Worker('mail', async ({ name }) => { done.push(name) }, { connection, skipVersionCheck: true, drainDelay: 1, runRetryDelay: 500 })
  // Both must have a listener, says its manual: it reports each failure of its background work.
  queue.on('error', () => {})
  worker.on('error', () => {})
  t.teardown(async () => { await Promise.all([worker.close(true), queue.close()]) })
  await Promise.all([worker.waitUntilReady(), queue.waitUntilReady()])
  const later: string[] = []
  return {
    async before () {
      await queue.add('first', {})
      await until(() => done.includes('first'))
    },
    async during (t) {
      t.match(await bounded(t, () => errorOf(queue.add('lost', {}))), { code: /^FST_BRK_/ })
    },
    async after () {
      const name = `later ${later.length}`
      if (await errorOf(queue.add(name, {})) === null) later.push(name)
      return later.some((each) => done.includes(each))
    }
  }
})
