import { execFile } from 'node:child_process'
import { Writable } from 'node:stream'
import { promisify } from 'node:util'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import t from 'tap'
import cache from '../../plugins/cache.ts'
import type { CacheOptions } from '../../plugins/cache.ts'
import config from '../../plugins/config.ts'
import redis from '../../plugins/redis.ts'
import { startRedis } from '../helpers/redis-server.ts'
import type { Teardown } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const patient: CacheOptions = { minPatienceMs: 5000, maxPatienceMs: 5000 }

async function build (t: Teardown, target: string, options: CacheOptions = patient, server: FastifyServerOptions = {}): Promise<FastifyInstance> {
  const app = Fastify(server)
  t.teardown(() => app.close())
  await app.register(redis, { target })
  await app.register(cache, options)
  await app.ready()
  return app
}

t.test('R9.1 I10 decorates fastify.cache; two apps in one process share what is in Redis and nothing else', async (t) => {
  const server = await startRedis(t)
  const [one, two] = await Promise.all([build(t, server.url), build(t, server.url, { ...patient, ttlMs: 5000, staleMs: 5000, revalidate: true, negativeTtlMs: 10, jitter: 0 })])
  const name: string = await one.cache.wrap('user', { ttlMs: 60_000 }, async () => 'Ada')
  t.equal(name, 'Ada')
  await until(async () => await two.cache.get('user') === 'Ada')
  t.equal(one.cache.stats().hits, 0)
  t.ok(two.cache.stats().hits > 0)
  await two.cache.set('own', 1)
  t.ok(await server.cli('pttl', 'breakwater:cache:own') <= 10_000, 'options of the plugin are the defaults')
  await two.close()
  t.equal(await one.cache.get('user'), 'Ada')
})

t.test('R9.1 I10 the client of a namespace, and caches of sibling scopes', async (t) => {
  const [left, right] = await Promise.all([startRedis(t), startRedis(t)])
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(redis, { target: left.url, namespace: 'left' })
  await app.register(redis, { target: right.url, namespace: 'right' })
  for (const namespace of ['left', 'right']) {
    await app.register(async (scope) => {
      await scope.register(cache, { ...patient, namespace })
      scope.get(`/${namespace}`, async () => await scope.cache.wrap('where', {}, () => namespace))
    })
  }
  t.equal((await app.inject('/left')).body, 'left')
  t.equal((await app.inject('/right')).body, 'right')
  await until(async () => await right.cli('exists', 'breakwater:cache:where') === 1)
  await left.kill()
  await until(() => !app.redisGuards.left!.isHealthy())
  t.equal((await app.inject('/left')).body, 'left')
})

t.test('R9.1 without Redis: disabled, invalid, not registered', async (t) => {
  for (const env of [{}, { REDIS_URL: 'http://nonsense' }, null]) {
    const app = Fastify()
    t.teardown(() => app.close())
    if (env !== null) {
      await app.register(config, { env })
      await app.register(redis)
    }
    await app.register(cache)
    await app.ready()
    t.equal(await app.cache.wrap('a', {}, () => 1), 1)
    t.equal(await app.cache.get('a'), undefined)
    t.equal(await app.cache.set('a', 1), false)
  }
})

t.test('R9.1 an unknown or wrong option is an error, and so is a second cache', async (t) => {
  const refused = async (options: object) => {
    const app = Fastify()
    t.teardown(() => app.close())
    void app.register(cache, options)
    await t.rejects(async () => await app.ready(), { code: 'FST_BRK_OPTION_INVALID' }, JSON.stringify(options))
  }
  for (const options of [{ ttl: 5 }, { ttlMs: 0 }, { jitter: 2 }, { keyPrefix: 'a/b' }, { codec: {} }, { codec: { encode: String, decode: 1 } }, { namespace: 'nowhere' }, { memoryBytes: -1 }]) {
    await refused(options)
  }
  const app = Fastify()
  t.teardown(() => app.close())
  void app.register(cache)
  void app.register(cache)
  await t.rejects(async () => await app.ready(), { code: 'FST_BRK_OPTION_INVALID' })
})

t.test('R9.1 I6 neither keys nor values are in logs or errors', async (t) => {
  const server = await startRedis(t)
  const lines: string[] = []
  const stream = new Writable({ write (line, _, done) { lines.push(String(line)); done() } })
  const app = await build(t, server.url, { ...patient, maxValueBytes: 1000 }, { logger: { level: 'trace', stream } })
  const canary = 's3cret-canary'
  const use = async () => {
    await app.cache.set(`${canary}-set`, canary)
    await app.cache.get(`${canary}-set`)
    await app.cache.wrap(`${canary}-wrap`, { staleMs: 1000 }, () => canary)
    await app.cache.wrap(`${canary}-large`, {}, () => canary.repeat(1000))
    await app.cache.wrap(`${canary}-failed`, {}, () => { throw new Error('out') }).catch(() => {})
    await app.cache.delete(`${canary}-wrap`)
  }
  await use()
  await server.cli('set', `breakwater:cache:${canary}-set`, `${canary} corrupt`)
  await server.cli('lpush', `breakwater:cache:${canary}-wrap`, canary)
  await use()
  server.freeze()
  await use()
  await until(() => !app.redisGuard!.isHealthy())
  await use()
  server.thaw()
  await until(() => app.redisGuard!.isHealthy())
  await use()
  await server.kill()
  await use()
  t.ok(lines.length > 2, 'the outage was logged')
  t.notMatch(lines.join('\n'), new RegExp(canary))
  await t.rejects(app.cache.wrap(canary, { ttlMs: -1 }, () => canary), { message: /^(?!.*canary)/ })
})

t.test('R9.1 closing leaves nothing running, even in the middle of an outage', async (t) => {
  const server = await startRedis(t)
  const program = `
    import Fastify from 'fastify'
    import cache from './plugins/cache.ts'
    import redis from './plugins/redis.ts'
    const app = Fastify()
    await app.register(redis, { target: '${server.url}' })
    await app.register(cache)
    await app.ready()
    await app.cache.wrap('a', {}, () => 1)
    await app.redis.set('breakwater:cache#lock:b', 'dead', 'PX', 60_000)
    const waiting = app.cache.wrap('b', { lockMs: 60_000, ttlMs: 600_000 }, () => 2)
    process.kill(Number(process.argv[1]), 'SIGSTOP')
    const frozen = [app.cache.get('c'), app.cache.wrap('d', {}, () => 3), app.cache.set('e', 1), app.cache.delete('f')]
    await app.close()
    console.log(JSON.stringify(await Promise.all([waiting, ...frozen])))`
  const pid = /process_id:(\d+)/.exec(await server.cli('info', 'server'))![1]!
  const from = performance.now()
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--input-type=module-typescript', '-e', program, pid], { timeout: 20_000 })
  t.equal(stdout.trim(), '[2,null,3,false,false]')
  t.equal(stderr, '')
  t.ok(performance.now() - from < 10_000)
})
