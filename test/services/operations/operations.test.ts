import { Writable } from 'node:stream'
import t from 'tap'
import { loadConfig } from '../../../services/config/load.ts'
import { showConfiguration } from '../../../services/operations/configuration.ts'
import { EventFeed } from '../../../services/operations/event-feed.ts'
import { History } from '../../../services/operations/history.ts'
import type { OperationsSources } from '../../../services/operations/sources.ts'
import { OperationsDesk } from '../../../services/operations/state.ts'
import { summarise } from '../../../services/health/snapshot.ts'
import type { CheckSnapshot } from '../../../services/health/snapshot.ts'
import { CircuitBreaker } from '../../../services/resilience/circuit-breaker.ts'
import { until } from '../../helpers/until.ts'

function check (part: Partial<CheckSnapshot>): CheckSnapshot {
  return { status: 'ok', critical: false, shedsLoad: false, ageMs: 0, latencyMs: 1, kind: null, details: null, transitions: 0, notReadyReason: null, ...part }
}

/** Sources whose figures a test turns by hand, with a breaker of its own. */
function world () {
  const facts = {
    now: 1_000_000,
    checks: { queue: check({ details: { waiting: 4, processing: 3, delayed: 2, dead: 1 } }) } as Record<string, CheckSnapshot>,
    journal: { pendingRows: 0, pendingBytes: 0, oldestPendingAgeMs: 0, deadRows: 0, pressure: 'none' },
    relay: { leader: true, published: 0, rewound: 0, buried: 0, lastError: null },
    redis: { failures: { transport: 0, timeout: 0 }, rejected: 0, latencyMs: { p50: 0.5, p99: 2.3456 } }
  }
  const breaker = new CircuitBreaker({ name: 'test' })
  const sources: OperationsSources = {
    health: () => summarise(facts.checks, false),
    journal: () => facts.journal,
    relay: () => facts.relay,
    redis: { breaker, lastError: { kind: 'transport', code: 'ECONNREFUSED' }, stats: () => facts.redis }
  }
  const now = () => facts.now
  const history = new History({ sources, now })
  const step = (ms = 2000) => {
    facts.now += ms
    return history.sample()
  }
  return { facts, breaker, sources, history, now, step }
}

t.test('R10.4 a sample has everything at one moment, and null for what nobody knows', async t => {
  const { facts, step } = world()
  facts.journal = { pendingRows: 7, pendingBytes: 700, oldestPendingAgeMs: 1500.4, deadRows: 1, pressure: 'high' }
  t.match(step(), {
    at: 1_002_000,
    status: 'healthy',
    breaker: 'closed',
    pending_rows: 7,
    pending_bytes: 700,
    oldest_pending_age_ms: 1500,
    journal_dead: 1,
    waiting: 4,
    processing: 3,
    delayed: 2,
    queue_dead: 1,
    latency_p50_ms: 0.5,
    latency_p99_ms: 2.35,
    published_per_second: null
  })
  facts.checks.queue = check({ status: 'failed', details: { waiting: 4 } })
  t.match(step(), { status: 'degraded', waiting: null, queue_dead: null }, 'depths of a look that failed are old')

  const bare: OperationsSources = { health: () => summarise({}, false), journal: null, relay: () => null, redis: null }
  t.match(new History({ sources: bare }).sample(), { status: 'healthy', breaker: null, pending_rows: null, waiting: null, latency_p99_ms: null, failures_per_second: null })
})

t.test('R10.4 rates are differences over ten seconds', async t => {
  const { facts, step } = world()
  step()
  facts.relay.published = 100
  facts.journal = { ...facts.journal, pendingRows: 20 }
  facts.redis.failures = { transport: 3, timeout: 1 }
  facts.redis.rejected = 6
  t.match(step(), { published_per_second: 50, accepted_per_second: 60, failures_per_second: 2, rejected_per_second: 3 })
  for (let count = 0; count < 4; count++) step()
  t.match(step(), { published_per_second: 0, accepted_per_second: 0 }, 'forgotten after ten seconds')

  facts.relay.rewound = 50
  facts.journal = { ...facts.journal, pendingRows: 70 }
  t.match(step(), { accepted_per_second: 0, repaired_per_second: 5 }, 'repaired messages were not accepted again')
  facts.relay.published += 70
  t.match(step(), { accepted_per_second: 0 }, 'what left since the journal was measured is not counted twice')
  facts.journal = { ...facts.journal, pendingRows: 0 }
  t.match(step(), { accepted_per_second: 0 })
  facts.journal = { ...facts.journal }
  facts.relay.leader = false
  t.match(step(), { accepted_per_second: null }, 'only the relay that leads knows all that leave')
  facts.relay.published = 0
  t.match(step(), { published_per_second: 0 }, 'never below zero')
  t.match(step(-60_000), { published_per_second: null }, 'a clock that was set back')
})

t.test('R10.4 history is bounded, by time and by number', async t => {
  const { facts, history, breaker, step } = world()
  for (let count = 0; count < 1000; count++) step()
  t.equal(history.columns().at.length, 900)
  t.equal(history.columns().at.at(-1)! - history.columns().at[0]!, 899 * 2000)
  step(1_799_999)
  t.equal(history.columns().at.length, 2)
  facts.now = 0
  for (let count = 0; count < 1000; count++) step(1)
  t.equal(history.columns().at.length, 900, 'whatever the clock does')

  history.start()
  t.teardown(() => history.stop())
  for (let count = 0; count < 400; count++) {
    breaker.trip('by-test')
    breaker.close()
  }
  t.equal(history.changes.length, 500)
  t.match(history.changes.at(-1), { from: 'open', to: 'closed', reason: 'closed-by-hand', at: Number })
  history.stop()
  breaker.trip('unseen')
  t.equal(history.changes.at(-1)?.to, 'closed', 'a history that was stopped listens no more')
})

