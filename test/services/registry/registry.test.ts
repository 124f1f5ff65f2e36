import t from 'tap'
import type { Test } from 'tap'
import type { Journal, JournalLimits } from '../../../services/journal/journal.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { silentLogger } from '../../../services/observability/logger.ts'
import { openPostgresStore } from '../../../services/registry/postgres-store.ts'
import type { NewModel, Registry } from '../../../services/registry/registry.ts'
import { storeModule } from '../../../services/registry/sqlite-operations.ts'
import { SqliteRegistry } from '../../../services/registry/sqlite-registry.ts'
import { openSqliteStore, openStore } from '../../../services/registry/store.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { startPostgres } from '../../helpers/postgres-server.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

const model: NewModel = {
  model_name: 'churn', version: '1', token_id: 'hok-churn', metric_name: 'auc', baseline_value: 0.8, current_value: 0.9
}
const origin = { correlationId: 'request-1' }
const defaults = { maxRows: 1000, maxBytes: 1e6 }

interface World {
  registry: Registry
  journal: Journal
  /** What waits in the journal, parsed. */
  events (): Promise<any[]>
  /** Lets time pass for what is stored. */
  age (ms: number): Promise<void>
}

type Open = (t: Teardown, limits?: JournalLimits) => Promise<World>

const server = await startPostgres(t)
let schemas = 0

async function openSqlite (t: Teardown, limits: JournalLimits = defaults): Promise<World> {
  const clock = { now: Date.now() }
  const engine = new InlineEngine({ limits, now: () => clock.now, modules: [storeModule] })
  t.teardown(() => engine.close())
  const journal = new SqliteJournal(engine, 'node')
  return world(new SqliteRegistry(engine, journal), journal, async (ms) => { clock.now += ms })
}

async function openPostgres (t: Teardown, limits: JournalLimits = defaults): Promise<World & { query (text: string): Promise<any[]>, schema: string }> {
  const schema = `registry_${++schemas}`
  const { registry, journal, close } = await openPostgresStore({ connection: server.url, schema, limits, logger: silentLogger })
  t.teardown(close)
  const query = (text: string) => server.query(text.replace('{}', schema))
  const age = async (ms: number) => { await query(`UPDATE {}.idempotency_keys SET created_at = created_at - interval '${ms} ms'`) }
  return { ...world(registry, journal, age), query, schema }
}

function world (registry: Registry, journal: Journal, age: World['age']): World {
  const events = async () => {
    const lease = await journal.acquireLease('test', 5000)
    const batch = await journal.advance({ lease: lease!, leaseUntil: Date.now() + 5000, published: null, after: null, maxRows: 100, maxBytes: 1e6 })
    await journal.releaseLease(lease!)
    return (batch?.bodies ?? []).map((body) => JSON.parse(body))
  }
  return { registry, journal, events, age }
}

/** Every engine keeps the same promises. */
const engines: [name: string, open: Open][] = [['SQLite', openSqlite], ['PostgreSQL', openPostgres]]

function onEach (title: string, test: (t: Test, open: Open) => Promise<void>): void {
  for (const [name, open] of engines) t.test(`${title} (${name})`, (t) => test(t, open))
}

onEach('R6.1 a registration and its event are one: both stored, and the answer names the event', async (t, open) => {
  const { registry, journal, events } = await open(t)
  let woken = 0
  journal.onAppend(() => { woken++ })
  const result = await registry.register({ ...model, tags: { team: 'growth' }, model_uri: 's3://models/churn' }, {
    ...origin, traceparent: '00-11111111111111111111111111111111-2222222222222222-01'
  })
  t.match(result, {
    outcome: 'created',
    model: { model_id: 'churn/1/hok-churn', status: 'registered', below_baseline: false, proposal_identifier: 'hok-churn' },
    event: { state: 'pending', durability: journal.durability }
  })
  t.ok(woken >= 1, 'the relay is woken')
  t.strictSame(await registry.find('churn', '1'), result.model)
  t.match(await events(), [{
    message_id: result.event.message_id,
    payload: {
      model_id: 'churn/1/hok-churn',
      token_symbol: 'hok-churn',
      model_version: '1',
      tags: { team: 'growth', correlation_id: 'request-1', traceparent: /^00-1/ }
    }
  }])
  t.notOk('model_uri' in (await events())[0].payload, 'the payload is closed')
})

