import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { buildApp } from '../../app.ts'
import queueRoutes from '../../routes/queue/index.ts'
import { deadLetter } from '../../services/queue/dead-letter.ts'
import { startRedis } from '../helpers/redis-server.ts'
import type { RedisServer } from '../helpers/redis-server.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'
import { until } from '../helpers/until.ts'

const QUEUE = 'hokusai:model_ready_queue'
const DLQ = `${QUEUE}:dlq`

function envelope (model: string, id = model): string {
  return JSON.stringify({ message_id: id, message_type: 'model_ready_to_deploy', payload: { model_name: model }, timestamp: '2026-11-21T10:18:32.840000', retry_count: 0, max_retries: 3 })
}

async function startApp (t: Test, redis: RedisServer | null): Promise<FastifyInstance> {
  const directory = await temporaryDirectory(t)
  const env = { DATABASE_URL: `sqlite:${join(directory, 'breakwater.db')}`, ...redis === null ? {} : { REDIS_URL: redis.url } }
  const app = await buildApp({ env })
  if (!app.hasRoute({ method: 'GET', url: '/queue' })) await app.register(queueRoutes)
  await app.ready()
  t.teardown(() => app.close())
  return app
}

async function call (app: FastifyInstance, method: 'GET' | 'POST' | 'DELETE', url: string, body?: object) {
  const response = await app.inject({ method, url, ...body === undefined ? {} : { payload: body } })
  return { status: response.statusCode, type: String(response.headers['content-type']), body: response.json() }
}

/** Dead letters as a consumer leaves them. */
async function bury (app: FastifyInstance, redis: RedisServer, bodies: string[]): Promise<void> {
  await until(() => app.publisher.stats()?.leader === true && app.redisGuard?.isHealthy())
  for (const body of bodies) await redis.cli('lpush', DLQ, deadLetter(Buffer.from(body), 'Error: refused', QUEUE).toString())
}

t.test('R5.5 GET /queue: depths, dead letters, journal and relay', async t => {
  const redis = await startRedis(t)
  const app = await startApp(t, redis)
  await bury(app, redis, [envelope('a')])
  await redis.cli('lpush', QUEUE, 'x')
  const { status, body } = await call(app, 'GET', '/queue')
  t.equal(status, 200)
  t.match(body, {
    queue: QUEUE, waiting: 1, processing: 0, delayed: 0, dead_letters: { publish: 0, consume: 1 }, journal: { pending_rows: 0, pressure: 'none' }, relay: { leader: true }, unavailable: []
  })
})

t.test('R5.5 list, show, replay and purge', async t => {
  const redis = await startRedis(t)
  const app = await startApp(t, redis)
  const bodies = ['a', 'b', 'c', 'd', 'e', 'f'].map((model) => envelope(model))
  await bury(app, redis, bodies)
  const first = await call(app, 'GET', '/queue/dead-letters?side=consume&limit=2')
  t.match(first, { status: 200, body: { items: [{ message_id: 'f', error: 'Error: refused' }, { message_id: 'e' }], next_cursor: String, unavailable: [] } })
  const second = await call(app, 'GET', `/queue/dead-letters?side=consume&limit=200&cursor=${first.body.next_cursor}`)
  t.match(second.body, { items: ['d', 'c', 'b', 'a'].map((id) => ({ message_id: id })), next_cursor: null })
  t.match((await call(app, 'GET', '/queue/dead-letters?model=c&error=REFUSED')).body.items, [{ model: 'c' }])

  const [d, c, b, a] = second.body.items.map((item: { id: string }) => item.id)
  t.match(await call(app, 'GET', `/queue/dead-letters/${d}`), { status: 200, body: { id: d, original: bodies[3], encoding: 'utf-8' } })
  t.match(await call(app, 'POST', `/queue/dead-letters/${d}/replay`), { status: 200, body: { id: d, outcome: 'replayed', reason: null } })
  t.match(await call(app, 'POST', `/queue/dead-letters/${d}/replay`), { status: 404, type: 'application/problem+json', body: { code: 'FST_BRK_DEAD_LETTER_NOT_FOUND' } })
  t.match(await call(app, 'DELETE', `/queue/dead-letters/${c}`), { status: 200, body: { id: c, outcome: 'purged' } })
  t.match(await call(app, 'GET', `/queue/dead-letters/${c}`), { status: 404 })
  t.match(await call(app, 'POST', '/queue/dead-letters/replay', { ids: [a, b, c] }), {
    status: 200, body: { results: [{ id: a, outcome: 'replayed' }, { id: b, outcome: 'replayed' }, { id: c, outcome: 'not_found' }], remaining: false }
  })
  t.strictSame((await redis.cli('lrange', QUEUE, 0, -1)).reverse(), [bodies[3], bodies[0], bodies[1]])
  t.match((await call(app, 'POST', '/queue/dead-letters/purge', { filter: { model: 'f' } })).body.results, [{ outcome: 'purged' }])
  t.match(await call(app, 'POST', '/queue/dead-letters/purge', { all: true }), { status: 400, body: { code: 'FST_BRK_PURGE_UNCONFIRMED' } })
  t.equal(await redis.cli('llen', DLQ), 1)
  t.match((await call(app, 'POST', '/queue/dead-letters/purge', { all: true, confirm: QUEUE })).body.results, [{ outcome: 'purged' }])
  await redis.cli('lpush', DLQ, 'not json')
  const { body: { items: [odd] } } = await call(app, 'GET', '/queue/dead-letters')
  t.match(await call(app, 'POST', `/queue/dead-letters/${odd.id}/replay`), { status: 409, body: { code: 'FST_BRK_DEAD_LETTER_NOT_REPLAYABLE' } })
  t.match((await call(app, 'POST', '/queue/dead-letters/replay', { all: true })).body.results, [{ outcome: 'not_replayable' }])
})

