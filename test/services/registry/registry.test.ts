import t from 'tap'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import type { NewModel } from '../../../services/registry/registry.ts'
import { storeModule } from '../../../services/registry/sqlite-operations.ts'
import { SqliteRegistry } from '../../../services/registry/sqlite-registry.ts'
import { openSqliteStore } from '../../../services/registry/store.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import type { Teardown } from '../../helpers/redis-server.ts'

const model: NewModel = {
  model_name: 'churn', version: '1', token_id: 'hok-churn', metric_name: 'auc', baseline_value: 0.8, current_value: 0.9
}
const origin = { correlationId: 'request-1' }

function open (t: Teardown, limits = { maxRows: 1000, maxBytes: 1e6 }) {
  const clock = { now: Date.now() }
  const engine = new InlineEngine({ limits, now: () => clock.now, modules: [storeModule] })
  t.teardown(() => engine.close())
  const journal = new SqliteJournal(engine, 'node')
  const registry = new SqliteRegistry(engine, journal)
  const events = async (): Promise<any[]> => {
    const lease = await journal.acquireLease('test', 1)
    clock.now += 1
    const batch = await journal.advance({ lease: lease!, leaseUntil: 0, published: null, after: null, maxRows: 100, maxBytes: 1e6 })
    return (batch?.bodies ?? []).map((body) => JSON.parse(body))
  }
  return { registry, journal, clock, events }
}

t.test('R6.1 a registration and its event are one: both stored, and the answer names the event', async (t) => {
  const { registry, journal, events } = open(t)
  let woken = 0
  journal.onAppend(() => { woken++ })
  const result = await registry.register({ ...model, tags: { team: 'growth' }, model_uri: 's3://models/churn' }, {
    ...origin, traceparent: '00-11111111111111111111111111111111-2222222222222222-01'
  })
  t.match(result, {
    outcome: 'created',
    model: { model_id: 'churn/1/hok-churn', status: 'registered', below_baseline: false, proposal_identifier: 'hok-churn' },
    event: { state: 'pending', durability: 'node' }
  })
  t.equal(woken, 1, 'the relay is woken')
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

t.test('R6.1 when the journal is full neither is stored, and the same request succeeds later', async (t) => {
  const { registry, events, journal } = open(t, { maxRows: 1, maxBytes: 1e6 })
  await registry.register(model, origin)
  const next = { ...model, version: '2' }
  await t.rejects(registry.register(next, { ...origin, idempotencyKey: 'k' }), { code: 'FST_BRK_JOURNAL_FULL' })
  t.equal(await registry.find('churn', '2'), null)
  const [event] = await events()
  const [term] = await journal.terms((await journal.acquireLease('relay', 5000))!)
  t.ok(event)
  t.type(term, 'string')
})

t.test('R6.6 below the baseline: stored, flagged, and never announced', async (t) => {
  const { registry, events } = open(t)
  const result = await registry.register({ ...model, current_value: 0.7 }, origin)
  t.match(result, { model: { below_baseline: true, message_id: null }, event: { message_id: null, state: 'skipped', reason: 'below_baseline' } })
  t.match(await registry.find('churn', '1'), { below_baseline: true })
  t.strictSame(await events(), [])
})

t.test('R6.1 the current value defaults to the baseline', async (t) => {
  const { registry, events } = open(t)
  const { current_value: _, ...rest } = model
  await registry.register(rest, origin)
  t.match(await events(), [{ payload: { baseline_value: 0.8, current_value: 0.8, improvement_percentage: 0 } }])
})

t.test('R6.3 a second registration of the same version is refused', async (t) => {
  const { registry, events } = open(t)
  await registry.register(model, origin)
  await t.rejects(registry.register({ ...model, token_id: 'other' }, origin), { code: 'FST_BRK_MODEL_EXISTS', statusCode: 409 })
  t.equal((await events()).length, 1)
})

t.test('R6.1 Idempotency-Key: the same request gets the first answer, another one is refused, and a day later it is forgotten', async (t) => {
  const { registry, events, clock } = open(t)
  const keyed = { ...origin, idempotencyKey: 'key-1' }
  const first = await registry.register({ ...model, api_schema: { a: [1, { b: 2, c: 3 }], d: null } }, keyed)
  const reordered = Object.fromEntries(Object.entries({ ...model, api_schema: { d: null, a: [1, { c: 3, b: 2 }] } }).reverse()) as unknown as NewModel
  const again = await registry.register(reordered, keyed)
  t.strictSame(again, { ...first, outcome: 'replayed' })
  await t.rejects(registry.register({ ...model, version: '2' }, keyed), { code: 'FST_BRK_IDEMPOTENCY_KEY_REUSED', statusCode: 422 })
  t.equal((await events()).length, 1)

  clock.now += 24 * 60 * 60 * 1000
  await t.rejects(registry.register(model, keyed), { code: 'FST_BRK_MODEL_EXISTS' })
  t.match(await registry.register({ ...model, version: '2' }, keyed), { outcome: 'created' }, 'the key is free again')
})

t.test('R6.2 listings: newest first, filters, pages that neither repeat nor skip', async (t) => {
  const { registry } = open(t)
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
