import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { buildApp } from '../../app.ts'
import { deadLetter } from '../../services/queue/dead-letter.ts'
import { ApiContract } from '../helpers/api-contract.ts'
import { answerOf, clientCalls, connectClient, listening, overheard } from '../helpers/client-api.ts'
import { generateClient } from '../helpers/generated-client.ts'
import { validModel } from '../helpers/model-api.ts'
import type { ModelApi, ModelApiOptions } from '../helpers/model-api.ts'
import { startRedis } from '../helpers/redis-server.ts'
import type { Teardown } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { modelScenarios } from './model-scenarios.ts'

const digest = (key: string) => createHash('sha256').update(key).digest('hex')
const keys = { reader: 'reader-key', admin: 'admin-key' }
const API_KEYS = `ci:read:${digest(keys.reader)},ops:admin:${digest(keys.admin)}`
const NO_REDIS = 'redis://127.0.0.1:1'

const redis = await startRedis(t)
let services = 0

interface Service { app: FastifyInstance, url: string, queue: string }

/** A service of its own: its database, its queue, its port. */
async function startService (t: Teardown, env: NodeJS.ProcessEnv = {}): Promise<Service> {
  const queue = `contract:${++services}`
  const app = await buildApp({
    env: { DATABASE_URL: 'sqlite::memory:', REDIS_URL: redis.url, QUEUE_NAME: queue, API_KEYS, RATE_LIMIT_MAX: '1000000', REDIS_BOOT_BUDGET_MS: '0', ...env }
  })
  t.teardown(() => app.close())
  return { app, url: await listening(app), queue }
}

const first = await startService(t)
const document: any = await (await fetch(`${first.url}/docs/json`)).json()
const contract = new ApiContract(document)
const generated = await generateClient(t, `${first.url}/docs/json`)

/** Before anybody looks: the load shedding that follows would hide what the routes themselves answer. */
async function loseStore (app: FastifyInstance): Promise<void> {
  app.health.stop()
  await app.store.close()
}

/** The registration API as somebody sees it who has nothing but the document. */
async function startThroughClient (t: Teardown, { maxRows }: ModelApiOptions = {}): Promise<ModelApi> {
  // With the relay at work a journal would not stay full.
  const { app, url, queue } = await startService(t, maxRows === undefined ? {} : { JOURNAL_MAX_ROWS: String(maxRows), REDIS_URL: NO_REDIS })
  const calls = clientCalls(connectClient(generated, url, keys.admin, contract))
  const announced = async () => {
    let count = 0
    for (let cursor: string | null | undefined; cursor !== null;) {
      const { items, next_cursor: next } = (await calls.list({ limit: 200, cursor })).json()
      count += items.filter(({ message_id: id }: any) => id !== null).length
      cursor = next
    }
    return count
  }
  const events = async () => {
    const expected = await announced()
    await until(async () => await redis.cli('llen', queue) === expected)
    return (await redis.cli('lrange', queue, 0, -1)).reverse().map((element: string) => JSON.parse(element))
  }
  return { ...calls, events, loseStore: () => loseStore(app) }
}

t.test('R6.5 a client that a standard generator makes of the document passes the tests of the registration API', async (t) => {
  await modelScenarios(t, startThroughClient)
})

