import { once } from 'node:events'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import type { Test } from 'tap'
import { buildApp } from '../app.ts'
import { loadConfig } from '../services/config/load.ts'
import { startPostgres } from './helpers/postgres-server.ts'
import { until } from './helpers/until.ts'

async function start (t: Test, env: NodeJS.ProcessEnv): Promise<{ app: FastifyInstance, port: number, lines: any[] }> {
  const lines: any[] = []
  const loggerInstance = pino({ level: 'info' }, { write: (line: string) => { lines.push(JSON.parse(line)) } })
  const app = await buildApp({ env: { DATABASE_URL: 'sqlite::memory:', ...env }, loggerInstance })
  t.teardown(() => app.close())
  await app.listen({ host: '127.0.0.1', port: 0 })
  return { app, port: (app.server.address() as AddressInfo).port, lines }
}

/** Sends the beginning at once and the rest a byte at a time, for ever. Returns all that the server said until it hung up. */
async function drip (port: number, beginning: string, rest: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', (bytes) => { answer += bytes })
  socket.on('error', () => {})
  // Not events.once: it rejects when a byte comes after the server has hung up, which is what happens here.
  const closed = new Promise((resolve) => { socket.on('close', resolve) })
  socket.write(beginning)
  const timer = setInterval(() => { if (socket.writable) socket.write(rest) }, 20)
  await closed
  clearInterval(timer)
  return answer
}

/** Bytes of a whole answer on a connection that stays open. */
async function ask (socket: Socket, request: string): Promise<string> {
  socket.write(request)
  const [bytes] = await once(socket, 'data')
  return String(bytes)
}

function problemOf (answer: string): { status: number, headers: string, body: any } {
  const [headers = '', body = ''] = answer.split('\r\n\r\n')
  return { status: Number(headers.split(' ')[1]), headers, body: JSON.parse(body) }
}

t.test('the configuration is read once: what the caller has read is what every part gets', async (t) => {
  const loaded = loadConfig({ DATABASE_URL: 'sqlite::memory:', PORT: '81', REQUEST_TIMEOUT_MS: '1234' })
  const app = await buildApp({ env: { PORT: '82', REQUEST_TIMEOUT_MS: '5678' }, loaded })
  t.teardown(() => app.close())
  t.equal(app.config, loaded.config)
  t.match(app.server, { requestTimeout: 1234, headersTimeout: 1234, keepAliveTimeout: 72_000 })
  await t.rejects(buildApp({ env: { PORT: 'abc', HANDLER_TIMEOUT_MS: '-1' } }), { code: 'FST_BRK_CONFIG_INVALID', message: /PORT.*HANDLER_TIMEOUT_MS/s })
})

t.test('R6.4 a request that does not arrive in time is 408 and costs nobody else anything', async (t) => {
  const { port } = await start(t, { REQUEST_TIMEOUT_MS: '300' })
  const body = 'POST /models HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{'
  const cases = {
    'dripped headers': drip(port, 'GET /models HTTP/1.1\r\nhost: x\r\nx-slow: ', 'a'),
    'a dripped request line': drip(port, 'GET /', 'a'),
    'a dripped body': drip(port, body, ' '),
    'dripped chunks': drip(port, body.replace('content-length: 100000', 'transfer-encoding: chunked').slice(0, -1), '1\r\n \r\n'),
    'no word at all': drip(port, '', '')
  }
  const served = await fetch(`http://127.0.0.1:${port}/models`)
  t.equal(served.status, 200)
  for (const [title, answer] of Object.entries(cases)) {
    const { status, headers, body } = problemOf(await answer)
    t.equal(status, 408, title)
    t.match(headers, /content-type: application\/problem\+json/, title)
    t.match(body, { status: 408, code: 'FST_BRK_REQUEST_TIMEOUT', title: 'Request Timeout' }, title)
    t.match(headers, `x-request-id: ${body.request_id}`, title)
  }
})

t.test('R6.5 what is no HTTP is a problem too', async (t) => {
  const { port } = await start(t, {})
  const garbage = problemOf(await drip(port, 'HELO mail.example.com\r\n\r\n', ''))
  t.match([garbage.status, garbage.body.code], [400, 'FST_BRK_REQUEST_MALFORMED'])
  const large = problemOf(await drip(port, `GET / HTTP/1.1\r\nhost: x\r\nx-large: ${'a'.repeat(40_000)}\r\n\r\n`, ''))
  t.match([large.status, large.body.code], [431, 'FST_BRK_HEADERS_TOO_LARGE'])
})

t.test('R6.4 an idle connection is kept, one whose reader does not read is not', async (t) => {
  const { app, port } = await start(t, { REQUEST_TIMEOUT_MS: '100', HANDLER_TIMEOUT_MS: '100' })
  const request = 'GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n'
  const idle = connect(port, '127.0.0.1')
  t.match(await ask(idle, request), /200 OK/)
  await delay(500)
  t.match(await ask(idle, request), /200 OK/, 'after several times the limit between two requests')
  idle.destroy()

  const deaf = connect(port, '127.0.0.1')
  t.teardown(() => deaf.destroy())
  deaf.on('error', () => {})
  deaf.pause()
  for (let count = 0; count < 400; count++) deaf.write('GET /docs/json HTTP/1.1\r\nhost: x\r\n\r\n')
  const { promise: closed, resolve } = Promise.withResolvers<void>()
  app.server.once('connection', (socket: Socket) => { socket.once('close', () => { resolve() }) })
  await closed
  t.pass('it was cut')
})