t.test('R10.4 changes of the breaker from before the start are known', async t => {
  const { breaker, sources } = world()
  breaker.trip('by-test')
  t.match(new History({ sources }).changes, [{ from: 'closed', to: 'open', reason: 'by-test' }])
})

t.test('R10.4 the state says since when', async t => {
  const { facts, history, sources, step, now } = world()
  const desk = new OperationsDesk({ sources, history, now, queueName: 'q', configuration: showConfiguration({}, null) })
  const first = step().at
  step()
  t.equal(desk.state().overall.since, first)
  facts.checks.redis = check({ status: 'failed', kind: 'transport' })
  facts.now += 500
  t.match(desk.state(), { now: facts.now, overall: { status: 'degraded', since: facts.now }, breaker: { last_error: { code: 'ECONNREFUSED' } }, history: { status: ['healthy', 'healthy'] } },
    'without waiting for the next sample')
  const changedAt = facts.now
  t.match(desk.update(step()), { overall: { since: changedAt }, sample: { status: 'degraded' } })
})

t.test('R10.4 samples are taken by a timer that keeps nobody alive', async t => {
  const { sources } = world()
  const history = new History({ sources, intervalMs: 5 })
  let told = 0
  const forget = history.onSample(() => { told++ })
  history.start()
  history.start()
  await until(() => told >= 3)
  forget()
  t.notOk(process.getActiveResourcesInfo().includes('Timeout'))
  history.stop()
})

t.test('I6 the configuration is shown masked, and says where each value came from', async t => {
  const env = {
    PORT: '8080',
    REDIS_URL: 'rediss://user:canary@cache.example:6380/1',
    REDIS_HOST: 'redis://:canary@other.example',
    REDIS_AUTH_TOKEN: 'canary',
    REDIS_DB: 'canary',
    API_KEYS: `ci:read:${'c'.repeat(64)}`,
    DATABASE_URL: 'postgres://app:canary@db.example/app',
    CORS_ORIGINS: 'https://a.example https://u:canary@b.example',
    METRICS: ' '
  }
  const { variables, redis } = showConfiguration(env, loadConfig({ REDIS_URL: env.REDIS_URL }).config.redis.resolution)
  t.notMatch(JSON.stringify({ variables, redis }), 'canary')
  t.notMatch(JSON.stringify(variables), 'c'.repeat(64))
  const shown = Object.fromEntries(variables.map(({ name, value, source }) => [name, [value, source]]))
  t.match(shown, {
    PORT: ['8080', 'environment'],
    REDIS_URL: ['***', 'environment'],
    REDIS_HOST: ['redis://***@other.example', 'environment'],
    REDIS_DB: ['0', 'invalid'],
    REDIS_USERNAME: [null, 'unset'],
    DATABASE_URL: ['***', 'environment'],
    CORS_ORIGINS: ['https://a.example https://***@b.example', 'environment'],
    METRICS: ['prometheus', 'default'],
    REDIS_PORT: ['6379', 'default']
  })
  t.match(redis, { url: 'rediss://user:***@cache.example:6380/1', sources: { host: 'REDIS_URL' } })
  t.equal(showConfiguration({}, null).variables.find(({ name }) => name === 'DATABASE_URL')?.value, 'sqlite:./data/breakwater.db', 'a default is no secret')
})

function sink (write = (_text: string, done: () => void) => { done() }) {
  const texts: string[] = []
  const stream = new Writable({ decodeStrings: false, write (chunk, _encoding, done) { texts.push(chunk); write(chunk, done) } })
  return { stream, texts }
}

t.test('R10.4 the feed: bounded readers, heartbeats, and whoever lags too far is cut off', async t => {
  const feed = new EventFeed({ maxReaders: 2, heartbeatMs: 5, maxBufferedBytes: 1000, goodbyeMs: 10 })
  t.teardown(() => feed.close())
  const [good, deaf] = [sink(), sink(() => {})]
  feed.add(good.stream)
  feed.add(deaf.stream)
  t.throws(() => feed.add(sink().stream), { code: 'FST_BRK_OPERATIONS_STREAM_REFUSED', statusCode: 503 })
  await until(() => good.texts.includes(': heartbeat\n\n'))
  for (let count = 0; count < 20; count++) feed.send('sample', { count, filler: 'x'.repeat(100), lines: 'a\nb' })
  t.ok(good.texts.at(-1)!.startsWith('event: sample\ndata: {"count":19,'))
  t.equal(good.texts.at(-1)!.split('\n').length, 4, 'one line of data')
  await until(() => feed.size === 1)
  t.ok(deaf.stream.destroyed)

  const stuck = sink(() => {})
  feed.add(stuck.stream)
  feed.send('sample', {})
  feed.close()
  feed.close()
  t.ok(good.stream.writableEnded)
  await until(() => stuck.stream.destroyed && feed.size === 0)
  t.throws(() => feed.assertRoom(), { code: 'FST_BRK_OPERATIONS_STREAM_REFUSED' })
})
