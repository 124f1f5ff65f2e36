import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import Fastify from 'fastify'
import t from 'tap'
import errors, { problemServerOptions } from '../../plugins/errors.ts'

const problemType = 'application/problem+json; charset=utf-8'
/** What a test needs of tap's `t`. */
interface Teardown { teardown (fn: () => unknown): void }

const canaries = /canary|secret|internal\.host|6379|node_modules|\bat \//

async function build (t: Teardown) {
  const lines: any[] = []
  const app = Fastify({
    ...problemServerOptions,
    logger: { level: 'debug', stream: { write: (line: string) => { lines.push(JSON.parse(line)) } } }
  })
  await app.register(errors)
  const failing = (url: string, error: unknown) => app.get(url, async () => { throw error })
  failing('/boom', new Error('connect ECONNREFUSED canary-user:secret@internal.host:6379'))
  failing('/coded', Object.assign(new Error('canary'), { statusCode: 503, code: 'FST_BRK_X', retryAfterMs: 1200 }))
  failing('/soon', Object.assign(new Error('canary'), { statusCode: 503, code: 'ECONNREFUSED canary', retryAfterMs: 3 }))
  failing('/gateway', Object.assign(new Error('canary'), { statusCode: 502 }))
  failing('/odd', Object.assign(new Error('canary'), { statusCode: 200 }))
  failing('/text', 'canary')
  failing('/nothing', undefined)
  failing('/strange', Object.assign(new Error('short and stout'), { statusCode: 499 }))
  app.get('/things/:id', async () => 'thing')
  app.delete('/things/:id', async () => 'gone')
  app.get('/files/*', async () => 'file')
  app.post('/things', async () => 'made')
  t.teardown(() => app.close())
  return { app, lines }
}

t.test('R6.3 errors are problem+json and leak nothing of the inside', async (t) => {
  const { app, lines } = await build(t)
  const table: [string, number, string, string, string | undefined][] = [
    ['/boom', 500, 'HTTP_500', 'Internal Server Error', undefined],
    ['/coded', 503, 'FST_BRK_X', 'Service Unavailable', '2'],
    ['/soon', 503, 'HTTP_503', 'Service Unavailable', '1'],
    ['/gateway', 502, 'HTTP_502', 'Bad Gateway', undefined],
    ['/odd', 500, 'HTTP_500', 'Internal Server Error', undefined],
    ['/text', 500, 'HTTP_500', 'Internal Server Error', undefined],
    ['/strange', 499, 'HTTP_499', 'Error', undefined]
  ]
  for (const [url, status, code, title, retryAfter] of table) {
    const response = await app.inject(`${url}?token=canary`)
    t.equal(response.statusCode, status, url)
    t.equal(response.headers['content-type'], problemType)
    t.equal(response.headers['cache-control'], 'no-store')
    t.equal(response.headers['retry-after'], retryAfter)
    const body = response.json()
    t.match(body, { status, code, title, instance: url })
    t.equal(body.request_id, response.headers['x-request-id'])
    t.match(body.type, /^urn:breakwater:problem:[a-z0-9_-]+$/)
    t.notMatch(response.body, canaries)
  }
  const logged = lines.filter(({ msg }) => msg === 'request failed')
  t.strictSame(logged.length, 4, 'what nobody planned is an error in the log')
  t.match(logged[0], { level: 50, err: { message: /ECONNREFUSED/, stack: /boom|Error/ } })
  t.strictSame(lines.filter(({ msg }) => msg === 'request shed').map(({ level }) => level), [20, 20], 'a planned refusal is not')
})

t.test('R6.3 unknown addresses are 404, wrong methods 405 with Allow', async (t) => {
  const { app } = await build(t)
  const table: [string, string, number, string, string | undefined][] = [
    ['GET', '/nowhere?x=1', 404, 'FST_BRK_ROUTE_NOT_FOUND', undefined],
    ['GET', '/things/', 405, 'FST_BRK_METHOD_NOT_ALLOWED', 'POST'],
    ['GET', '/', 404, 'FST_BRK_ROUTE_NOT_FOUND', undefined],
    ['PATCH', '/things//', 404, 'FST_BRK_ROUTE_NOT_FOUND', undefined],
    ['PUT', '/things/7', 405, 'FST_BRK_METHOD_NOT_ALLOWED', 'DELETE, GET, HEAD'],
    ['GET', '/things?x=1', 405, 'FST_BRK_METHOD_NOT_ALLOWED', 'POST'],
    ['OPTIONS', '/things', 405, 'FST_BRK_METHOD_NOT_ALLOWED', 'POST'],
    ['POST', '/files/a', 404, 'FST_BRK_ROUTE_NOT_FOUND', undefined],
    ['GET', '/things/%E0%A4%A?token=canary', 400, 'FST_ERR_BAD_URL', undefined],
    ['GET', `/things/${'x'.repeat(256)}`, 414, 'FST_ERR_MAX_PARAM_LENGTH', undefined]
  ]
  for (const [method, url, status, code, allow] of table) {
    const response = await app.inject({ method: method as 'GET', url })
    t.equal(response.statusCode, status, `${method} ${url.slice(0, 30)}`)
    t.equal(response.headers['content-type'], problemType)
    t.equal(response.headers.allow, allow)
    t.equal(response.json().code, code)
    t.notMatch(response.body, canaries)
    t.notOk(response.json().instance.includes('?'))
    t.ok(response.headers['x-request-id'])
  }
})

t.test('R5.9 a sane x-request-id is kept, any other replaced', async (t) => {
  const { app } = await build(t)
  const ask = async (id: string) => (await app.inject({ url: '/things/1', headers: { 'x-request-id': id } })).headers['x-request-id']
  for (const id of ['a', 'Root=1-67891233-abcdef012345678912345678', 'x'.repeat(128)]) t.equal(await ask(id), id)
  for (const id of ['', 'x'.repeat(129), 'a b', 'a"b', '<script>', 'ü']) {
    t.match(await ask(id), /^[0-9a-f]{8}-[0-9a-f-]{27}$/, id)
  }
  t.not(await ask(''), await ask(''), 'a new one each time')
})

t.test('R6.3 the same over a real socket', async (t) => {
  const { app } = await build(t)
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.end('DELETE /things HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: a\x01b\r\n\r\n')
  t.match(await text(socket), /^HTTP\/1\.1 400/, 'a header that is no header never reaches a handler')
  const response = await fetch(`${url}/boom`, { method: 'HEAD' })
  t.equal(response.status, 500)
  t.equal(response.headers.get('content-type'), problemType)
  t.equal(await response.text(), '')
})
