import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { setTimeout as delay } from 'node:timers/promises'
import Fastify from 'fastify'
import t from 'tap'
import config from '../../../plugins/config.ts'
import redis from '../../../plugins/redis.ts'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { Secret } from '../../../services/config/secret.ts'
import type { CredentialProvider } from '../../../services/credentials/provider.ts'
import { secretsManager } from '../../../services/credentials/secrets-manager.ts'
import { RedisGuard } from '../../../services/redis/guard.ts'
import type { GuardOptions } from '../../../services/redis/guard.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { startRedisCluster } from '../../helpers/redis-cluster.ts'
import { MASTER, startSentinels } from '../../helpers/redis-sentinel.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../../helpers/redis-server.ts'
import { awsEnvironment, startSecretsManagerStub } from '../../helpers/secrets-manager-stub.ts'
import { until } from '../../helpers/until.ts'

const FIRST = 'canary-first-4c1d'
const SECOND = 'canary-second-9e2b'
const ARN = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:redis-a1b2c3'

const stub = await startSecretsManagerStub(t)
Object.assign(process.env, awsEnvironment(stub.url))

const secretOf = (password: string, username = 'app') => ({ secret: JSON.stringify({ username, password }) })
const setUser = (server: RedisServer, ...rules: string[]) => server.cli('acl', 'setuser', 'app', ...rules)
const errorOf = async (promise: Promise<unknown>) => await promise.then(() => null, (error) => error)
const calls = async (server: RedisServer, command: string) => Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(await server.cli('info', 'commandstats'))?.[1] ?? 0)

/** A server with the user `app`, whose password is the first one and in the secret. */
async function startServer (t: Teardown): Promise<RedisServer> {
  const server = await startRedis(t)
  await setUser(server, 'on', `>${FIRST}`, '~*', '&*', '+@all')
  stub.script = [secretOf(FIRST)]
  return server
}

function guardOf (t: Teardown, server: Pick<RedisServer, 'url'>, credentials: CredentialProvider = secretsManager({ secretId: ARN, field: 'password', refreshMs: 50 }), options: Partial<GuardOptions> = {}): RedisGuard {
  const guard = new RedisGuard({ target: resolveRedisTarget({ REDIS_URL: server.url }).target!, commandTimeoutMs: 300, connectTimeoutMs: 500, credentials, ...options })
  t.teardown(() => guard.close())
  return guard
}

/** Increments without a pause; every failure is noted. */
function startLoad (guard: RedisGuard, workers = 8) {
  const failures: any[] = []
  let succeeded = 0
  const stop = new AbortController()
  const work = async () => {
    while (!stop.signal.aborted) {
      await guard.client.incr('load').then(() => { succeeded++ }, async (error) => {
        failures.push(error)
        await delay(1)
      })
    }
  }
  const done = Promise.all(Array.from({ length: workers }, work))
  return {
    failures,
    get succeeded () { return succeeded },
    async stop () {
      stop.abort()
      await done
    }
  }
}

t.test('R2.2 rotation under load, both passwords valid for a while: no command fails, and no connection is cut', async (t) => {
  const server = await startServer(t)
  const logger = memoryLogger()
  const guard = guardOf(t, server, undefined, { logger })
  await until(() => guard.isHealthy())
  const load = startLoad(guard)
  await until(() => load.succeeded > 500)
  await setUser(server, `>${SECOND}`)
  const asked = stub.requests.length
  stub.script = [secretOf(SECOND)]
  await until(() => stub.requests.length > asked + 1)
  await setUser(server, `<${FIRST}`)
  const soFar = load.succeeded
  await until(() => load.succeeded > soFar + 500)
  t.equal(await guard.client.duplicate().acl('WHOAMI'), 'app', 'a new connection is let in at its first attempt')
  t.strictSame([load.failures, guard.connectionEpoch], [[], 1])

  await server.cli('client', 'kill', 'type', 'normal')
  await until(() => guard.connectionEpoch === 2 && guard.isHealthy())
  const kinds = new Set(load.failures.map(({ code }) => code))
  for (const code of kinds) t.match(code, /CONNECTION_LOST|NOT_CONNECTED|CIRCUIT_OPEN/, 'only what was cut, or came while there was no connection')
  t.not(guard.lastError!.kind, 'auth')
  await load.stop()
  t.equal(Number(await server.cli('get', 'load')) - load.succeeded <= 8, true, 'I2 at most one of each worker is in doubt')
  t.notMatch(inspect([logger.lines, load.failures, guard, guard.state, guard.stats()], { depth: 9 }), /canary/, 'I6')
})

