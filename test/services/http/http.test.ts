import { Type } from '@sinclair/typebox'
import t from 'tap'
import { retryAfterSeconds } from '../../../services/http/problem.ts'
import { requestId, validTraceparent } from '../../../services/http/request-context.ts'
import { requestValidator } from '../../../services/http/validation.ts'

t.test('R5.9 only a valid traceparent is passed on', async (t) => {
  const trace = '4bf92f3577b34da6a3ce929d0e0e4736'
  const parent = '00f067aa0ba902b7'
  const valid = [`00-${trace}-${parent}-01`, `00-${trace}-${parent}-00`, `01-${trace}-${parent}-01`, `cc-${trace}-${parent}-01-more-to-come`]
  for (const header of valid) t.equal(validTraceparent(header), header)
  const invalid = [
    undefined, '', 'x', [`00-${trace}-${parent}-01`], `ff-${trace}-${parent}-01`, `00-${'0'.repeat(32)}-${parent}-01`,
    `00-${trace}-${'0'.repeat(16)}-01`, `00-${trace}-${parent}-01-more`, `00-${trace.toUpperCase()}-${parent}-01`,
    `00-${trace}-${parent}`, ` 00-${trace}-${parent}-01`, `cc-${trace}-${parent}-01.`
  ]
  for (const header of invalid) t.equal(validTraceparent(header), undefined, String(header))
})

t.test('R5.9 a repeated x-request-id is replaced', async (t) => {
  t.match(requestId(['a', 'b']), /^[0-9a-f-]{36}$/)
  t.match(requestId(undefined), /^[0-9a-f-]{36}$/)
})

t.test('R6.3 Retry-After is whole seconds and at least one', async (t) => {
  const table: [unknown, number | null][] = [[0, 1], [-5, 1], [1000, 1], [1001, 2], [Infinity, null], [NaN, null], ['5', null], [undefined, null]]
  for (const [delayMs, seconds] of table) t.equal(retryAfterSeconds(delayMs), seconds, String(delayMs))
})

t.test('R6.3 a near miss is suggested, a far one is not', async (t) => {
  const schema = Type.Object({ model_name: Type.Optional(Type.String()), tags: Type.Optional(Type.String()) }, { additionalProperties: false })
  const table: [string, RegExp][] = [
    ['modelname', /did you mean model_name\?$/], ['Model_Name', /did you mean model_name\?$/], ['tasg', /did you mean tags\?$/],
    ['page', /is not a known field$/], ['x', /is not a known field$/]
  ]
  for (const [name, message] of table) {
    const result = requestValidator({ schema })({ [name]: 1 })
    t.match('error' in result && result.error.problems[0]!.message, message)
  }
})

t.test('R6.3 validation explains each rule, in every part of a request', async (t) => {
  const schema = Type.Object({
    count: Type.Optional(Type.Integer({ minimum: 1, default: 5 })),
    plain: Type.Optional(Type.String({ pattern: '^a$' })),
    list: Type.Optional(Type.Array(Type.String(), { minItems: 1, maxItems: 2 })),
    some: Type.Optional(Type.Object({}, { minProperties: 2 })),
    yes: Type.Optional(Type.Literal(true)),
    flag: Type.Optional(Type.Boolean())
  }, { additionalProperties: false })
  const messages = (httpPart: string | undefined, value: unknown) => {
    const result = requestValidator({ schema, httpPart })(value)
    return 'error' in result ? result.error.problems.map(({ in: part, message }) => `${part}: ${message}`) : result.value
  }
  t.strictSame(messages('querystring', {}), { count: 5 }, 'defaults are filled in')
  t.strictSame(messages('querystring', { count: '12' }), { count: 12 })
  t.strictSame(messages('querystring', { count: '-1' }), ['query: count must be at least 1'])
  t.strictSame(messages('body', { count: '12' }), ['body: count must be an integer, not a string'], 'a body is never coerced')
  t.strictSame(messages('body', { count: 1.5 }), ['body: count must be an integer, not a number'])
  t.strictSame(messages('params', { plain: 'b' }), ['path: plain must match ^a$'])
  t.strictSame(messages('headers', { plain: ['a'] }), ['header: plain must be a string, not an array'])
  t.strictSame(messages('unheard of', { list: {}, flag: null }), ['body: list must be an array, not an object', 'body: flag must be a boolean, not null'])
  t.strictSame(messages('body', { list: [], some: {}, yes: false }), ['body: list must have at least 1 entry', 'body: some must have at least 2 entries', 'body: yes must be true'])
  t.strictSame(messages('body', { list: ['a', 'b', 'c'] }), ['body: list must have at most 2 entries'])
  t.strictSame(messages(undefined, [1]), ['body: the body must be an object, not an array'])
  t.strictSame(messages(undefined, undefined), ['body: the body must be an object, not absent'])
  t.strictSame(messages('body', { plain: ' a ' }), { plain: 'a' })
  t.strictSame(messages('params', { plain: ' a ' }), ['path: plain must match ^a$'])
  t.strictSame(messages('body', { ['x'.repeat(500)]: 1 }), [`body: ${'x'.repeat(127)} is not a known field`])
})
