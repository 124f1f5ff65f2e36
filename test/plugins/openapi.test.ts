import { createRequire } from 'node:module'
import Fastify from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { buildApp } from '../../app.ts'
import openapi from '../../plugins/openapi.ts'

async function build (t: Test) {
  const app = await buildApp({ env: { DATABASE_URL: 'sqlite::memory:' } })
  t.teardown(() => app.close())
  return app
}

t.test('R6.5 the document is OpenAPI 3.1 and describes every route with every answer', async t => {
  const app = await build(t)
  const document = (await app.inject('/docs/json')).json()
  t.equal(document.openapi, '3.1.0')
  t.match(document.components.securitySchemes, { bearer: { type: 'http', scheme: 'bearer' }, apiKey: { in: 'header', name: 'x-api-key' } })
  for (const path of ['/models', '/models/{name}', '/models/{name}/versions/{version}', '/health', '/health/live', '/health/ready', '/health/alb', '/metrics']) {
    t.ok(document.paths[path], path)
  }
  for (const [path, operations] of Object.entries<Record<string, any>>(document.paths)) {
    for (const [method, { summary, tags, responses }] of Object.entries(operations)) {
      t.ok(summary, `${method} ${path} has a summary`)
      t.ok(tags?.length, `${method} ${path} has a tag`)
      for (const [status, { description }] of Object.entries<any>(responses)) t.not(description, 'Default Response', `${method} ${path} ${status}`)
    }
  }
  t.match(document.paths['/models'].post.responses['201'].headers, { location: {}, 'idempotency-replayed': {} })
  t.strictSame(document.paths['/health'].get.security, [], 'public')
})

/** The generator's own parser, which knows the schema of OpenAPI 3.1. */
const SwaggerParser = createRequire(createRequire(import.meta.url).resolve('swagger-typescript-api'))('@apidevtools/swagger-parser')

t.test('R6.5 the document is valid, in JSON and in YAML', async t => {
  const app = await build(t)
  const document = (await app.inject('/docs/json')).json()
  await SwaggerParser.validate(structuredClone(document))
  t.strictSame(parse((await app.inject('/docs/yaml')).body), document)
  const broken = structuredClone(document)
  broken.components.headers.location.required = 'always'
  await t.rejects(SwaggerParser.validate(broken), /required must be boolean/, 'and the validator does look')
})

t.test('R6.5 whatever is shared is said once: schemas, headers, and the problems of each status', async t => {
  const document = (await (await build(t)).inject('/docs/json')).json()
  const text = JSON.stringify(document.paths)
  t.strictSame([...new Set(text.match(/"\$ref":"[^"]+"/g))].filter((reference) => {
    const [, , kind, name] = /#\/(components)\/(\w+)\/([^"]+)/.exec(reference)!
    return document.components[kind!][name!] === undefined
  }), [], 'every reference leads somewhere')
  const { responses } = document.paths['/models'].post
  t.strictSame(Object.keys(responses), ['201', '400', '401', '403', '409', '413', '415', '422', '429', '500', '503'])
  t.match(responses['400'].content['application/problem+json'].examples.FST_BRK_REQUEST_INVALID.value, { status: 400, instance: '/models', errors: [{ in: 'body' }] })
  t.match(responses['503'].content['application/problem+json'].schema.allOf, [{ $ref: '#/components/schemas/Problem' }, { properties: { code: { enum: ['FST_UNDER_PRESSURE', 'FST_ERR_HANDLER_TIMEOUT', 'FST_BRK_JOURNAL_FULL', 'FST_BRK_STORE_UNAVAILABLE'] } } }])
  t.match(document.components.headers, { 'retry-after': { required: true }, 'x-ratelimit-limit': { required: false } })
  t.notMatch(text, 'x-facts')
})

t.test('R6.5 alone, the plugin promises nothing that other plugins would do', async t => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(openapi, { title: 'Sibling' })
  const thing = (id: object) => ({ title: 'Thing', type: 'object', description: 'A thing.', properties: { id } })
  app.get('/bare', async () => 'x')
  app.get('/things', { schema: { response: { 200: thing({ type: 'string' }) } } }, async () => ({}))
  app.put('/things/:id', { schema: { response: { 200: { ...thing({ type: 'integer' }), headers: { 'x-own': { type: 'string', description: 'Of its own.' } } } } } }, async () => ({}))
  const { paths, components } = (await app.inject('/docs/json')).json()
  t.strictSame(Object.keys(paths['/bare'].get.responses), ['200', '500'], 'no keys, no limits, no shedding')
  t.strictSame(Object.keys(paths['/things/{id}'].put.responses), ['200', '400', '413', '414', '415', '500'])
  t.equal(components.schemas.Thing.properties.id.type, 'string')
  const { content, headers } = paths['/things/{id}'].put.responses['200']
  t.equal(content['application/json'].schema.properties.id.type, 'integer', 'another schema of the same title stays where it is')
  t.match(headers, { 'x-own': { description: 'Of its own.' } })
})

t.test('R6.5 the reference can be browsed, and loads nothing from elsewhere', async t => {
  const app = await build(t)
  const page = await app.inject('/docs')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  t.match(page.headers['content-security-policy'], /default-src 'self'/)
  t.notMatch(page.body, /(src|href)="https?:/)
})