t.test('R2.2 rotation without an overlap: degraded for two seconds at most, whichever comes first, secret or server', async (t) => {
  for (const secretFirst of [true, false]) {
    const server = await startServer(t)
    const logger = memoryLogger()
    const guard = guardOf(t, server, secretsManager({ secretId: ARN, field: 'password' }), { logger })
    await until(() => guard.isHealthy())
    const load = startLoad(guard)
    await until(() => load.succeeded > 100)
    if (secretFirst) stub.script = [secretOf(SECOND)]
    await setUser(server, 'resetpass', `>${SECOND}`)
    await server.cli('client', 'kill', 'user', 'app')
    const cutAt = performance.now()
    if (!secretFirst) {
      await until(() => guard.lastError?.code === 'WRONGPASS')
      await delay(50)
      stub.script = [secretOf(SECOND)]
    }
    await until(() => guard.isHealthy())
    const degradedMs = performance.now() - cutAt
    t.ok(degradedMs < 2000, `${secretFirst ? 'secret' : 'server'} first: ${Math.round(degradedMs)} ms`)
    await load.stop()
    t.notMatch(inspect([logger.lines, load.failures, guard.state], { depth: 9 }), /canary/, 'I6')
    await guard.close()
  }
})

t.test('R2.2 a user who is deleted, and comes back with another password; the source is not asked in a loop meanwhile', async (t) => {
  const server = await startServer(t)
  const guard = guardOf(t, server, secretsManager({ secretId: ARN, field: 'password' }))
  await until(() => guard.isHealthy())
  await server.cli('acl', 'deluser', 'app')
  await until(() => guard.lastError?.code === 'WRONGPASS')
  t.match(await errorOf(guard.client.get('a')), { kind: 'auth', notApplied: true })
  const asked = stub.requests.length
  await delay(600)
  t.ok(stub.requests.length - asked <= 2, 'R2.2 rate-limited')
  await setUser(server, 'on', `>${SECOND}`, '~*', '+@all')
  stub.script = [secretOf(SECOND)]
  await until(() => guard.isHealthy())
  t.equal(await guard.client.set('a', 1), 'OK')
})

t.test('R2.2 rights that are taken away: the open connection gives the credentials that have come since, and stays', async (t) => {
  const server = await startServer(t)
  await server.cli('acl', 'setuser', 'other', 'on', `>${SECOND}`, '~*', '+@all')
  const guard = guardOf(t, server)
  await until(() => guard.isHealthy())
  await setUser(server, '-set')
  t.match(await errorOf(guard.client.set('a', 1)), { code: 'FST_BRK_REDIS_CONFIGURATION', kind: 'configuration', reason: 'NOPERM', notApplied: true })
  t.equal(await guard.client.get('a'), null)
  t.equal(guard.breaker.state, 'closed', 'R3.6')
  stub.script = [secretOf(SECOND, 'other')]
  await until(async () => await guard.client.acl('WHOAMI') === 'other')
  t.equal(await guard.client.set('a', 1), 'OK')
  t.equal(guard.connectionEpoch, 1)
})

t.test('R2.1 R3.2 the source is out at boot: degraded within the budget, and well by itself as soon as it answers', async (t) => {
  const server = await startServer(t)
  const cases = [
    ['hang', 'auth', /CREDENTIALS_UNAVAILABLE/],
    [{ error: 'InternalServiceError', status: 500 }, 'auth', /InternalServiceError/],
    [{ error: 'AccessDeniedException' }, 'configuration', /AccessDeniedException/],
    [{ secret: `{"token":"${FIRST}` }, 'configuration', /SECRET_MALFORMED/]
  ] as const
  for (const [behaviour, kind, reason] of cases) {
    stub.script = [behaviour]
    const lines: string[] = []
    const app = Fastify({ logger: { level: 'debug', stream: { write: (line: string) => { lines.push(line) } } } })
    t.teardown(() => app.close())
    await app.register(config, { env: { REDIS_URL: server.url, REDIS_AUTH_SECRET_ARN: ARN, REDIS_AUTH_SECRET_KEY: 'password', REDIS_BOOT_BUDGET_MS: '700' } })
    await app.register(redis, { commandTimeoutMs: 200, connectTimeoutMs: 300 })
    const startedAt = performance.now()
    await app.ready()
    const bootMs = performance.now() - startedAt
    t.ok(bootMs < 700 + 500, `${String(reason)}: boot in ${Math.round(bootMs)} ms`)
    const guard = app.redisGuard!
    await until(() => guard.lastError?.kind === kind && reason.test(guard.lastError.code))
    t.match(await errorOf(app.redis.get('a')), { code: /NOT_CONNECTED|CIRCUIT_OPEN/, kind, notApplied: true })
    stub.script = [secretOf(FIRST)]
    await until(() => guard.isHealthy())
    t.equal(await app.redis.acl('WHOAMI'), 'app')
    t.notMatch(lines.join(), /canary/, 'I6')
    await app.close()
  }
})