t.test('R6.3 bad input: every problem, and nothing is done', async t => {
  const redis = await startRedis(t)
  const app = await startApp(t, redis)
  await bury(app, redis, [envelope('a')])
  const problems = async (method: 'GET' | 'POST', url: string, body?: object) => {
    const answer = await call(app, method, url, body)
    t.equal(answer.status, 400, url)
    t.equal(answer.body.code, 'FST_BRK_REQUEST_INVALID')
    return answer.body.errors.map(({ path, rule }: { path: string, rule: string }) => `${path} ${rule}`).sort()
  }
  t.same(await problems('GET', '/queue/dead-letters?side=neither&limit=0&modle=x'), ['/limit minimum', '/modle additionalProperties', '/side pattern'])
  for (const url of ['/queue/dead-letters/replay', '/queue/dead-letters/purge']) {
    t.same(await problems('POST', url, {}), [' oneOf'])
    t.same(await problems('POST', url, { ids: [], all: false, cursor: 'x' }), [' oneOf', '/all const', '/cursor oneOf', '/ids minItems'])
    t.same(await problems('POST', url, { filter: {} }), ['/filter minProperties'])
    t.same(await problems('POST', url, { ids: Array.from({ length: 1001 }, (_, n) => String(n)) }), ['/ids maxItems'])
    t.same(await problems('POST', url, { filter: { side: 'x', foo: 1 }, al: true }), ['/al additionalProperties', '/filter/foo additionalProperties', '/filter/side pattern'])
  }
  t.same(await problems('POST', '/queue/dead-letters/replay', { ids: ['a'], filter: { model: 'm' }, confirm: 7 }), [' oneOf', '/confirm type'], 'what the schema says and what it cannot say')
  t.match(await call(app, 'POST', '/queue/dead-letters/replay', { ids: [] }), { body: { errors: [{ message: 'ids must have at least 1 entry' }] } })
  t.match(await call(app, 'GET', '/queue/dead-letters?cursor=nonsense'), { status: 400, body: { code: 'FST_BRK_DEAD_LETTER_CURSOR' } })
  t.match(await call(app, 'POST', '/queue/dead-letters/replay', { all: true, cursor: 'nonsense' }), { status: 400, body: { code: 'FST_BRK_DEAD_LETTER_CURSOR' } })
  t.equal(await redis.cli('llen', DLQ), 1)
})

t.test('R5.5 while Redis is down: 200, quickly, with what the journal knows', async t => {
  const redis = await startRedis(t)
  const app = await startApp(t, redis)
  await bury(app, redis, [envelope('a')])
  const { body: { items: [letter] } } = await call(app, 'GET', '/queue/dead-letters')
  await redis.kill()
  await until(() => app.redisGuard?.isHealthy() === false)
  const startedAt = performance.now()
  const overview = await call(app, 'GET', '/queue')
  const list = await call(app, 'GET', '/queue/dead-letters')
  t.ok(performance.now() - startedAt < 200, 'the guard refuses at once')
  t.match(overview, { status: 200, body: { waiting: null, dead_letters: { publish: 0, consume: null }, journal: { pending_rows: 0 } } })
  t.match(overview.body.unavailable[0], { part: String, reason: /Redis/ })
  t.match(list, { status: 200, body: { items: [], next_cursor: null, unavailable: [{ side: 'consume', reason: /Redis/ }] } })
  t.match(await call(app, 'GET', '/queue/dead-letters?side=consume'), { status: 503, body: { code: 'FST_BRK_DEAD_LETTERS_UNAVAILABLE' } })
  const refused = await call(app, 'POST', `/queue/dead-letters/${letter.id}/replay`)
  t.match(refused, { status: 503 })
  t.notMatch(refused.body.detail, /Idempotency-Key/, 'these requests have none')
  t.match((await call(app, 'POST', '/queue/dead-letters/replay', { ids: [letter.id] })).body.results, [{ outcome: 'failed', reason: /Redis/ }])
})

t.test('R5.5 while Redis is frozen: 200 within the deadline of a command', async t => {
  const redis = await startRedis(t)
  const app = await startApp(t, redis)
  redis.freeze()
  const startedAt = performance.now()
  t.match(await call(app, 'GET', '/queue'), { status: 200, body: { waiting: null, journal: { pending_rows: 0 } } })
  t.ok(performance.now() - startedAt < 1500)
  redis.thaw()
})

t.test('R5.5 without Redis the publish side is all there is', async t => {
  const app = await startApp(t, null)
  t.match(await call(app, 'GET', '/queue'), { status: 200, body: { waiting: null, relay: null, unavailable: [{ reason: 'Redis is disabled' }] } })
  t.match(await call(app, 'GET', '/queue/dead-letters'), { status: 200, body: { items: [], unavailable: [{ side: 'consume' }] } })
  t.match(await call(app, 'POST', '/queue/dead-letters/p-1/replay'), { status: 404 })
})