t.test('R6.5 the generated client compiles, and knows what is required, optional and wrong', async (t) => {
  const program = `
    import { Api } from './api.ts'
    import type { Model, ModelPage, Problem, Registration } from './api.ts'
    export const api = new Api<string>({ baseUrl: 'http://127.0.0.1', securityWorker: (key) => ({ headers: { authorization: 'Bearer ' + key } }) })
    export async function use (): Promise<[Registration, Model, ModelPage, string | null]> {
      const request = { model_name: 'm', version: '1', token_id: 't', metric_name: 'auc', baseline_value: 1 }
      const registered = await api.models.registerModel(request, { headers: { 'idempotency-key': 'k' } })
      const state: 'pending' | 'skipped' = registered.data.event.state
      const page = await api.models.listModels({ limit: 1, token_id: 't' })
      await api.models.listModels()
      const one = await api.models.getModel('m', '1')
      const codes: Problem['code'][] = one.error.errors?.map(({ rule }) => rule) ?? []
      const letters = await api.queue.purgeDeadLetters({ all: true, confirm: codes[0] ?? state })
      const outcome: 'replayed' | 'purged' | 'not_found' | 'not_replayable' | 'failed' | undefined = letters.data.results[0]?.outcome
      if (one.error.code === 'FST_BRK_MODEL_NOT_FOUND') throw new Error(outcome)
      // @ts-expect-error a required field is missing
      await api.models.registerModel({ model_name: 'm' })
      // @ts-expect-error a number is no string
      await api.models.registerModel({ ...request, version: 1 })
      // @ts-expect-error no such side
      await api.queue.listDeadLetters({ side: 'neither' })
      return [registered.data, one.data, page.data, page.data.next_cursor]
    }`
  t.equal(await generated.compile(program), '')
  const [, example] = /```ts\n(import \{ Api \}.*?)```/s.exec(await readFile(new URL('../../docs/api.md', import.meta.url), 'utf8'))!
  t.equal(await generated.compile(`declare const process: { env: Record<string, string | undefined> }\n${example}`), '', 'the example of docs/api.md')
  t.match(await generated.compile(program.replace('listModels({ limit: 1,', 'listModels({ limit: true,')), /TS2322/, 'and the compiler does look')
})

/** Dead letters as a consumer leaves them. */
async function bury ({ app, queue }: Service, ...models: string[]): Promise<void> {
  await until(() => app.publisher.stats()?.leader === true && app.redisGuard?.isHealthy())
  for (const model of models) {
    const body = JSON.stringify({ message_id: model, message_type: 'model_ready_to_deploy', payload: { model_name: model }, timestamp: '2026-11-21T10:18:32.840000', retry_count: 0, max_retries: 3 })
    await redis.cli('lpush', `${queue}:dlq`, deadLetter(Buffer.from(body), 'Error: refused', queue).toString())
  }
}

t.test('R6.5 the generated client administers the queue and reads health and metrics', async (t) => {
  const service = await startService(t)
  const client = connectClient(generated, service.url, keys.admin, contract)
  await bury(service, 'a', 'b', 'c')
  t.match((await client.queue.getQueue()).data, { queue: service.queue, waiting: 0, dead_letters: { consume: 3 }, relay: { leader: true } })
  const page = (await client.queue.listDeadLetters({ side: 'consume', limit: 2 })).data
  t.match(page, { items: [{ message_id: 'c' }, { message_id: 'b' }], next_cursor: String })
  const rest = (await client.queue.listDeadLetters({ cursor: page.next_cursor })).data
  t.match(rest, { items: [{ message_id: 'a' }], next_cursor: null })
  const [{ id }] = rest.items
  t.match((await client.queue.getDeadLetter(id)).data, { id, original: /"message_id":"a"/ })
  t.match((await client.queue.replayDeadLetter(id)).data, { id, outcome: 'replayed' })
  t.match(await answerOf(client.queue.replayDeadLetter(id)).then(({ json }) => json()), { status: 404, code: 'FST_BRK_DEAD_LETTER_NOT_FOUND' })
  t.match((await client.queue.purgeDeadLetter(page.items[0].id)).data, { outcome: 'purged' })
  t.match((await client.queue.replayDeadLetters({ ids: [page.items[1].id] })).data.results, [{ outcome: 'replayed' }])
  t.match((await client.queue.purgeDeadLetters({ all: true, confirm: service.queue })).data, { results: [], remaining: false })
  t.equal(await redis.cli('llen', service.queue), 2)

  const reader = connectClient(generated, service.url, keys.reader, contract)
  t.match(await answerOf(reader.queue.replayDeadLetter(id)).then(({ json }) => json()), { status: 403, code: 'FST_BRK_SCOPE_INSUFFICIENT' })
  const nobody = connectClient(generated, service.url, null, contract)
  t.match((await nobody.health.getHealth()).data, { status: String, checks: { redis: 'ok' } })
  for (const name of ['getLiveness', 'getReadiness', 'getInService']) t.equal((await nobody.health[name]()).status, 200, name)
  await until(async () => (await reader.health.getHealthDetails()).data.checks.queue.status === 'ok')
  t.match((await nobody.health.getHealth({ headers: { accept: 'application/health+json' } })).data, { checks: { redis: [{ status: 'pass' }] } })
  t.match(await (await reader.metrics.getMetrics()).text(), /^breakwater_redis_up\{client="default"\} 1$/m)
  t.match((await reader.ops.getOperationsState()).data, { configuration: {} })
})

