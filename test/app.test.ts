import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { buildApp } from '../app.ts'
import { startRedis } from './helpers/redis-server.ts'
import type { RedisServer, Teardown } from './helpers/redis-server.ts'
import { temporaryDirectory } from './helpers/temporary.ts'
import { until } from './helpers/until.ts'

const QUEUE = 'hokusai:model_ready_queue'

async function start (t: Teardown, env: NodeJS.ProcessEnv): Promise<FastifyInstance> {
  const directory = await temporaryDirectory(t)
  const app = await buildApp({
    env: { DATABASE_URL: `sqlite:${directory}/store.db`, REDIS_COMMAND_TIMEOUT_MS: '200', REDIS_CONNECT_TIMEOUT_MS: '200', ...env }
  })
  t.teardown(() => app.close())
  await app.ready()
  return app
}

function registration (version: number) {
  return { model_name: 'churn', version: String(version), token_id: 'hok-churn', metric_name: 'auc', baseline_value: 0.8 }
}

async function register (app: FastifyInstance, from: number, count: number): Promise<number[]> {
  const codes: number[] = []
  for (let version = from; version < from + count; version++) {
    const response = await app.inject({ method: 'POST', url: '/models', payload: registration(version) })
    codes.push(response.statusCode)
  }
  return codes
}

async function queuedVersions (server: RedisServer): Promise<number[]> {
  const elements: string[] = await server.cli('lrange', QUEUE, 0, -1)
  return elements.reverse().map((element) => Number(JSON.parse(element).payload.model_version))
}

const all = (count: number) => Array.from({ length: count }, (_, index) => index + 1)

t.test('R5.3, R6.6 100 registrations while Redis is killed, frozen and restarted: 100 × 201, exactly 100 messages, in order', async (t) => {
  const server = await startRedis(t, { args: ['--appendonly', 'yes'] })
  const app = await start(t, { REDIS_URL: server.url })
  const codes = await register(app, 1, 20)
  await server.kill()
  codes.push(...await register(app, 21, 20))
  await server.restart()
  codes.push(...await register(app, 41, 20))
  await until(async () => await server.cli('llen', QUEUE) === 60)
  server.freeze()
  codes.push(...await register(app, 61, 20))
  await until(async () => (await app.inject('/health')).json().status === 'degraded')
  const degraded = await app.inject('/health')
  server.thaw()
  codes.push(...await register(app, 81, 20))
  await until(async () => await server.cli('llen', QUEUE) >= 100)

  t.strictSame(codes, Array(100).fill(201))
  t.equal(degraded.statusCode, 200, 'R7.1 only Redis failing is degraded, not unhealthy')
  t.strictSame(await queuedVersions(server), all(100))
  await until(async () => (await app.inject('/health')).json().status === 'healthy')
})

t.test('R5.4 after each of many outages the backlog is in the queue, in order, within two seconds', { timeout: 60_000 }, async (t) => {
  const server = await startRedis(t, { args: ['--appendonly', 'yes'] })
  const app = await start(t, { REDIS_URL: server.url })
  let version = 0
  for (let outage = 1; outage <= 6; outage++) {
    if (outage % 2 === 0) server.freeze()
    else await server.kill()
    for (let count = 0; count < 10; count++) {
      t.strictSame(await register(app, ++version, 1), [201])
      await new Promise((resolve) => { setTimeout(resolve, 40) })
    }
    if (outage % 2 === 0) server.thaw()
    else await server.restart()
    await until(async () => await server.cli('llen', QUEUE) === version, 2000)
  }
  t.strictSame(await queuedVersions(server), all(60))
})

t.test('R7.1 a Redis that answers but refuses to write is degraded, and what waited arrives when it writes again', async (t) => {
  const server = await startRedis(t)
  const app = await start(t, { REDIS_URL: server.url })
  await until(() => app.publisher.stats()!.leader)
  await server.cli('config', 'set', 'maxmemory', '1')
  t.strictSame(await register(app, 1, 3), [201, 201, 201])
  await until(async () => (await app.inject('/health')).json().checks.relay === 'failed')
  t.match(app.publisher.stats(), { lastError: { code: 'FST_BRK_REDIS_OVERLOADED', kind: 'overload' } })
  const { statusCode, body } = await app.inject('/health')
  t.match({ statusCode, body }, { statusCode: 200, body: /degraded/ })
  await server.cli('config', 'set', 'maxmemory', '0')
  await until(async () => await server.cli('llen', QUEUE) === 3)
  await until(async () => (await app.inject('/health')).json().status === 'healthy')
})

