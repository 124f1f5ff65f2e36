import Fastify from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import type { Test } from 'tap'
import configPlugin from '../../plugins/config.ts'
import { loadConfig } from '../../services/config/load.ts'

function build (t: Test) {
  const lines: Record<string, any>[] = []
  const loggerInstance = pino({ level: 'info' }, { write: (line: string) => { lines.push(JSON.parse(line)) } })
  const fastify = Fastify({ loggerInstance })
  t.teardown(() => fastify.close())
  return { fastify, ours: () => lines.filter(({ component }) => component === 'config') }
}

t.test('R1.7 one info line says where everything came from', async t => {
  const { fastify, ours } = build(t)
  await fastify.register(configPlugin, { env: { REDIS_URL: 'rediss://:s3cret@cache.example.com/1', PORT: '8080' } })
  t.equal(fastify.config.process.port, 8080)
  t.ok(Object.isFrozen(fastify.config))
  t.ok(fastify.hasPlugin('breakwater-config'))
  t.equal(ours().length, 1)
  t.match(ours()[0], {
    level: 30,
    msg: 'Redis is configured',
    redis: { scheme: 'rediss', host: 'cache.example.com', port: 6379, tls: true, db: 1, topology: 'single', auth: 'token', sources: { host: 'REDIS_URL', port: 'default', auth: 'REDIS_URL' } }
  })
  t.notMatch(JSON.stringify(ours()), /s3cret/)
})

t.test('R1.3 disabled is said once, at info', async t => {
  const { fastify, ours } = build(t)
  await fastify.register(configPlugin, { env: {} })
  t.match(ours(), [{ level: 30, msg: 'Redis is disabled: neither REDIS_URL nor REDIS_HOST is set', redis: { state: 'disabled' } }])
})

t.test('R1.5 warnings come in one line', async t => {
  const { fastify, ours } = build(t)
  await fastify.register(configPlugin, { env: { REDIS_HOST: 'c.cache.amazonaws.com' } })
  t.same(ours().map(({ level, warnings }) => [level, warnings?.map(({ code }: { code: string }) => code)]),
    [[30, undefined], [40, ['FST_BRK_CONFIG_ELASTICACHE_TLS', 'FST_BRK_CONFIG_NO_TOKEN']]])
})

t.test('R1.6 an invalid Redis configuration disables Redis and is reported whole, in one line', async t => {
  const { fastify, ours } = build(t)
  await fastify.register(configPlugin, { env: { REDIS_URL: 'redis://:s3cret@h:0/x', REDIS_COMMAND_TIMEOUT_MS: '-1' } })
  t.equal(fastify.config.redis.resolution.state, 'invalid')
  t.equal(ours().length, 1)
  t.match(ours()[0], { level: 50, redis: { state: 'invalid' }, errors: [{ code: 'FST_BRK_CONFIG_INTEGER' }, { code: 'FST_BRK_CONFIG_PORT' }, { code: 'FST_BRK_CONFIG_DB' }] })
  t.match(ours()[0]!.msg, /REDIS_COMMAND_TIMEOUT_MS is "-1".*its port must be.*The database/)
  t.notMatch(JSON.stringify(ours()), /s3cret/)
})

t.test('R1.6 what must not start does not register', async t => {
  for (const env of [{ REDIS_REQUIRED: 'true', REDIS_URL: 'redis://h:0' }, { REDIS_REQUIRED: 'true' }, { PORT: 'abc' }]) {
    const { fastify } = build(t)
    await t.rejects(async () => { await fastify.register(configPlugin, { env }) }, { code: 'FST_BRK_CONFIG_INVALID' })
  }
})

t.test('a configuration that was read already is taken as it is', async t => {
  const loaded = loadConfig({ REDIS_HOST: 'c.cache.amazonaws.com', PORT: '81' })
  const { fastify, ours } = build(t)
  await fastify.register(configPlugin, { loaded, env: { PORT: '82' } })
  t.equal(fastify.config, loaded.config)
  t.same(ours().map(({ level }) => level), [30, 40], 'and reported as one that is read here')
  const other = build(t).fastify
  await t.rejects(async () => { await other.register(configPlugin, { loaded: loadConfig({ PORT: 'abc' }) }) }, { code: 'FST_BRK_CONFIG_INVALID' })
})

t.test('options are checked', async t => {
  const first = build(t).fastify
  await t.rejects(async () => { await first.register(configPlugin, { emv: {} } as object) }, { code: 'FST_BRK_OPTION_INVALID', message: /no option "emv", did you mean "env"/ })
  for (const env of [null, 'x']) {
    const { fastify } = build(t)
    await t.rejects(async () => { await fastify.register(configPlugin, { env } as object) }, { code: 'FST_BRK_OPTION_INVALID' })
  }
})

t.test('I10 the environment of the process is the default, and siblings have their own', async t => {
  const { fastify } = build(t)
  await fastify.register(async scope => {
    await scope.register(configPlugin, { env: { PORT: '1' }, prefix: '/a' } as object)
    t.equal(scope.config.process.port, 1)
  })
  await fastify.register(async scope => {
    await scope.register(configPlugin)
    t.ok(scope.config.process.port >= 0)
  })
  t.notOk(fastify.hasDecorator('config'))
})