onEach('R6.1 when the journal is full neither is stored, and the same request succeeds later', async (t, open) => {
  const { registry, journal, events } = await open(t, { maxRows: 1, maxBytes: 1e6 })
  const first = await registry.register(model, { ...origin, idempotencyKey: 'first' })
  const next = { ...model, version: '2' }
  await t.rejects(registry.register(next, { ...origin, idempotencyKey: 'k' }), { code: 'FST_BRK_JOURNAL_FULL' })
  t.equal(await registry.find('churn', '2'), null)
  t.equal((await events()).length, 1)
  t.match(await registry.register({ ...model, version: '3', current_value: 0.1 }, origin), { outcome: 'created' }, 'what announces nothing needs no room')
  t.strictSame(await registry.register(model, { ...origin, idempotencyKey: 'first' }), { ...first, outcome: 'replayed' }, 'nor does what was answered before')
  await t.rejects(registry.register(model, origin), { code: 'FST_BRK_MODEL_EXISTS' })

  const lease = await journal.acquireLease('relay', 60_000)
  const request = { lease: lease!, leaseUntil: Date.now() + 60_000, maxRows: 10, maxBytes: 1e6 }
  const batch = await journal.advance({ ...request, published: null, after: null })
  const end = { term: batch!.term, seq: batch!.last }
  await journal.advance({ ...request, published: end, after: end })
  t.match(await registry.register(next, { ...origin, idempotencyKey: 'k' }), { outcome: 'created' })
})

onEach('R5.6 requests that store nothing use up no room', async (t, open) => {
  const { registry, events } = await open(t, { maxRows: 3, maxBytes: 1e6 })
  await registry.register(model, { ...origin, idempotencyKey: 'k' })
  for (let count = 0; count < 3; count++) {
    await t.rejects(registry.register({ ...model, token_id: 'other' }, origin), { code: 'FST_BRK_MODEL_EXISTS' })
    t.match(await registry.register(model, { ...origin, idempotencyKey: 'k' }), { outcome: 'replayed' })
    await t.rejects(registry.register({ ...model, version: '9' }, { ...origin, idempotencyKey: 'k' }), { code: 'FST_BRK_IDEMPOTENCY_KEY_REUSED' })
  }
  for (const version of ['2', '3']) await registry.register({ ...model, version }, origin)
  t.equal((await events()).length, 3)
})

onEach('R6.6 below the baseline: stored, flagged, and never announced', async (t, open) => {
  const { registry, events } = await open(t)
  const result = await registry.register({ ...model, current_value: 0.7 }, origin)
  t.match(result, { model: { below_baseline: true, message_id: null }, event: { message_id: null, state: 'skipped', reason: 'below_baseline' } })
  t.match(await registry.find('churn', '1'), { below_baseline: true })
  t.strictSame(await events(), [])
})

onEach('R6.1 the current value defaults to the baseline', async (t, open) => {
  const { registry, events } = await open(t)
  const { current_value: _, ...rest } = model
  await registry.register(rest, origin)
  t.match(await events(), [{ payload: { baseline_value: 0.8, current_value: 0.8, improvement_percentage: 0 } }])
})

onEach('R6.3 a second registration of the same version is refused', async (t, open) => {
  const { registry, events } = await open(t)
  await registry.register(model, origin)
  await t.rejects(registry.register({ ...model, token_id: 'other' }, origin), { code: 'FST_BRK_MODEL_EXISTS', statusCode: 409 })
  t.equal((await events()).length, 1)
})

onEach('R6.1 Idempotency-Key: the same request gets the first answer, another one is refused, and a day later it is forgotten', async (t, open) => {
  const { registry, events, age } = await open(t)
  const keyed = { ...origin, idempotencyKey: 'key-1' }
  const first = await registry.register({ ...model, api_schema: { a: [1, { b: 2, c: 3 }], d: null } }, keyed)
  const reordered = Object.fromEntries(Object.entries({ ...model, api_schema: { d: null, a: [1, { c: 3, b: 2 }] } }).reverse()) as unknown as NewModel
  const again = await registry.register(reordered, keyed)
  t.strictSame(again, { ...first, outcome: 'replayed' })
  await t.rejects(registry.register({ ...model, version: '2' }, keyed), { code: 'FST_BRK_IDEMPOTENCY_KEY_REUSED', statusCode: 422 })
  t.equal((await events()).length, 1)

  await age(24 * 60 * 60 * 1000)
  await t.rejects(registry.register(model, keyed), { code: 'FST_BRK_MODEL_EXISTS' })
  t.match(await registry.register({ ...model, version: '2' }, keyed), { outcome: 'created' }, 'the key is free again')
})

