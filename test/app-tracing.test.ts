import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import type { FastifyInstance, InjectOptions } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { buildApp } from '../app.ts'
import config from '../plugins/config.ts'
import consumer from '../plugins/consumer.ts'
import type { Handler } from '../plugins/consumer.ts'
import redis from '../plugins/redis.ts'
import tasks from '../plugins/tasks.ts'
import type { TaskContext } from '../plugins/tasks.ts'
import tracing from '../plugins/tracing.ts'
import { startCollector } from './helpers/otlp-collector.ts'
import type { CollectedSpan, OtlpCollector } from './helpers/otlp-collector.ts'
import { validModel } from './helpers/model-api.ts'
import { startRedis } from './helpers/redis-server.ts'
import { temporaryDirectory } from './helpers/temporary.ts'
import { until } from './helpers/until.ts'

const QUEUE = 'hokusai:model_ready_queue'
const CALLER = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' }

function traced (collector: OtlpCollector, env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { TRACING: 'otlp', OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, DATABASE_URL: 'sqlite::memory:', ...env }
}

async function start (t: Test, env: NodeJS.ProcessEnv): Promise<FastifyInstance> {
  const app = await buildApp({ env })
  t.teardown(() => app.close())
  await app.ready()
  return app
}

/** A service of somebody else's, with our consumer in it. */
async function startConsumer (t: Test, env: NodeJS.ProcessEnv, handler: Handler): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(config, { env })
  await app.register(tracing)
  await app.register(redis)
  await app.register(consumer, { handler })
  await app.ready()
  return app
}

async function register (app: FastifyInstance, version: string, headers: InjectOptions['headers'] = {}): Promise<void> {
  const { statusCode, body } = await app.inject({ method: 'POST', url: '/models', payload: { ...validModel, version }, headers })
  if (statusCode !== 201) throw new Error(`${statusCode} ${body}`)
}

const idOf = ({ traceId, spanId }: { traceId: string, spanId: string }) => ({ traceId, spanId })
const traceparentOf = ({ traceId, spanId }: CollectedSpan) => `00-${traceId}-${spanId}-01`
/** As many spans of this name as there should be in the end. */
async function collected (collector: OtlpCollector, name: string, count: number): Promise<CollectedSpan[]> {
  await until(() => collector.named(name).length === count)
  return collector.named(name)
}

/** The one span of this name. */
async function only (collector: OtlpCollector, name: string): Promise<CollectedSpan> {
  await until(() => collector.named(name).length > 0)
  const [span, ...others] = collector.named(name)
  if (others.length > 0) throw new Error(`${others.length + 1} spans named ${name}`)
  return span!
}