t.test('R2.1 nothing is dialled before there are credentials; closed meanwhile, it ends at once', async (t) => {
  let connections = 0
  const server = createServer(() => { connections++ })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => server.close())
  const guard = guardOf(t, { url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}` }, { name: 'test', fetch: async () => await new Promise(() => {}) })
  await until(() => guard.lastError !== null)
  t.match(guard.state, { healthy: false, lastError: { kind: 'auth', code: 'CREDENTIALS_UNAVAILABLE' } })
  t.equal(connections, 0)
  const startedAt = performance.now()
  await guard.close()
  t.ok(performance.now() - startedAt < 500)
  t.equal(connections, 0)
})

t.test('R2.3 connections with a lifetime authenticate again before it ends: never within a transaction, nor behind a call that blocks', async (t) => {
  const server = await startServer(t)
  const provider: CredentialProvider = { name: 'test', perConnection: true, connectionLifetimeMs: 250, fetch: async () => ({ username: 'app', password: new Secret(FIRST) }) }
  const guard = guardOf(t, server, provider)
  await until(() => guard.isHealthy())
  await until(async () => await calls(server, 'auth') >= 2)
  await guard.client.multi({ pipeline: false })
  await guard.client.incr('n')
  const before = await calls(server, 'auth')
  await delay(400)
  t.equal(await calls(server, 'auth'), before, 'not within a transaction')
  t.strictSame(await guard.client.exec(), [[null, 1]])
  await until(async () => await calls(server, 'auth') > before)
  const worker = guard.spawn('worker', { blocking: true })
  await until(() => worker.isHealthy())
  const blocked = worker.client.blpop('jobs', 0)
  await delay(400)
  const renewals = await calls(server, 'auth')
  await server.cli('lpush', 'jobs', 'x')
  t.strictSame(await blocked, ['jobs', 'x'])
  await until(async () => await calls(server, 'auth') > renewals + 2)
  t.strictSame([guard.connectionEpoch, worker.connectionEpoch], [1, 1], 'on the open lines')
})

t.test('R2.3 a renewal that is refused asks for other credentials and is tried again', async (t) => {
  const server = await startServer(t)
  let password = FIRST
  const provider: CredentialProvider = { name: 'test', connectionLifetimeMs: 250, fetch: async () => ({ username: 'app', password: new Secret(password) }) }
  const guard = guardOf(t, server, provider)
  await until(() => guard.isHealthy())
  await setUser(server, 'resetpass', `>${SECOND}`)
  password = SECOND
  const before = await calls(server, 'auth')
  await until(async () => await calls(server, 'auth') > before + 2)
  t.equal(await guard.client.ping(), 'PONG')
  t.equal(guard.connectionEpoch, 1)
})

t.test('R2.3 R3.8 a subscriber that speaks RESP2 may not authenticate: its connection is replaced, its subscriptions are not lost', async (t) => {
  const server = await startServer(t)
  const provider: CredentialProvider = { name: 'test', connectionLifetimeMs: 250, fetch: async () => ({ username: 'app', password: new Secret(FIRST) }) }
  const guard = guardOf(t, server, provider, { redisOptions: { protocol: 2 } })
  await until(() => guard.isHealthy())
  const subscriber = guard.client.duplicate()
  const heard: string[] = []
  subscriber.on('message', (_channel: string, message: string) => { heard.push(message) })
  let connections = 0
  subscriber.on('ready', () => { connections++ })
  await subscriber.subscribe('news')
  await until(() => connections >= 2)
  await until(async () => {
    await guard.client.publish('news', 'x')
    return heard.length > 0
  })
})

t.test('R2.1 R3.8 the nodes of a cluster, and a primary that sentinels know, get their credentials from the same source', async (t) => {
  const [cluster, world] = await Promise.all([
    startRedisCluster(t, { masters: 3 }),
    startSentinels(t, { downAfterMs: 500 })
  ])
  stub.script = [secretOf(FIRST)]
  for (const server of [...cluster.nodes, ...world.servers]) await setUser(server, 'on', `>${FIRST}`, '~*', '&*', '+@all')
  const [seed] = cluster.nodes
  const base = resolveRedisTarget({ REDIS_URL: seed!.url }).target!
  const clustered = guardOf(t, seed!, undefined, { target: { ...base, topology: 'cluster' } })
  const watched = guardOf(t, seed!, undefined, {
    target: { ...base, host: null, port: null, topology: 'sentinel', sentinel: { nodes: world.sentinels.map(({ host, port }) => ({ host, port })), master: MASTER, username: null, password: null } }
  })
  await until(() => clustered.isHealthy() && clustered.shards().every(({ connection }) => connection === 'ready') && watched.isHealthy())
  for (let key = 0; key < 20; key++) await clustered.client.set(`key:${key}`, key)
  t.equal(await watched.client.set('a', 1), 'OK')
  t.equal(await watched.client.acl('WHOAMI'), 'app')
  for (const node of [...cluster.nodes, ...world.servers]) {
    const clients = String(await node.cli('client', 'list')).split('\n').filter((line) => line.includes('name=breakwater'))
    t.ok(clients.every((line) => line.includes(' user=app ')), 'health connections too')
  }
})
