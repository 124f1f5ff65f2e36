import { createHash } from 'node:crypto'
import { connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { get } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { buildApp } from '../../app.ts'
import operationsRoutes from '../../routes/ops/index.ts'
import type { OperationsOptions } from '../../routes/ops/index.ts'
import { readAssets } from '../../routes/ops/assets.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const digest = (key: string) => createHash('sha256').update(key).digest('hex')
const keys = { reader: 'canary-reader-key', admin: 'canary-admin-key' }
const API_KEYS = `ci:read:${digest(keys.reader)},ops:admin:${digest(keys.admin)}`
const reader = { 'x-api-key': keys.reader }

/** The application's own page where it has one, unless the test wants another. */
async function start (t: Test, env: NodeJS.ProcessEnv = {}, options: OperationsOptions = {}): Promise<FastifyInstance> {
  const variables = { DATABASE_URL: 'sqlite::memory:', ...env }
  const app = await buildApp({ env: variables })
  const own = app.hasRoute({ method: 'GET', url: '/ops' })
  // The same routes a second time, under another address, with the options of the test.
  if (!own || Object.keys(options).length > 0) await app.register(operationsRoutes, { env: variables, ...options, ...own ? { prefix: '/test' } : {} })
  t.teardown(() => app.close())
  await app.ready()
  return app
}

const prefixOf = (app: FastifyInstance) => app.hasRoute({ method: 'GET', url: '/test/ops' }) ? '/test' : ''

interface Reader { response: IncomingMessage, events: { event: string, data: any }[], ended: boolean }

/** Follows the events as a page does. */
async function follow (t: Test, app: FastifyInstance, headers: Record<string, string> = {}): Promise<Reader> {
  if (!app.server.listening) await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  return await new Promise((resolve, reject) => {
    const request = get({ port, host: '127.0.0.1', path: `${prefixOf(app)}/ops/events`, headers, agent: false }, (response) => {
      const reader: Reader = { response, events: [], ended: false }
      let rest = ''
      response.setEncoding('utf8').on('data', (text: string) => {
        const blocks = (rest + text).split('\n\n')
        rest = blocks.pop()!
        for (const block of blocks) {
          const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(block) ?? []
          if (event !== undefined) reader.events.push({ event, data: JSON.parse(data!) })
        }
      })
      response.on('close', () => { reader.ended = true }).on('error', () => {})
      resolve(reader)
    })
    request.on('error', reject)
    t.teardown(() => request.destroy())
  })
}

t.test('R10.4 the page and its files need no key and hold no data; what it shows needs one', async t => {
  const app = await start(t, { API_KEYS })
  for (const { url } of readAssets()) t.equal((await app.inject(url)).statusCode, 200, url)
  for (const url of ['/ops/state', '/ops/events']) {
    t.equal((await app.inject(url)).statusCode, 401, url)
    t.equal((await app.inject({ url, headers: { 'x-api-key': 'wrong' } })).statusCode, 401, url)
  }
  t.equal((await app.inject({ url: '/ops/state', headers: reader })).statusCode, 200)
  t.equal((await app.inject({ url: `/ops/state?key=${keys.reader}` })).statusCode, 401, 'an address is no place for a key')
  t.equal((await app.inject({ method: 'HEAD', url: '/ops/events', headers: reader })).statusCode, 405, 'HEAD opens no stream')
})

t.test('R10.4 the page loads nothing from elsewhere and runs nothing inline', async t => {
  const app = await start(t)
  const page = await app.inject('/ops')
  t.match(page.headers['content-type'], /^text\/html/)
  for (const { url } of readAssets()) {
    const { headers, body } = await app.inject(url)
    const policy = String(headers['content-security-policy'])
    t.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/, url)
    t.match(policy, /frame-ancestors 'none'/)
    t.notMatch(policy, /unsafe|https?:|\*/)
    t.equal(headers['x-content-type-options'], 'nosniff', url)
    // A name space is no address, and the library's own comment loads nothing.
    const text = body.replaceAll('http://www.w3.org/2000/svg', '').replace(/^\/\*!.*?\*\//, '')
    t.notMatch(text, /\/\/[\w-]+\.[\w.-]+|https?:/, `${url} names no host`)
  }
  t.notMatch(page.body, /<script(?![^>]*\ssrc="\/ops\/)|<style|\sstyle=|\son\w+=|javascript:/i)
  for (const [, url] of page.body.matchAll(/(?:src|href)="(\/[^"]+)"/g)) t.equal((await app.inject(url!)).statusCode, 200, url!)
  const own = readAssets().filter(({ url }) => url.endsWith('.js') && !url.endsWith('uplot.js'))
  for (const { url, body } of own) t.notMatch(body.toString(), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage/, url)
  for (const { url, body } of own) {
    for (const [, name] of body.toString().matchAll(/from '\.\/([^']+)'/g)) t.equal((await app.inject(`/ops/${name}`)).statusCode, 200, `${url} → ${name}`)
  }
})

t.test('R10.4 files are sent again only when they changed', async t => {
  const app = await start(t)
  for (const { url } of readAssets()) {
    const first = await app.inject(url)
    const etag = String(first.headers.etag)
    t.match(etag, /^"[\w-]+"$/, url)
    const again = await app.inject({ url, headers: { 'if-none-match': `"other", W/${etag}` } })
    t.equal(again.statusCode, 304, url)
    t.equal(again.body, '')
    t.equal((await app.inject({ url, headers: { 'if-none-match': '"other"' } })).statusCode, 200)
  }
  t.equal((await app.inject('/ops/uplot.js')).headers['cache-control'], 'public, max-age=86400')
  t.equal((await app.inject('/ops/page.js')).headers['cache-control'], 'no-cache')
  t.equal((await app.inject('/ops/state')).headers['cache-control'], 'no-store')
})

t.test('R10.4 the state: health, breaker, journal, queue, relay, configuration and history', async t => {
  const redis = await startRedis(t)
  const app = await start(t, { REDIS_URL: redis.url })
  await redis.cli('lpush', 'hokusai:model_ready_queue', 'x')
  await until(() => app.health.snapshot().checks.queue?.status === 'ok' && app.publisher.stats()?.leader === true)
  const { statusCode, headers, body } = await app.inject('/ops/state')
  t.equal(statusCode, 200)
  t.match(headers['content-type'], /^application\/json/)
  const state = JSON.parse(body)
  t.match(state, {
    queue: 'hokusai:model_ready_queue',
    overall: { status: /^(healthy|degraded)$/, since: Number, ready: Boolean },
    checks: { database: { critical: true }, redis: { critical: false }, queue: { status: 'ok' } },
    breaker: { state: 'closed', changes: [] },
    journal: { pressure: 'none' },
    relay: { leader: true, last_error: null },
    interval_ms: 2000,
    window_ms: 1_800_000,
    history: { at: [Number], status: [String], pending_rows: [0], breaker: ['closed'] }
  })
  const variable = (name: string) => state.configuration.variables.find((shown: { name: string }) => shown.name === name)
  t.match(variable('REDIS_URL'), { value: '***', source: 'environment' })
  t.match(variable('PORT'), { value: '3000', source: 'default' })
  t.match(state.configuration.redis, { url: `${redis.url}/0`, sources: { host: 'REDIS_URL' } })
})

t.test('R10.4 without Redis the page still has its state', async t => {
  const app = await start(t)
  t.match((await app.inject('/ops/state')).json(), { breaker: null, relay: null, checks: { redis: { status: 'disabled' } }, history: { breaker: [null], waiting: [null] } })
})

t.test('I6 no secret reaches the page', async t => {
  const canaries = ['canary-token', 'canary-user-password', 'canary-path']
  const redis = await startRedis(t, { args: ['--requirepass', canaries[0]!], client: { password: canaries[0]! } })
  const app = await start(t, {
    API_KEYS,
    REDIS_URL: `redis://:${canaries[0]}@127.0.0.1:${redis.port}`,
    REDIS_AUTH_TOKEN: canaries[1],
    CORS_ORIGINS: `https://admin:${canaries[1]}@console.example`,
    DATABASE_URL: 'sqlite::memory:'
  })
  await until(() => app.redisGuard?.isHealthy())
  const live = await follow(t, app, reader)
  await until(() => live.events.length > 0)
  const texts = [(await app.inject({ url: '/ops/state', headers: reader })).body, JSON.stringify(live.events), ...readAssets().map(({ body }) => body.toString())]
  for (const text of texts) {
    for (const canary of [...canaries, ...Object.values(keys), digest(keys.admin), digest(keys.reader)]) t.notOk(text.includes(canary), canary)
  }
  t.ok(texts[0]!.includes('***'))
})

t.test('R10.4 events: the whole state, then samples; an outage is in them', async t => {
  const redis = await startRedis(t)
  const app = await start(t, { REDIS_URL: redis.url, REDIS_CONNECT_TIMEOUT_MS: '300' }, { intervalMs: 100 })
  const live = await follow(t, app)
  t.match(live.response.headers, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': /no-store/, 'x-content-type-options': 'nosniff', 'x-request-id': String })
  await until(() => live.events.length >= 3)
  t.strictSame(live.events.slice(0, 3).map(({ event }) => event), ['state', 'sample', 'sample'])
  t.match(live.events[0]!.data, { history: { at: [Number] }, configuration: { variables: Array } })
  t.notOk('configuration' in live.events[1]!.data, 'what does not change is sent once')
  await until(() => live.events.at(-1)!.data.overall.status === 'healthy')
  await redis.kill()
  await until(() => live.events.at(-1)!.data.sample?.breaker === 'open')
  const { data } = live.events.at(-1)!
  t.match(data.breaker.changes, [{ from: 'closed', to: 'open', at: Number, reason: String }])
  await until(() => live.events.at(-1)!.data.overall.status === 'degraded')
  const { overall, now } = live.events.at(-1)!.data
  t.ok(now - overall.since < 2000, 'since when')
})

t.test('R10.4 only so many pages are served live; the next one is told so', async t => {
  const app = await start(t, {}, { maxReaders: 3, intervalMs: 100 })
  const readers = [await follow(t, app), await follow(t, app), await follow(t, app)]
  const refused = await app.inject(`${prefixOf(app)}/ops/events`)
  t.equal(refused.statusCode, 503)
  t.match(refused.json(), { code: 'FST_BRK_OPERATIONS_STREAM_REFUSED' })
  t.ok(Number(refused.headers['retry-after']) >= 1)
  t.equal((await app.inject(`${prefixOf(app)}/ops/state`)).statusCode, 200, 'one answer is always to be had')
  readers[0]!.response.destroy()
  await until(async () => (await follow(t, app)).response.statusCode === 200)
})

/** Connects, asks, and never reads a byte. */
async function deafReader (t: Test, app: FastifyInstance): Promise<Socket> {
  const { port } = app.server.address() as AddressInfo
  const socket = connect({ port, host: '127.0.0.1' })
  t.teardown(() => socket.destroy())
  socket.on('error', () => {}).pause()
  socket.write(`GET ${prefixOf(app)}/ops/events HTTP/1.1\r\nHost: x\r\n\r\n`)
  return socket
}

t.test('R10.4 open pages do not hold up the end of the service, not even those that do not listen', async t => {
  const app = await start(t, {}, { intervalMs: 50 })
  const live = await follow(t, app)
  for (let count = 0; count < 3; count++) await deafReader(t, app)
  await until(() => live.events.length > 2)
  const startedAt = performance.now()
  await app.close()
  const elapsedMs = performance.now() - startedAt
  t.ok(elapsedMs < 2000, `${Math.round(elapsedMs)} ms`)
  await until(() => live.ended)
  t.ok(live.response.complete, 'the stream was ended, not torn')
})

t.test('R10.4 draining ends the streams, and no new ones begin', async t => {
  const app = await start(t, {}, { intervalMs: 50 })
  const live = await follow(t, app)
  await until(() => live.events.length > 2)
  app.health.drain()
  await until(() => live.ended)
  t.match(live.events.at(-1)!.data.overall, { ready: false, reason: 'draining' }, 'the last word says why')
  t.equal((await app.inject(`${prefixOf(app)}/ops/events`)).statusCode, 503)
})

t.test('R10.4 an option that does not exist is named', async t => {
  const app = await buildApp({ env: { DATABASE_URL: 'sqlite::memory:' } })
  t.teardown(() => app.close())
  await t.rejects(async () => await app.register(operationsRoutes, { prefix: '/other', interval: 5 } as object), { code: 'FST_BRK_OPTION_INVALID' })
})