onEach('R6.1 Idempotency-Key: of equal requests at once one is created, and all others get its answer', async (t, open) => {
  const { registry, events } = await open(t)
  for (let round = 0; round < 5; round++) {
    const request = { ...model, version: `round-${round}` }
    const results = await Promise.all(Array.from({ length: 8 }, () => registry.register(request, { ...origin, idempotencyKey: `key-${round}` })))
    const [created, ...more] = results.filter(({ outcome }) => outcome === 'created')
    t.strictSame(more, [])
    t.strictSame(results.map((result) => ({ ...result, outcome: 'created' })), results.map(() => created))
  }
  t.equal((await events()).length, 5)
})

onEach('R6.1 Idempotency-Key: of different requests at once one is created, and the others leave nothing behind', async (t, open) => {
  const { registry, events } = await open(t)
  for (let round = 0; round < 5; round++) {
    const requests = Array.from({ length: 8 }, (_, index) => ({ ...model, model_name: `model-${round}`, version: String(index) }))
    const results = await Promise.allSettled(requests.map((request) => registry.register(request, { ...origin, idempotencyKey: `key-${round}` })))
    const codes = results.map((result) => result.status === 'fulfilled' ? result.value.outcome : result.reason.code).sort()
    t.strictSame(codes, [...Array(7).fill('FST_BRK_IDEMPOTENCY_KEY_REUSED'), 'created'])
    t.equal((await registry.versions(`model-${round}`, { limit: 9 })).items.length, 1)
  }
  t.equal((await events()).length, 5)
})

onEach('R6.3 of registrations of one version at once one is created', async (t, open) => {
  const { registry, events } = await open(t)
  const results = await Promise.allSettled(Array.from({ length: 8 }, (_, index) =>
    registry.register({ ...model, token_id: `token-${index}` }, index % 2 === 0 ? origin : { ...origin, idempotencyKey: `key-${index}` })))
  const codes = results.map((result) => result.status === 'fulfilled' ? result.value.outcome : result.reason.code).sort()
  t.strictSame(codes, [...Array(7).fill('FST_BRK_MODEL_EXISTS'), 'created'])
  t.equal((await events()).length, 1)
})

onEach('R6.2 listings: newest first, filters, pages that neither repeat nor skip', async (t, open) => {
  const { registry } = await open(t)
  for (let version = 1; version <= 5; version++) {
    await registry.register({ ...model, version: String(version), token_id: version % 2 === 0 ? 'even' : 'odd' }, origin)
  }
  await registry.register({ ...model, model_name: 'fraud' }, origin)
  const names = (page: { items: { model_name: string, version: string }[] }) => page.items.map((item) => `${item.model_name}/${item.version}`)

  const first = await registry.list({ limit: 4 })
  t.strictSame(names(first), ['fraud/1', 'churn/5', 'churn/4', 'churn/3'])
  const second = await registry.list({ limit: 4, cursor: first.next_cursor! })
  t.strictSame(names(second), ['churn/2', 'churn/1'])
  t.equal(second.next_cursor, null)

  t.strictSame(names(await registry.list({ limit: 9, token_id: 'even' })), ['churn/4', 'churn/2'])
  t.strictSame(names(await registry.list({ limit: 9, model_name: 'churn', token_id: 'odd' })), ['churn/5', 'churn/3', 'churn/1'])
  const versions = await registry.versions('churn', { limit: 2 })
  t.strictSame(names(versions), ['churn/5', 'churn/4'])
  t.strictSame(names(await registry.versions('churn', { limit: 2, cursor: versions.next_cursor! })), ['churn/3', 'churn/2'])
  t.strictSame(await registry.versions('nobody', { limit: 2 }), { items: [], next_cursor: null })
  t.equal(await registry.find('churn', '99'), null)
  await t.rejects(registry.list({ limit: 1, cursor: 'bm9uc2Vuc2U' }), { code: 'FST_BRK_CURSOR_INVALID', statusCode: 400 })
})