t.test('R6.5 every example of a request is accepted', async (t) => {
  const { url } = await startService(t, { QUEUE_NAME: 'hokusai:model_ready_queue' })
  let count = 0
  for (const [path, operations] of Object.entries<any>(document.paths)) {
    for (const [method, { requestBody }] of Object.entries<any>(operations)) {
      if (requestBody === undefined) continue
      const { example, examples = {} } = requestBody.content['application/json']
      const values = [...example === undefined ? [] : [example], ...Object.values<any>(examples).map(({ value }) => value)]
      t.ok(values.length > 0, `${method} ${path} has an example`)
      for (const value of values) {
        const headers = { 'content-type': 'application/json', 'x-api-key': keys.admin }
        const response = await overheard(contract)(url + path, { method: method.toUpperCase(), headers, body: JSON.stringify(value) })
        t.ok(response.ok, `${method} ${path} ${JSON.stringify(value).slice(0, 60)}: ${response.status}`)
        count++
      }
    }
  }
  t.ok(count >= 8)
})

interface Probe { url?: (path: string) => string, key?: string | null, type?: string, body?: string }

const parameters: Record<string, string> = { name: 'sales-lead-scorer', version: '3', id: `c-${'0'.repeat(32)}` }
const fill = (path: string) => path.replaceAll(/\{(\w+)\}/g, (_, name: string) => parameters[name]!)
const withParameter = (value: string) => (path: string) => path.replace(/\{\w+\}/, value).replaceAll(/\{\w+\}/g, 'x')

/** Asks every operation for which the document promises this (`401`, or `400 FST_ERR_BAD_URL`). */
async function provoke (service: Service, promise: string, { url = fill, key = keys.admin, type, body }: Probe = {}): Promise<void> {
  const [status, code] = promise.split(' ')
  for (const entry of contract.promised()) {
    const [method, path, promisedStatus, promisedCode] = entry.split(' ') as [string, string, string, string?]
    if (promisedStatus !== status || (code !== undefined && code !== promisedCode)) continue
    const headers = { ...key === null ? {} : { 'x-api-key': key }, ...type === undefined ? {} : { 'content-type': type } }
    const response = await overheard(contract)(service.url + url(path), { method, headers, ...body === undefined || method === 'GET' ? {} : { body } })
    await response.body?.cancel()
  }
}

/** One request, by everything that it is. */
async function ask (service: Service, method: string, path: string, body?: object): Promise<void> {
  const headers = { 'x-api-key': keys.admin, ...body === undefined ? {} : { 'content-type': 'application/json' } }
  const response = await overheard(contract)(service.url + path, { method, headers, ...body === undefined ? {} : { body: JSON.stringify(body) } })
  await response.body?.cancel()
}

