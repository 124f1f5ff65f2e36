import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t from 'tap'
import config from '../../plugins/config.ts'
import redis from '../../plugins/redis.ts'
import type { RedisPluginOptions } from '../../plugins/redis.ts'
import { resolveRedisTarget } from '../../services/config/redis/redis-target.ts'
import { until } from '../helpers/until.ts'
import { freePort, startRedis } from '../helpers/redis-server.ts'
import type { Teardown } from '../helpers/redis-server.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'
import { makeCertificates } from '../helpers/tls-certificates.ts'

async function build (t: Teardown, options: RedisPluginOptions, env?: NodeJS.ProcessEnv): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  if (env !== undefined) await app.register(config, { env })
  await app.register(redis, options)
  await app.ready()
  return app
}

t.test('R3.1 decorates through @fastify/redis, from options or from fastify.config', async (t) => {
  const server = await startRedis(t)
  for (const [options, env] of [
    [{ target: server.url }, undefined],
    [{ target: resolveRedisTarget({ REDIS_URL: server.url }).target!, commandTimeoutMs: 200, connectTimeoutMs: 300, breaker: { openMs: 100 } }, undefined],
    [{}, { REDIS_URL: server.url }],
    [{ target: server.url, redisOptions: { keyPrefix: 'mine:' } }, {}]
  ] as [RedisPluginOptions, NodeJS.ProcessEnv | undefined][]) {
    const app = await build(t, options, env)
    t.equal(await app.redis.ping(), 'PONG')
    t.equal(app.redis, app.redisGuard!.client)
    t.ok(app.hasPlugin('@fastify/redis') && app.hasPlugin('breakwater-redis'))
    await app.close()
    t.match(app.redisGuard!.state, { closed: true, connection: 'end' })
  }
})

t.test('R3.1 an existing client lends its address and credentials, and stays what it was', async (t) => {
  const server = await startRedis(t, { args: ['--requirepass', 'right'], client: { password: 'right' } })
  for (const options of [{ port: server.port, password: 'right', db: 2, keyPrefix: 'own:' }, { path: server.socketPath, username: 'default', password: 'right' }]) {
    const client = new Redis({ ...options, lazyConnect: true })
    t.teardown(() => client.disconnect())
    const app = await build(t, { client })
    await app.redis.set('a', 1)
    await app.close()
    t.equal(await client.get('a'), '1')
  }
  const open = await startRedis(t)
  const client = new Redis({ port: open.port, tls: {}, lazyConnect: true })
  const app = await build(t, { client, bootBudgetMs: 50 })
  t.equal(app.redisGuard!.isHealthy(), false, 'TLS is taken over too')
})

t.test('R3.1 an existing client lends what callers can tell, too; deadlines among the options of ioredis are those of the guard', async (t) => {
  const server = await startRedis(t)
  const scripts = { mine: { numberOfKeys: 0, lua: 'return ARGV[1]' } }
  const client = new Redis({ port: server.port, lazyConnect: true, stringNumbers: true, scripts, keyPrefix: 'lent:', maxRetriesPerRequest: 7 })
  const app = await build(t, { client, redisOptions: { commandTimeout: 150 } })
  t.equal(await app.redis.incr('a'), '1')
  t.equal(await server.cli('get', 'lent:a'), '1')
  t.equal(await (app.redis as unknown as { mine (text: string): Promise<string> }).mine('x'), 'x')
  t.equal(app.redis.options.maxRetriesPerRequest, 0)
  server.freeze()
  await t.rejects(app.redis.get('a'), { code: 'FST_BRK_REDIS_TIMEOUT', message: /within 150 ms/ })
  server.thaw()
})

t.test('I10 namespaces and apps do not know of each other', async (t) => {
  const [one, two] = await Promise.all([startRedis(t), startRedis(t)])
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(redis, { target: one.url, namespace: 'one' })
  await app.register(redis, { target: two.url, namespace: 'two' })
  await app.ready()
  const clients = app.redis as unknown as Record<string, Redis>
  await clients.one!.set('a', 'one')
  await clients.two!.set('a', 'two')
  t.equal(await clients.one!.get('a'), 'one')
  await one.kill()
  await until(() => !app.redisGuards.one!.isHealthy())
  t.equal(await clients.two!.get('a'), 'two')
  t.ok(app.redisGuards.two!.isHealthy())
  const other = await build(t, { target: two.url })
  await app.close()
  t.equal(await other.redis.get('a'), 'two')

  const twice = Fastify()
  t.teardown(() => twice.close())
  void twice.register(redis, { target: two.url, namespace: 'same' })
  void twice.register(redis, { target: two.url, namespace: 'same' })
  await t.rejects(async () => await twice.ready(), { code: 'FST_BRK_OPTION_INVALID' })
})