t.test('R6.1 Idempotency-Key: an expired key is free for many requests at once, and others do not pile up (PostgreSQL)', async (t) => {
  const { registry, age, query, schema } = await openPostgres(t)
  for (let index = 0; index < 10; index++) await registry.register({ ...model, version: `old-${index}` }, { ...origin, idempotencyKey: `key-${index}` })
  await age(24 * 60 * 60 * 1000)
  const again = { ...model, version: 'new' }
  const results = await Promise.all(Array.from({ length: 4 }, () => registry.register(again, { ...origin, idempotencyKey: 'key-5' })))
  t.strictSame(results.map(({ outcome }) => outcome).sort(), ['created', 'replayed', 'replayed', 'replayed'])

  const later = await openPostgresStore({ connection: server.url, schema, limits: defaults, logger: silentLogger })
  t.teardown(() => later.close())
  await later.registry.register(again, { ...origin, idempotencyKey: 'key-5' })
  await until(async () => (await query('SELECT key FROM {}.idempotency_keys')).length === 1)
})

t.test('R6.1 text that databases stumble over comes back as it was (both engines)', async (t) => {
  const strange = { ...model, tags: { quote: "'; DROP TABLE models; --", unicode: '日本語 \u{1F600}', escaped: '\\x00 $1 \\u0000' }, api_schema: { big: 1e308, small: -0.1, list: [null, true] } }
  for (const [, open] of engines) {
    const { registry, events } = await open(t)
    await registry.register(strange, origin)
    t.match(await registry.find('churn', '1'), strange)
    const [event] = await events()
    t.strictSame(event.payload.api_schema, strange.api_schema)
    t.match(event.payload.tags, strange.tags)
  }
})

t.test('R5.2 several processes share one store, and open it at the same time', async (t) => {
  const schema = `registry_${++schemas}`
  const stores = await Promise.all(Array.from({ length: 4 }, () => openPostgresStore({ connection: server.url, schema, poolMax: 2, limits: defaults, logger: silentLogger })))
  t.teardown(() => Promise.all(stores.map((store) => store.close())))
  const results = await Promise.all(stores.map(({ registry }) => registry.register(model, { ...origin, idempotencyKey: 'k' })))
  t.strictSame(results.map(({ outcome }) => outcome).sort(), ['created', 'replayed', 'replayed', 'replayed'])
  t.match(await stores[3]!.registry.find('churn', '1'), model)
})

t.test('the store on PostgreSQL: durability as declared, statistics from the last check, a commit for each check, close without fail', async (t) => {
  const own = await startPostgres(t)
  const database = { kind: 'postgres' as const, path: '', connection: { reveal: () => own.url }, poolMax: 2, schema: 'own' }
  const store = await openStore({ database, limits: defaults, logger: silentLogger })
  t.equal(store.durability, 'cluster')
  await store.registry.register(model, origin)
  t.match(store.stats(), { pendingRows: 0 })
  await store.check()
  t.match(store.stats(), { pendingRows: 1 })
  await own.kill()
  await t.rejects(store.check(), { code: 'FST_BRK_STORE_UNAVAILABLE' })
  await t.rejects(store.registry.register({ ...model, version: '2' }, origin), { code: 'FST_BRK_STORE_UNAVAILABLE' })
  await own.restart()
  await store.check()
  t.match(await store.registry.register({ ...model, version: '2' }, origin), { outcome: 'created' }, 'it recovers by itself')
  await store.close()
  await t.rejects(store.check(), { code: 'FST_BRK_STORE_UNAVAILABLE' })
})

t.test('the store on a thread of its own: durability as declared, statistics from the last check, close without fail', async (t) => {
  const store = await openSqliteStore({ path: ':memory:', limits: { maxRows: 10, maxBytes: 1e6 } })
  t.equal(store.durability, 'none')
  await store.registry.register(model, origin)
  t.match(store.stats(), { pendingRows: 0 })
  await store.check()
  t.match(store.stats(), { pendingRows: 1 })
  await store.close()
  await t.rejects(store.check(), { code: 'FST_BRK_STORE_UNAVAILABLE' })
  await t.rejects(openSqliteStore({ path: '/dev/null/store.db', limits: { maxRows: 1, maxBytes: 1 } }), { code: 'FST_BRK_STORE_UNAVAILABLE' })
})
