import fc from 'fast-check'
import type { Test } from 'tap'
import { validModel } from '../helpers/model-api.ts'
import type { Answer, ModelApi, StartModelApi } from '../helpers/model-api.ts'

export const problemType = 'application/problem+json; charset=utf-8'

export const rules = (response: { json (): any }) => response.json().errors.map(({ path, rule }: any) => `${path} ${rule}`).sort()

export async function storedNames (api: ModelApi): Promise<string[]> {
  return (await api.list({ limit: 200 })).json().items.map((model: any) => model.model_name)
}

/** What holds of the registration API whoever calls it: a request straight to the routes, or a generated client over the network. */
export async function modelScenarios (t: Test, start: StartModelApi): Promise<void> {
  /** For requests that are refused: they leave nothing behind, so they need no database of their own. */
  const shared = await start(t)

  t.test('R6.1 a registration answers 201 with the event that announces it, and is readable at its Location', async (t) => {
    const api = await start(t)
    const response = await api.register(validModel)
    t.equal(response.statusCode, 201)
    const body = response.json()
    t.match(body, {
      model_id: 'sales-lead-scorer/3/sales-lead',
      model_name: 'sales-lead-scorer',
      version: '3',
      event: { message_id: /^[0-9a-f-]{36}$/, state: 'pending', durability: 'none' }
    })
    t.strictSame(Object.keys(body).sort(), ['event', 'model_id', 'model_name', 'version'])
    t.equal(response.headers.location, '/models/sales-lead-scorer/versions/3')
    t.equal(response.headers['idempotency-replayed'], undefined)

    const stored = await api.at(response.headers.location)
    t.equal(stored.statusCode, 200)
    t.match(stored.json(), { ...validModel, status: 'registered', below_baseline: false, proposal_identifier: 'sales-lead' })
    t.match(stored.json().created_at, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    t.equal(stored.json().message_id, body.event.message_id)
    const events = await api.events()
    t.equal(events.length, 1)
    t.equal(events[0].message_id, body.event.message_id)
  })

  t.test('R6.1 every optional field survives the round trip', async (t) => {
    const api = await start(t)
    const full = {
      ...validModel,
      model_name: 'org/Modell-Größe 1 🚢',
      version: '1.0.0+build?#%',
      proposal_identifier: 'p-1',
      mlflow_run_id: 'run-1',
      model_uri: 'models:/x/3',
      contributor_address: `0x${'aB'.repeat(20)}`,
      experiment_name: 'exp',
      api_schema: { input: { type: 'object', nested: [1, null, { deep: true }] } },
      tags: { team: 'growth', empty: '' },
      eval_spec: 'e'.repeat(500),
      scorer_ref: 's',
      primary_metric: 'auroc',
      benchmark_spec_id: 'b'
    }
    const response = await api.register(full)
    t.equal(response.statusCode, 201)
    const stored = await api.at(response.headers.location)
    t.equal(stored.statusCode, 200)
    t.match(stored.json(), full)
  })

  t.test('R6.1 the longest names are reachable at their Location', async (t) => {
    const api = await start(t)
    const response = await api.register({ ...validModel, model_name: 'ä'.repeat(255), version: 'v'.repeat(255), token_id: 'x'.repeat(64) })
    t.equal(response.statusCode, 201)
    t.equal((await api.at(response.headers.location)).statusCode, 200)
  })

  t.test('R6.1 an Idempotency-Key makes a request safe to repeat', async (t) => {
    const api = await start(t)
    const headers = { 'idempotency-key': 'order 1' }
    const first = await api.register(validModel, headers)
    const again = await api.register(validModel, headers)
    t.equal(again.statusCode, 201)
    t.equal(again.body, first.body)
    t.equal(again.headers.location, first.headers.location)
    t.equal(again.headers['idempotency-replayed'], 'true')
    t.equal((await api.events()).length, 1, 'one event only')

    const other = await api.register({ ...validModel, version: '4' }, headers)
    t.equal(other.statusCode, 422)
    t.match(other.json(), { code: 'FST_BRK_IDEMPOTENCY_KEY_REUSED', title: 'Unprocessable Entity' })
    t.equal((await api.find('sales-lead-scorer', '4')).statusCode, 404, 'nothing stored')
  })

  t.test('R6.1 concurrent repeats of one request register it once', async (t) => {
    const api = await start(t)
    const answers = await Promise.all(Array.from({ length: 20 }, () => api.register(validModel, { 'idempotency-key': 'k' })))
    t.strictSame(new Set(answers.map(({ statusCode, body }) => `${statusCode} ${body}`)).size, 1)
    t.equal(answers.filter(({ headers }) => headers['idempotency-replayed'] === undefined).length, 1)
    t.equal((await api.events()).length, 1)
  })

  t.test('R6.3 an Idempotency-Key that is empty, too long or unprintable is a 400, together with the body\'s problems', async (t) => {
    const api = shared
    for (const [key, rule] of [['', 'minLength'], ['k'.repeat(256), 'maxLength'], ['k\u00e9', 'pattern']] as const) {
      const response = await api.register({ ...validModel, baseline_value: '1' }, { 'idempotency-key': key })
      t.equal(response.statusCode, 400)
      t.strictSame(response.json().errors.map(({ in: part, path, rule: broken }: any) => `${part} ${path} ${broken}`),
        ['body /baseline_value type', `header /idempotency-key ${rule}`])
    }
    t.equal((await api.register(validModel, { 'idempotency-key': 'k'.repeat(256) })).statusCode, 400, 'with a good body too')
    t.equal((await api.register({ ...validModel, version: 'longest key' }, { 'idempotency-key': 'k'.repeat(255) })).statusCode, 201)
  })

  t.test('R6.3 a duplicate is a 409 and stores nothing', async (t) => {
    const api = await start(t)
    await api.register(validModel)
    const response = await api.register({ ...validModel, token_id: 'other' })
    t.equal(response.statusCode, 409)
    t.equal(response.headers['content-type'], problemType)
    t.match(response.json(), { status: 409, title: 'Conflict', code: 'FST_BRK_MODEL_EXISTS', instance: '/models' })
    t.strictSame(await storedNames(api), ['sales-lead-scorer'])
    t.equal((await api.events()).length, 1)
  })

  t.test('R6.6 a model below its baseline is stored, says so, and emits no event', async (t) => {
    const api = await start(t)
    const response = await api.register({ ...validModel, current_value: 0.7 })
    t.equal(response.statusCode, 201)
    t.strictSame(response.json().event, { message_id: null, state: 'skipped', reason: 'below_baseline', durability: 'none' })
    const stored = (await api.at(response.headers.location)).json()
    t.match(stored, { below_baseline: true, message_id: null })
    t.strictSame(await api.events(), [])
  })

  t.test('R6.1 current_value defaults to the baseline', async (t) => {
    const api = await start(t)
    const { current_value: _, ...request } = validModel
    t.equal((await api.register(request)).json().event.state, 'pending')
    t.equal((await api.events())[0].payload.current_value, 0.71)
  })

  t.test('R6.3 bad input reports every problem with its path and rule, and stores nothing', async (t) => {
    const api = shared
    const before = await storedNames(api)
    const response = await api.register({
      model_name: '   ',
      version: 'a/b',
      token_id: 'Sales Lead',
      baseline_value: '0.5',
      current_value: null,
      contributor_address: '0x123',
      tags: { ok: 'yes', bad: 1 },
      api_schema: [],
      eval_spec: 'x'.repeat(501),
      metricname: 'auroc'
    })
    t.equal(response.statusCode, 400)
    t.equal(response.headers['content-type'], problemType)
    t.strictSame(rules(response), [
      '/api_schema type', '/baseline_value type', '/contributor_address pattern', '/current_value type', '/eval_spec maxLength',
      '/metric_name required', '/metricname additionalProperties', '/model_name minLength', '/tags/bad type', '/token_id pattern',
      '/version pattern'
    ])
    const body = response.json()
    t.match(body, {
      type: 'urn:breakwater:problem:request-invalid',
      title: 'Bad Request',
      status: 400,
      instance: '/models',
      code: 'FST_BRK_REQUEST_INVALID'
    })
    const message = (path: string) => body.errors.find((error: any) => error.path === path).message
    t.equal(message('/metricname'), 'metricname is not a known field; did you mean metric_name?')
    t.equal(message('/baseline_value'), 'baseline_value must be a finite number, not a string')
    t.equal(message('/model_name'), 'model_name must not be empty')
    t.match(message('/token_id'), /lower case letters, digits and hyphens/)
    t.match(body.detail, /and 8 more/)
    t.strictSame(await storedNames(api), before)
  })

  t.test('R6.3 one wrong field at a time', async (t) => {
    const api = shared
    const deep = (levels: number): unknown => levels === 0 ? 1 : { a: deep(levels - 1) }
    const table: [Record<string, unknown>, string][] = [
      [{ model_name: 7 }, '/model_name type'],
      [{ model_name: 'x'.repeat(256) }, '/model_name maxLength'],
      [{ model_name: 'a\nb' }, '/model_name pattern'],
      [{ model_name: '..' }, '/model_name pattern'],
      [{ model_name: '\ud800' }, '/model_name unicode'],
      [{ version: ' . ' }, '/version pattern'],
      [{ version: '' }, '/version minLength'],
      [{ token_id: 'x'.repeat(65) }, '/token_id maxLength'],
      [{ token_id: 'a_b' }, '/token_id pattern'],
      [{ baseline_value: true }, '/baseline_value type'],
      [{ baseline_value: null }, '/baseline_value type'],
      [{ current_value: '1' }, '/current_value type'],
      [{ contributor_address: `0x${'g'.repeat(40)}` }, '/contributor_address pattern'],
      [{ model_uri: 'a b' }, '/model_uri pattern'],
      [{ tags: 'x' }, '/tags type'],
      [{ tags: { '': 'x' } }, '/tags propertyNames'],
      [{ tags: { ['k'.repeat(129)]: 'x' } }, '/tags propertyNames'],
      [{ tags: { 'a\nb': 'x' } }, '/tags propertyNames'],
      [{ tags: { a: 'x'.repeat(1025) } }, '/tags/a maxLength'],
      [{ tags: { a: '\udc00' } }, '/tags unicode'],
      [{ tags: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${index}`, 'v'])) }, '/tags maxProperties'],
      [{ api_schema: 'x' }, '/api_schema type'],
      [{ api_schema: deep(33) }, '/api_schema depth'],
      [{ api_schema: { 'a\u0000': 1 } }, '/api_schema unicode'],
      [{ benchmark_spec_id: '' }, '/benchmark_spec_id minLength'],
      [{ status: 'registered' }, '/status additionalProperties'],
      [{ 'a/b~c': 1 }, '/a~1b~0c additionalProperties']
    ]
    for (const [change, expected] of table) {
      const response = await api.register({ ...validModel, ...change })
      t.equal(response.statusCode, 400, expected)
      t.strictSame(rules(response), [expected])
    }
    t.equal((await api.register({ ...validModel, version: 'deep', api_schema: deep(31) })).statusCode, 201, 'a schema of 32 levels is fine')
  })

  t.test('PROTOCOL strings are trimmed before they are judged and stored', async (t) => {
    const api = shared
    const response = await api.register({ ...validModel, model_name: '  padded ', token_id: ' tok\n' })
    t.equal(response.statusCode, 201)
    t.equal(response.json().model_id, 'padded/3/tok')
  })

  t.test('R6.3 a thousand unknown fields are answered in bounded time and size', async (t) => {
    const api = shared
    const junk = Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`f${index}`, 1]))
    const started = performance.now()
    const response = await api.register(junk)
    t.equal(response.statusCode, 400)
    t.ok(response.json().errors.length <= 101)
    t.ok(performance.now() - started < 1000)
  })

  t.test('R6.3 no body makes the service fail: 201 or 400, and what is accepted is announced', async (t) => {
    let accepted = 0
    const field = (good: fc.Arbitrary<unknown>) => fc.oneof({ weight: 6, arbitrary: good }, fc.string({ unit: 'binary', maxLength: 8 }), fc.jsonValue())
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    const body = fc.record({
      model_name: field(text),
      version: field(text),
      token_id: field(fc.stringMatching(/^[a-z0-9-]{1,20}$/)),
      metric_name: field(text),
      baseline_value: field(fc.double({ noDefaultInfinity: true, noNaN: true })),
      current_value: field(fc.double({ noDefaultInfinity: true, noNaN: true })),
      tags: field(fc.dictionary(text, text)),
      api_schema: field(fc.dictionary(text, fc.jsonValue()))
    }, { requiredKeys: ['model_name', 'version', 'token_id', 'metric_name', 'baseline_value'] })
    // The first sample takes seconds, and a service in this process would rightly feel overloaded.
    fc.sample(body, 1)
    const api = await start(t)
    await fc.assert(fc.asyncProperty(body, async (request) => {
      const response = await api.register(request)
      if (response.statusCode === 201) {
        accepted += response.json().event.state === 'pending' ? 1 : 0
        const stored = await api.at(response.headers.location)
        return stored.statusCode === 200 && stored.json().model_id === response.json().model_id
      }
      return response.headers['content-type'] === problemType && [400, 409].includes(response.statusCode)
    }), { seed: 20261121, numRuns: 400 })
    t.ok(accepted > 10, `${accepted} accepted`)
    t.equal((await api.events()).length, accepted)
  })

  t.test('R5.9 correlation id and trace context reach the event', async (t) => {
    const api = await start(t)
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const response = await api.register(validModel, { 'x-request-id': 'abc-123', traceparent })
    t.match(response.headers, { 'x-request-id': 'abc-123', 'x-correlation-id': 'abc-123', traceparent })
    const bad = await api.register({ ...validModel, version: '4' }, { 'x-request-id': 'bad id\t', traceparent: '00-0-0-01' })
    t.equal(bad.headers['traceparent'], undefined)
    const joined = await api.register({ ...validModel, version: '5' }, { 'x-request-id': 'one', 'x-correlation-id': 'cause-7' })
    t.match(joined.headers, { 'x-request-id': 'one', 'x-correlation-id': 'cause-7' })
    const insane = await api.register({ ...validModel, version: '6' }, { 'x-request-id': 'two', 'x-correlation-id': 'a b' })
    t.match(insane.headers, { 'x-correlation-id': 'two' })

    const [first, second, third, fourth] = (await api.events()).map(({ payload }: any) => payload.tags)
    t.match(first, { correlation_id: 'abc-123', traceparent })
    t.match(second.correlation_id, /^[0-9a-f-]{36}$/)
    t.notOk('traceparent' in second)
    t.equal(third.correlation_id, 'cause-7')
    t.equal(fourth.correlation_id, 'two')
  })

  t.test('R6.2 listing pages through every model, newest first, without gap or repeat', async (t) => {
    const api = await start(t)
    for (let version = 1; version <= 120; version++) await api.register({ ...validModel, version: String(version) })
    const seen: string[] = []
    const sizes: number[] = []
    let cursor: string | null | undefined
    while (cursor !== null) {
      const response = await api.list({ cursor })
      t.equal(response.statusCode, 200)
      const { items, next_cursor: next } = response.json()
      sizes.push(items.length)
      seen.push(...items.map((model: any) => model.version))
      cursor = next
    }
    t.strictSame(sizes, [50, 50, 20])
    t.strictSame(seen, Array.from({ length: 120 }, (_, index) => String(120 - index)))
  })

  t.test('R6.2 filters, versions of one model, and one version', async (t) => {
    const api = await start(t)
    await api.register(validModel)
    await api.register({ ...validModel, version: '4' })
    await api.register({ ...validModel, model_name: 'other', token_id: 'other-token' })
    const names = (answer: Answer) => answer.json().items.map(({ model_name: name, version }: any) => `${name}@${version}`)
    t.strictSame(names(await api.list({ token_id: 'other-token' })), ['other@3'])
    t.strictSame(names(await api.list({ model_name: 'sales-lead-scorer' })), ['sales-lead-scorer@4', 'sales-lead-scorer@3'])
    t.strictSame(names(await api.list({ model_name: 'nobody' })), [])
    t.strictSame(names(await api.versions('sales-lead-scorer')), ['sales-lead-scorer@4', 'sales-lead-scorer@3'])
    const page = (await api.versions('sales-lead-scorer', { limit: 1 })).json()
    t.equal(page.items.length, 1)
    t.strictSame(names(await api.versions('sales-lead-scorer', { limit: 1, cursor: page.next_cursor })), ['sales-lead-scorer@3'])

    const absent: [Answer, string][] = [
      [await api.versions('nobody'), '/models/nobody'], [await api.find('sales-lead-scorer', '9'), '/models/sales-lead-scorer/versions/9']
    ]
    for (const [response, instance] of absent) {
      t.equal(response.statusCode, 404)
      t.match(response.json(), { code: 'FST_BRK_MODEL_NOT_FOUND', instance })
    }
  })

  t.test('R6.3 queries are validated like bodies', async (t) => {
    const api = shared
    const table: [Answer, string][] = [
      [await api.list({ limit: 0 }), '/limit minimum'],
      [await api.list({ limit: 201 }), '/limit maximum'],
      [await api.list({ limit: 'abc' }), '/limit type'],
      [await api.list({ limit: 1.5 }), '/limit type'],
      [await api.list({ limit: '' }), '/limit type'],
      [await api.list({ limit: [1, 2] }), '/limit type'],
      [await api.list({ token_id: 'A' }), '/token_id pattern'],
      [await api.list({ page: 2 }), '/page additionalProperties'],
      [await api.versions('x', { model_name: 'y' }), '/model_name additionalProperties'],
      [await api.list({ cursor: '' }), '/cursor minLength'],
      [await api.versions('\t'), '/name pattern']
    ]
    for (const [response, expected] of table) {
      t.equal(response.statusCode, 400, expected)
      t.strictSame(rules(response), [expected])
    }
    for (const cursor of ['garbage', '////', 'x'.repeat(200)]) {
      const response = await api.list({ cursor })
      t.equal(response.statusCode, 400, cursor)
      t.equal(response.json().code, 'FST_BRK_CURSOR_INVALID')
    }
  })

  t.test('R5.6 a full journal and a lost database are 503 with Retry-After and without internals', async (t) => {
    const api = await start(t, { maxRows: 1 })
    await api.register(validModel)
    const full = await api.register({ ...validModel, version: '4' })
    t.equal(full.statusCode, 503)
    t.match(full.json(), { code: 'FST_BRK_JOURNAL_FULL', status: 503, title: 'Service Unavailable' })
    t.ok(Number(full.headers['retry-after']) >= 1)
    t.notMatch(full.body, /JOURNAL_MAX|bytes|Idempotency-Key/)
    const repeatable = await api.register({ ...validModel, version: '4' }, { 'idempotency-key': 'k' })
    t.match(repeatable.json().detail, /with the same Idempotency-Key\.$/)
    t.strictSame(await storedNames(api), ['sales-lead-scorer'], 'the registration was not stored either')

    await api.loseStore()
    for (const response of [await api.register({ ...validModel, version: '5' }), await api.list()]) {
      t.equal(response.statusCode, 503)
      t.equal(response.headers['content-type'], problemType)
      t.equal(response.json().code, 'FST_BRK_STORE_UNAVAILABLE')
      t.ok(Number(response.headers['retry-after']) >= 1)
      t.notMatch(response.body, /closed|DATABASE_URL|stack/)
    }
  })
}