t.test('R7.5 connections that were opened ahead and never used do not hold up the end', async (t) => {
  const { app, port } = await start(t, { REQUEST_TIMEOUT_MS: '60000' })
  const opened = Array.from({ length: 5 }, () => connect(port, '127.0.0.1'))
  const begun = connect(port, '127.0.0.1')
  begun.write('GET /models HTTP/1.1\r\nhost: x\r\n')
  const used = connect(port, '127.0.0.1')
  const hungUp = Promise.all([...opened, begun, used].map(async (socket) => {
    socket.on('error', () => {})
    await new Promise((resolve) => { socket.once('close', resolve) })
  }))
  t.match(await ask(used, 'GET /models HTTP/1.1\r\nhost: x\r\n\r\n'), /^HTTP\/1.1 200/)
  await until(() => begun.bytesWritten > 0)
  const startedAt = performance.now()
  await app.close()
  await hungUp
  t.ok(performance.now() - startedAt < 10_000, 'not after the minute that a request may take')
})

t.test('R6.4 an answer that does not come in time is 503; what was begun goes on, and the key tells', async (t) => {
  const postgres = await startPostgres(t)
  const { port } = await start(t, { DATABASE_URL: postgres.url, HANDLER_TIMEOUT_MS: '300' })
  const url = `http://127.0.0.1:${port}/models`
  const register = () => fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': 'k' },
    body: JSON.stringify({ model_name: 'churn', version: '1', token_id: 'hok', metric_name: 'auc', baseline_value: 0.8 })
  })
  await until(async () => (await fetch(url)).status === 200)
  postgres.freeze()
  const startedAt = performance.now()
  const refused = await register()
  t.ok(performance.now() - startedAt < 3000, 'before the database gives up')
  t.equal(refused.status, 503)
  t.match(refused.headers.get('content-type'), /problem\+json/)
  t.ok(Number(refused.headers.get('retry-after')) >= 1)
  t.match(await refused.json(), { code: 'FST_ERR_HANDLER_TIMEOUT', title: 'Service Unavailable' })
  t.equal((await fetch(`http://127.0.0.1:${port}/health/live`)).status, 200)
  postgres.thaw()
  await until(async () => (await fetch(`${url}/churn/versions/1`)).status === 200)
  const again = await register()
  t.equal(again.status, 201, 'it was stored after its 503')
  t.equal(again.headers.get('idempotency-replayed'), 'true')
})

t.test('R6.4 live events outlast every limit', async (t) => {
  const { port } = await start(t, { REQUEST_TIMEOUT_MS: '100', HANDLER_TIMEOUT_MS: '100' })
  const events = await fetch(`http://127.0.0.1:${port}/ops/events`)
  const reader = events.body!.getReader()
  t.teardown(() => reader.cancel().catch(() => {}))
  let text = ''
  while (!text.includes('event: sample')) text += Buffer.from((await reader.read()).value!).toString()
  t.pass('a sample comes after two seconds')
})

t.test('R6.4 limits and logs see who connected, or who the proxies say it was, and nobody can choose', async (t) => {
  const ask = async (port: number, forwarded: string) => (await fetch(`http://127.0.0.1:${port}/models`, { headers: { 'x-forwarded-for': forwarded } })).status
  const refusedIps = (lines: any[]) => lines.filter(({ msg }) => msg === 'request refused').map(({ ip }) => ip)
  const limits = { RATE_LIMIT_MAX: '2' }

  const direct = await start(t, limits)
  t.strictSame([await ask(direct.port, '192.0.2.1'), await ask(direct.port, '192.0.2.2'), await ask(direct.port, '192.0.2.3')], [200, 200, 429], 'off: the header is nobody')
  t.strictSame(refusedIps(direct.lines), ['127.0.0.1'])

  for (const trusted of ['1', '127.0.0.1', 'loopback', '10.0.0.0/8,127.0.0.0/8']) {
    const behind = await start(t, { ...limits, TRUST_PROXY: trusted })
    const first = [await ask(behind.port, '1.1.1.1, 192.0.2.1'), await ask(behind.port, '2.2.2.2, 192.0.2.1'), await ask(behind.port, '3.3.3.3,192.0.2.1')]
    t.strictSame(first, [200, 200, 429], `${trusted}: what a caller writes before its address changes nothing`)
    t.equal(await ask(behind.port, '1.1.1.1, 192.0.2.9'), 200, `${trusted}: another caller has its own limit`)
    t.strictSame(refusedIps(behind.lines), ['192.0.2.1'])
  }
})

t.test('R6.4 two proxies, and a caller that comes around them', async (t) => {
  const seen = async (trusted: string, forwarded: string, remoteAddress: string) => {
    const app = await buildApp({ env: { DATABASE_URL: 'sqlite::memory:', TRUST_PROXY: trusted } })
    app.get('/seen', async ({ ip }) => ({ ip }))
    const response = await app.inject({ url: '/seen', remoteAddress, headers: { 'x-forwarded-for': forwarded } })
    await app.close()
    return response.json().ip
  }
  t.equal(await seen('2', '1.1.1.1, 192.0.2.1, 10.0.0.2', '10.0.0.1'), '192.0.2.1')
  t.equal(await seen('10.0.0.0/24', '1.1.1.1, 192.0.2.1, 10.0.0.2', '10.0.0.1'), '192.0.2.1')
  t.equal(await seen('10.0.0.0/24', '1.1.1.1', '192.0.2.7'), '192.0.2.7', 'not from a proxy: its header is not read')
  t.equal(await seen('2', '', '192.0.2.7'), '192.0.2.7')
})