t.test('R1.3 R1.6 disabled or invalid: no client, no connection anywhere', async (t) => {
  for (const env of [{}, { REDIS_URL: 'http://nonsense' }]) {
    const app = await build(t, {}, env)
    t.equal(app.redisGuard, null)
    t.notOk(app.hasDecorator('redis'))
  }
  const bare = await build(t, {})
  t.equal(bare.redisGuard, null, 'nothing is said, so nothing is assumed')
})

t.test('options are checked once, and a misspelt one gets a hint', async (t) => {
  for (const [options, message] of [
    [{ bootBudget: 5 }, /no option "bootBudget", did you mean "bootBudgetMs"/],
    [{ bootBudgetMs: -1 }, /"bootBudgetMs"/],
    [{ commandTimeoutMs: 'fast' }, /"commandTimeoutMs"/],
    [{ target: 'http://nonsense' }, /option "target"/],
    [{ target: 'redis://127.0.0.1:1', tlsCaFile: '/nowhere/ca.pem' }, /ENOENT/]
  ] as [RedisPluginOptions, RegExp][]) {
    const app = Fastify()
    t.teardown(() => app.close())
    await t.rejects(async () => await app.register(redis, options), { code: 'FST_BRK_OPTION_INVALID', message })
  }
})

t.test('R3.8 TLS with the right authority, from a file', async (t) => {
  const { caFile, certFile, keyFile } = await makeCertificates(t)
  const server = await startRedis(t, { tls: { caFile, certFile, keyFile } })
  const app = await build(t, { target: server.url, tlsCaFile: caFile })
  t.equal(await app.redis.ping(), 'PONG')
  const configured = await build(t, {}, { REDIS_URL: server.url, REDIS_TLS_CA_FILE: caFile })
  t.equal(await configured.redis.ping(), 'PONG')
})

t.test('an unreadable authority file from the environment trusts nobody, and is a configuration error', async (t) => {
  const { caFile, certFile, keyFile } = await makeCertificates(t)
  const server = await startRedis(t, { tls: { caFile, certFile, keyFile } })
  const app = await build(t, { bootBudgetMs: 300 }, { REDIS_URL: server.url, REDIS_TLS_CA_FILE: '/nowhere/ca.pem' })
  await until(() => app.redisGuard!.lastError?.kind === 'configuration')
  const strict = Fastify()
  t.teardown(() => strict.close())
  await strict.register(config, { env: { REDIS_URL: server.url, REDIS_TLS_CA_FILE: '/nowhere/ca.pem', REDIS_REQUIRED: 'true' } })
  await t.rejects(async () => await strict.register(redis, {}), { code: 'FST_BRK_OPTION_INVALID' })
  const garbage = join(await temporaryDirectory(t), 'ca.pem')
  await writeFile(garbage, 'no certificate')
  const odd = await build(t, { target: server.url, tlsCaFile: garbage, bootBudgetMs: 100 })
  await until(() => odd.redisGuard!.lastError?.kind === 'configuration')
})

t.test('R3.8 unix socket', async (t) => {
  const server = await startRedis(t)
  const app = await build(t, { target: `unix://${server.socketPath}` })
  t.equal(await app.redis.ping(), 'PONG')
})

t.test('R3.2 a client that ends during the boot, or a second registration', async (t) => {
  const port = await freePort()
  const app = Fastify()
  t.teardown(() => app.close())
  app.register(redis, { target: `redis://127.0.0.1:${port}`, bootBudgetMs: 2000 })
  setTimeout(() => { app.redis.disconnect() }, 100)
  await app.ready()
  t.pass('the boot goes on')
  const twice = Fastify()
  t.teardown(() => twice.close())
  void twice.register(redis, { target: `redis://127.0.0.1:${port}`, bootBudgetMs: 0 })
  void twice.register(redis, { target: `redis://127.0.0.1:${port}`, bootBudgetMs: 0 })
  await t.rejects(async () => await twice.ready(), { code: 'FST_BRK_OPTION_INVALID' })
})

t.test('R3.2 the boot does not wait for what only a human can change', async (t) => {
  const certificates = await makeCertificates(t)
  const [server, secure] = await Promise.all([startRedis(t, { args: ['--requirepass', 'right'], client: { password: 'right' } }), startRedis(t, { tls: certificates })])
  const cases = [
    [`redis://:wrong@${server.host}:${server.port}`, 'auth'],
    [server.url, 'auth'],
    [secure.url, 'configuration']
  ] as const
  for (const [target, kind] of cases) {
    const startedAt = performance.now()
    const app = await build(t, { target, bootBudgetMs: 8000 })
    t.ok(performance.now() - startedAt < 4000, `${kind}: not the whole budget`)
    t.match(app.redisGuard!.lastError, { kind })
  }
})