t.test('R1.3 without any Redis variable the service works, says so once, and keeps the events', async (t) => {
  const app = await start(t, {})
  t.strictSame(await register(app, 1, 3), [201, 201, 201])
  t.equal(app.redisGuard, null)
  t.equal(app.publisher.stats(), null)
  await app.store.check()
  t.match(app.store.stats(), { pendingRows: 3 })
  const health = await app.inject('/health')
  t.match(health.json(), { status: 'healthy', checks: { redis: 'disabled' } })
})

t.test('R1.6 an invalid Redis configuration starts degraded', async (t) => {
  const app = await start(t, { REDIS_URL: 'http://cache.example.com' })
  t.strictSame(await register(app, 1, 1), [201])
  t.match((await app.inject('/health')).json(), { status: 'degraded' })
})

t.test('R5.6, R7.1 a full journal: registrations are refused with their code, reads go on, health says unhealthy', async (t) => {
  const app = await start(t, { JOURNAL_MAX_ROWS: '2' })
  t.strictSame(await register(app, 1, 2), [201, 201])
  await until(async () => (await app.inject('/health')).statusCode === 503)
  const refused = await app.inject({ method: 'POST', url: '/models', payload: registration(3) })
  t.equal(refused.statusCode, 503)
  t.match(refused.headers, { 'retry-after': '5', 'content-type': /problem\+json/ })
  t.match(refused.json(), { code: 'FST_BRK_JOURNAL_FULL' })
  const listed = await app.inject('/models')
  t.equal(listed.statusCode, 200)
  t.equal(listed.json().items.length, 2)
})

t.test('a database that cannot be opened fails the boot with its code, and leaves nothing running', async (t) => {
  await t.rejects(buildApp({ env: { DATABASE_URL: 'sqlite:/dev/null/store.db' } }), { code: 'FST_BRK_STORE_UNAVAILABLE' })
})

t.test('R5.1 siblings publish through the decorator, with an origin or without', async (t) => {
  const server = await startRedis(t)
  const app = await start(t, { REDIS_URL: server.url, QUEUE_NAME: 'sibling' })
  const message = {
    model_id: 'a/1/b', token_symbol: 'b', metric_name: 'auc', baseline_value: 1, current_value: 2, model_name: 'a', model_version: '1'
  }
  const first = await app.publisher.publish(message)
  const second = await app.publisher.publish(message, { correlationId: 'mine' })
  t.match(first, { messageId: String, durability: 'node' })
  await until(async () => await server.cli('llen', 'sibling') === 2)
  const elements: string[] = await server.cli('lrange', 'sibling', 0, -1)
  t.match(elements.map((element) => JSON.parse(element)), [
    { message_id: second.messageId, payload: { tags: { correlation_id: 'mine' } } },
    { message_id: first.messageId, payload: { tags: { correlation_id: /^[0-9a-f-]{36}$/ } } }
  ])
  t.match(app.publisher.stats(), { leader: true, published: 2 })
  await t.rejects(app.publisher.publish({ ...message, current_value: 0 }), { code: 'FST_BRK_MESSAGE_INVALID' })
})

t.test('I7 closing takes less than a second in every Redis state, a batch on its way included', async (t) => {
  const trouble: Record<string, (server: RedisServer) => unknown> = {
    none: () => {}, frozen: (server) => server.freeze(), killed: (server) => server.kill()
  }
  for (const [state, inflict] of Object.entries(trouble)) {
    const server = await startRedis(t)
    const app = await start(t, { REDIS_URL: server.url })
    await until(() => app.publisher.stats()!.leader)
    await inflict(server)
    await register(app, 1, 3)
    await new Promise((resolve) => { setTimeout(resolve, 20) })
    const startedAt = performance.now()
    await app.close()
    t.ok(performance.now() - startedAt < 1000, `${state}: ${Math.round(performance.now() - startedAt)} ms`)
  }
})

t.test('I10 two apps in one process do not know of each other', async (t) => {
  const server = await startRedis(t)
  const [one, two] = await Promise.all(['one', 'two'].map((queue) => start(t, { REDIS_URL: server.url, QUEUE_NAME: queue })))
  t.strictSame(await register(one!, 1, 2), [201, 201])
  t.strictSame(await register(two!, 1, 1), [201])
  await until(async () => await server.cli('llen', 'one') === 2 && await server.cli('llen', 'two') === 1)
})