t.test('R6.5 callers in the wrong get what the document says', async (t) => {
  const service = await startService(t)
  await provoke(service, '401', { key: null })
  await provoke(service, '403', { key: keys.reader })
  await provoke(service, '415', { type: 'application/xml', body: '<a/>' })
  await provoke(service, '413', { type: 'application/json', body: JSON.stringify('x'.repeat(1.1 * 1024 * 1024)) })
  await provoke(service, '400 FST_ERR_CTP_INVALID_JSON_BODY', { type: 'application/json', body: '{' })
  await provoke(service, '400 FST_ERR_CTP_EMPTY_JSON_BODY', { type: 'application/json', body: '' })
  await provoke(service, '400 FST_ERR_BAD_URL', { url: withParameter('%E0%A4%A') })
  await provoke(service, '414', { url: withParameter('x'.repeat(256)) })
  await provoke(service, '400 FST_BRK_REQUEST_INVALID', { url: (path) => withParameter('%09')(path) + '?limit=0', type: 'application/json', body: '{}' })
  await provoke(service, '400 FST_BRK_CURSOR_INVALID', { url: (path) => `${fill(path)}?cursor=x` })
  await provoke(service, '400 FST_BRK_DEAD_LETTER_CURSOR', { url: (path) => `${path}?cursor=x`.replace(/(\/replay|\/purge).*/, '$1'), type: 'application/json', body: '{"filter":{"model":"x"},"cursor":"x"}' })
  await provoke(service, '400 FST_BRK_PURGE_UNCONFIRMED', { type: 'application/json', body: '{"all":true}' })
  await provoke(service, '404')
  await redis.cli('lpush', `${service.queue}:dlq`, 'not json')
  const { items: [letter] } = await (await fetch(`${service.url}/queue/dead-letters`, { headers: { 'x-api-key': keys.admin } })).json() as any
  await ask(service, 'POST', `/queue/dead-letters/${letter.id}/replay`)
  const limited = await startService(t, { RATE_LIMIT_MAX: '1' })
  await ask(limited, 'GET', '/models')
  await provoke(limited, '429')
})

t.test('R6.5 a service in trouble answers what the document says', async (t) => {
  const overloaded = await startService(t)
  await ask(overloaded, 'GET', '/ops/events')
  await provoke(overloaded, '200')
  overloaded.app.health.register({ name: 'critical', critical: true, read: () => ({ status: 'failed' }) })
  await until(() => overloaded.app.isUnderPressure())
  await provoke(overloaded, '503')
  for (const path of ['/health', '/health/details']) await overheard(contract)(overloaded.url + path, { headers: { 'x-api-key': keys.admin, accept: 'application/health+json' } })

  const lost = await startService(t)
  await loseStore(lost.app)
  await provoke(lost, '503 FST_BRK_STORE_UNAVAILABLE', { type: 'application/json', body: JSON.stringify(validModel) })

  const alone = await startService(t, { REDIS_URL: NO_REDIS })
  await provoke(alone, '503 FST_BRK_DEAD_LETTERS_UNAVAILABLE', {
    url: (path) => path === '/queue/dead-letters' ? `${path}?side=consume` : fill(path), type: 'application/json', body: '{"filter":{"side":"consume"}}'
  })

  // Closing ends them.
  await Promise.all(Array.from({ length: 20 }, () => fetch(`${alone.url}/ops/events`, { headers: { 'x-api-key': keys.reader } })))
  await provoke(alone, '503 FST_BRK_OPERATIONS_STREAM_REFUSED')

  const slow = await startService(t, { HANDLER_TIMEOUT_MS: '50', REDIS_COMMAND_TIMEOUT_MS: '2000' })
  await until(() => slow.app.redisGuard?.isHealthy())
  redis.freeze()
  await ask(slow, 'GET', '/queue').finally(() => redis.thaw())
})

/** Promised wherever it can happen, and provoked in one place: no request makes a handler fail or hang at will. */
const SOMEWHERE = new Set(['FST_ERR_HANDLER_TIMEOUT'])
/** Nobody knows a request that provokes it; test/plugins/errors.test.ts shows what it looks like. */
const NOWHERE = new Set(['HTTP_500'])

t.test('R6.5 the document says what is sent, no more and no less', async (t) => {
  t.strictSame([...contract.differences], [], 'every status, header, type and body is as described')
  const seen = [...contract.seen]
  const unseen = contract.promised().filter((promise) => {
    const code = promise.split(' ')[3] ?? ''
    return !contract.seen.has(promise) && !NOWHERE.has(code) && !(SOMEWHERE.has(code) && seen.some((place) => place.endsWith(code)))
  })
  t.strictSame(unseen, [], 'what is described does happen')
  t.strictSame(seen.filter((place) => !contract.promised().includes(place)), [], 'and what happens is described')
})
