import { readFile } from 'node:fs/promises'
import t from 'tap'
import { startModelApi, validModel } from '../helpers/model-api.ts'
import { modelScenarios, problemType, rules, storedNames } from './model-scenarios.ts'
import { RegistrationRequest } from '../../routes/models/schemas.ts'
import * as httpErrors from '../../services/http/errors.ts'
import * as registryErrors from '../../services/registry/errors.ts'

await modelScenarios(t, startModelApi)

/** What only bytes can say, and no client would send. */
const api = await startModelApi(t)

function post (payload: string, headers: Record<string, string> = {}) {
  return api.app.inject({ method: 'POST', url: '/models', headers: { 'content-type': 'application/json', ...headers }, payload })
}

t.test('R6.3 numbers are finite: 1e999 is refused wherever it stands, NaN is not JSON', async (t) => {
  const before = await storedNames(api)
  const raw = (value: string) => JSON.stringify({ ...validModel, baseline_value: 0 }).replace('"baseline_value":0', `"baseline_value":${value}`)
  const infinite = await post(raw('1e999'))
  t.equal(infinite.statusCode, 400)
  t.strictSame(rules(infinite), ['/baseline_value type'])
  t.match(infinite.json().errors[0].message, 'must be a finite number, not an infinite one')
  t.strictSame(rules(await post(raw('0,"api_schema":{"maximum":-1e999}'))), ['/api_schema type'])
  t.match((await post(raw('NaN'))).json(), { status: 400, code: 'FST_ERR_CTP_INVALID_JSON_BODY' })
  t.strictSame(await storedNames(api), before)
})

t.test('R6.3 whatever cannot be read at all is a problem too', async (t) => {
  const table: [string, string, number, string][] = [
    ['text/plain', 'hello', 415, 'FST_ERR_CTP_INVALID_MEDIA_TYPE'],
    ['application/xml', '<a/>', 415, 'FST_ERR_CTP_INVALID_MEDIA_TYPE'],
    ['application/json', '{"model_name":', 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
    ['application/json', '', 400, 'FST_ERR_CTP_EMPTY_JSON_BODY'],
    ['application/json', '{"__proto__":{"a":1}}', 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
    ['application/json', '[]', 400, 'FST_BRK_REQUEST_INVALID'],
    ['application/json', 'null', 400, 'FST_BRK_REQUEST_INVALID'],
    ['application/json', '"x"', 400, 'FST_BRK_REQUEST_INVALID'],
    ['application/json', JSON.stringify({ ...validModel, api_schema: { x: 'x'.repeat(256 * 1024) } }), 413, 'FST_ERR_CTP_BODY_TOO_LARGE'],
    ['application/json', `{"api_schema":${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}}`, 400, 'FST_BRK_REQUEST_INVALID'],
    ['application/json', `{"api_schema":{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`, 400, 'FST_BRK_REQUEST_INVALID']
  ]
  for (const [type, payload, status, code] of table) {
    const response = await post(payload, { 'content-type': type })
    t.equal(response.statusCode, status, `${type} ${payload.slice(0, 30)}`)
    t.equal(response.headers['content-type'], problemType)
    t.equal(response.json().code, code)
  }
  const none = await api.app.inject({ method: 'POST', url: '/models' })
  t.equal(none.statusCode, 400)
  t.strictSame(none.json().errors, [{ in: 'body', path: '', rule: 'type', message: 'the body must be an object, not null' }])
})

t.test('R6.2 a trailing slash does no harm', async (t) => {
  t.equal((await api.app.inject('/models/')).statusCode, 200)
})

t.test('R11.4 docs/api.md knows every field and every error', async (t) => {
  const docs = await readFile(new URL('../../docs/api.md', import.meta.url), 'utf8')
  for (const field of Object.keys(RegistrationRequest.properties)) t.match(docs, `\`${field}\``)
  for (const CodedError of Object.values({ ...httpErrors, ...registryErrors })) {
    const { code, statusCode } = new (CodedError as new () => { code: string, statusCode: number })()
    t.ok(docs.split('\n').some(line => line.startsWith(`| ${statusCode} |`) && line.includes(`\`${code}\``)), code)
  }
})