t.test('R10.2 R5.9 one trace from the request through journal, relay and queue to the consumer, which continues the caller\'s', async (t) => {
  const [collector, server] = await Promise.all([startCollector(t), startRedis(t)])
  const app = await start(t, traced(collector, { REDIS_URL: server.url, OTEL_SERVICE_NAME: 'registry', OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=te%20st' }))
  const seen: { carried: unknown, own: string | undefined }[] = []
  await startConsumer(t, traced(collector, { REDIS_URL: server.url, OTEL_SERVICE_NAME: 'worker' }), ({ payload }, { traceparent }) => {
    seen.push({ carried: (payload.tags as Record<string, string>).traceparent, own: traceparent })
  })
  await register(app, '1', { traceparent: `00-${CALLER.traceId}-${CALLER.spanId}-01`, tracestate: 'vendor=1', 'x-correlation-id': 'c-1' })

  const request = await only(collector, 'POST /models')
  const publish = await only(collector, `publish ${QUEUE}`)
  const relay = await only(collector, `relay ${QUEUE}`)
  const process = await only(collector, `process ${QUEUE}`)

  t.match(request, {
    kind: 'server',
    traceId: CALLER.traceId,
    parentSpanId: CALLER.spanId,
    traceState: 'vendor=1',
    status: 'unset',
    attributes: { 'http.request.method': 'POST', 'http.route': '/models', 'url.path': '/models', 'http.response.status_code': 201, 'breakwater.correlation_id': 'c-1' },
    resource: { 'service.name': 'registry', 'deployment.environment.name': 'te st', 'telemetry.sdk.language': 'nodejs' }
  })
  t.match(publish, {
    kind: 'producer',
    traceId: CALLER.traceId,
    parentSpanId: request.spanId,
    attributes: {
      'messaging.system': 'redis',
      'messaging.destination.name': QUEUE,
      'messaging.operation.type': 'create',
      'messaging.operation.name': 'publish',
      'messaging.message.conversation_id': 'c-1',
      'breakwater.durability': 'none',
      'breakwater.outcome': 'created'
    }
  })
  t.match(relay, { kind: 'client', parentSpanId: '', attributes: { 'messaging.operation.type': 'send', 'messaging.batch.message_count': 1, 'breakwater.relay.accepted': true } })
  t.strictSame(relay.links, [idOf(publish)], 'the relay links to what it carries')
  t.not(relay.traceId, CALLER.traceId)
  t.match(process, {
    kind: 'consumer',
    traceId: CALLER.traceId,
    parentSpanId: publish.spanId,
    attributes: { 'messaging.operation.type': 'process', 'messaging.message.id': publish.attributes['messaging.message.id'], 'breakwater.attempt': 1 },
    resource: { 'service.name': 'worker' }
  })
  t.strictSame(process.links, [idOf(publish)])
  t.strictSame(seen, [{ carried: traceparentOf(publish), own: traceparentOf(process) }], 'the message carries the span in which it was accepted')
  t.equal(Reflect.get(globalThis, Symbol.for('opentelemetry.js.api.1')), undefined, 'I10 nothing is registered process-wide')
})

t.test('R10.2 relayed after an outage and a restart, the messages still lead to the traces of their requests', async (t) => {
  const [collector, server, directory] = await Promise.all([startCollector(t), startRedis(t), temporaryDirectory(t)])
  const env = traced(collector, { REDIS_URL: server.url, DATABASE_URL: `sqlite:${directory}/store.db`, REDIS_CONNECT_TIMEOUT_MS: '200' })
  await server.kill()
  const before = await start(t, env)
  for (const version of ['1', '2', '3']) await register(before, version)
  await before.close()
  t.equal(collector.named(`relay ${QUEUE}`).length, 0)
  const published = collector.named(`publish ${QUEUE}`)
  t.equal(new Set(published.map(({ traceId }) => traceId)).size, 3, 'closing has sent what there was: three traces')

  await server.restart()
  await start(t, env)
  const relay = await only(collector, `relay ${QUEUE}`)
  t.strictSame(relay.links, published.map(idOf), 'one batch, with a link to each trace')

  // A consumer on its own, as `npm run consume` starts it.
  const script = resolve(import.meta.dirname, '../scripts/consume.ts')
  const worker = spawn(process.execPath, [script, '--drain'], { env: { PATH: process.env.PATH, ...env, OTEL_SERVICE_NAME: 'worker' }, stdio: 'ignore' })
  t.teardown(() => worker.kill('SIGKILL'))
  t.strictSame(await once(worker, 'close'), [0, null])
  const processed = await collected(collector, `process ${QUEUE}`, 3)
  t.strictSame(
    processed.map(({ traceId, parentSpanId, links }) => ({ traceId, spanId: parentSpanId, links })),
    published.map((span) => ({ ...idOf(span), links: [idOf(span)] }))
  )
})

t.test('R10.2 sampling: the caller decides where there is one, else the ratio; unrecorded messages carry their context too', async (t) => {
  const [collector, server] = await Promise.all([startCollector(t), startRedis(t)])
  const app = await start(t, traced(collector, { REDIS_URL: server.url, OTEL_TRACES_SAMPLER_ARG: '0' }))
  await register(app, '1')
  await until(async () => await server.cli('llen', QUEUE) === 1)
  await register(app, '2', { traceparent: `00-${CALLER.traceId}-${CALLER.spanId}-00` })
  await until(async () => await server.cli('llen', QUEUE) === 2)
  await register(app, '3', { traceparent: `00-${CALLER.traceId}-${CALLER.spanId}-01` })
  await until(async () => await server.cli('llen', QUEUE) === 3)
  const carried = (await server.cli('lrange', QUEUE, 0, -1) as string[]).map((body) => JSON.parse(body).payload.tags.traceparent).reverse()
  await app.close()
  t.strictSame(collector.spans.map(({ name }) => name).sort(), ['POST /models', `publish ${QUEUE}`, `relay ${QUEUE}`])
  t.match(carried[0], /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/)
  t.match(carried[1], new RegExp(`^00-${CALLER.traceId}-(?!${CALLER.spanId})[0-9a-f]{16}-00$`))
  t.match(carried[2], new RegExp(`^00-${CALLER.traceId}-(?!${CALLER.spanId})[0-9a-f]{16}-01$`))
})

t.test('R10.2 failures: a refusal is no error of the server; health and metrics have no spans; a query is not shown', async (t) => {
  const collector = await startCollector(t)
  const app = await start(t, traced(collector, { JOURNAL_MAX_ROWS: '1' }))
  await register(app, '1')
  for (const url of ['/health', '/health/live?a=1', '/metrics', '/models/absent/versions/1?token=canary', '/absent?token=canary', '/healthy', '/models', `/models/${validModel.model_name}`]) await app.inject(url)
  await app.inject({ method: 'POST', url: '/models', payload: { ...validModel, version: '2' } })
  await app.inject({ method: 'POST', url: '/models', payload: { ...validModel, version: '3' }, headers: { traceparent: 'not-a-trace' } })
  await t.rejects(app.publisher.publish({} as never), { code: 'FST_BRK_MESSAGE_INVALID' })
  await app.close()
  const told = collector.spans.map(({ name, status, attributes }) => `${name} ${attributes['http.response.status_code'] ?? attributes['error.type'] ?? ''} ${status}`)
  t.strictSame(told.sort(), [
    'GET /models 200 unset',
    'GET /models/:name 200 unset',
    'GET /models/:name/versions/:version 404 unset',
    'GET 404 unset',
    'GET 404 unset',
    'POST /models 201 unset',
    'POST /models 503 error',
    'POST /models 503 error',
    `publish ${QUEUE}  unset`,
    `publish ${QUEUE} FST_BRK_JOURNAL_FULL error`,
    `publish ${QUEUE} FST_BRK_JOURNAL_FULL error`,
    `publish ${QUEUE} FST_BRK_MESSAGE_INVALID error`
  ])
  t.notMatch(JSON.stringify(collector.spans), 'canary')
})

t.test('R10.2 a failed attempt is an error of its span, the next one has its own; I10 applications do not mix their traces', async (t) => {
  const [first, second, server] = await Promise.all([startCollector(t), startCollector(t), startRedis(t)])
  const app = await start(t, traced(first, { REDIS_URL: server.url }))
  const other = await start(t, traced(second))
  const worker = Fastify()
  t.teardown(() => worker.close())
  await worker.register(config, { env: traced(first, { REDIS_URL: server.url }) })
  await worker.register(tracing)
  await worker.register(redis)
  await worker.register(consumer, {
    backoffBaseMs: 0,
    timeoutMs: 100,
    graceMs: 10_000,
    handler: async (_message, { attempt, signal }) => {
      if (attempt === 1) throw new TypeError('bad weather')
      if (attempt === 2) await once(signal, 'abort')
    }
  })
  await worker.ready()
  await register(app, '1')
  await register(other, '1')
  const attempts = await collected(first, `process ${QUEUE}`, 3)
  t.strictSame(attempts.map(({ attributes, status, statusMessage }) => [attributes['breakwater.attempt'], attributes['error.type'], status, statusMessage]), [
    [1, 'TypeError', 'error', 'bad weather'],
    [2, 'FST_BRK_HANDLER_TIMEOUT', 'error', attempts[1]!.statusMessage],
    [3, undefined, 'unset', '']
  ])
  await other.close()
  t.strictSame(second.spans.map(({ name }) => name).sort(), ['POST /models', `publish ${QUEUE}`])
  t.equal((await only(first, 'POST /models')).kind, 'server')
})

t.test('R10.2 R8.3 a task continues the trace of the request that enqueued it', async (t) => {
  const [collector, server] = await Promise.all([startCollector(t), startRedis(t)])
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(config, { env: traced(collector, { REDIS_URL: server.url }) })
  await app.register(tracing)
  await app.register(redis)
  await app.register(tasks)
  const contexts: TaskContext[] = []
  const mail = app.tasks.define('mail', async (_input, context) => { contexts.push(context) }, { schema: Type.Object({}) })
  app.post('/mails', async (request) => await mail.enqueue({}, { origin: { correlationId: 'c', traceparent: app.tracing!.traceparentOf(request) } }))
  await app.ready()
  const { messageId } = (await app.inject({ method: 'POST', url: '/mails' })).json()
  await mail.enqueue({})
  const [first, second] = await collected(collector, `process ${QUEUE}:tasks`, 2)
  const request = await only(collector, 'POST /mails')
  const [publish, other] = await collected(collector, `publish ${QUEUE}:tasks`, 2)
  t.match(publish, { traceId: request.traceId, parentSpanId: request.spanId, attributes: { 'breakwater.task': 'mail', 'messaging.message.id': messageId } })
  t.match(first, { ...idOf(first!), traceId: request.traceId, parentSpanId: publish!.spanId })
  t.match(second, { traceId: other!.traceId, parentSpanId: other!.spanId }, 'without an origin, in a trace of its own')
  t.not(other!.traceId, request.traceId)
  t.strictSame(contexts.map(({ traceparent }) => traceparent), [traceparentOf(first!), traceparentOf(second!)])
  await until(() => collector.named(`relay ${QUEUE}:tasks`).flatMap(({ links }) => links).length === 2)
  t.strictSame(collector.named(`relay ${QUEUE}:tasks`).flatMap(({ links }) => links), [idOf(publish!), idOf(other!)])
})
