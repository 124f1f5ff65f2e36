import t from 'tap'
import type { Test } from 'tap'
import { buildApp } from '../../app.ts'

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

t.test('R6.5 the example of the document registers a model', async t => {
  const app = await build(t)
  const document = (await app.inject('/docs/json')).json()
  const { example, examples } = document.paths['/models'].post.requestBody.content['application/json']
  const payloads = example === undefined ? Object.values<{ value: object }>(examples).map(({ value }) => value) : [example]
  t.ok(payloads.length > 0)
  for (const payload of payloads) {
    t.equal((await app.inject({ method: 'POST', url: '/models', payload })).statusCode, 201)
  }
})

t.test('R6.5 the reference can be browsed, and loads nothing from elsewhere', async t => {
  const app = await build(t)
  const page = await app.inject('/docs')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  t.match(page.headers['content-security-policy'], /default-src 'self'/)
  t.notMatch(page.body, /(src|href)="https?:/)
})
