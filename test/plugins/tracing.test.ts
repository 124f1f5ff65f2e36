import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { inspect } from 'node:util'
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node'
import Fastify from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import { buildApp } from '../../app.ts'
import publisher from '../../plugins/publisher.ts'
import redis from '../../plugins/redis.ts'
import store from '../../plugins/store.ts'
import tracing, { openTracing } from '../../plugins/tracing.ts'
import { asText, examine } from '../../services/config/report.ts'
import { showConfiguration } from '../../services/operations/configuration.ts'
import { memoryLogger } from '../helpers/memory-logger.ts'
import { validModel } from '../helpers/model-api.ts'
import { startCollector } from '../helpers/otlp-collector.ts'
import { freePort } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const root = resolve(import.meta.dirname, '../..')
const LOST = 'traces cannot be exported, they are dropped'
const BACK = 'traces are exported again'

/** Runs one registration in a process that says what it loads. */
async function serveOnce (env: NodeJS.ProcessEnv) {
  const program = `
    const { buildApp } = await import('${root}/app.ts')
    const app = await buildApp()
    const { statusCode } = await app.inject({ method: 'POST', url: '/models', payload: ${JSON.stringify(validModel)} })
    console.log(statusCode)
    await app.close()`
  const child = spawn(process.execPath, ['--import', resolve(root, 'test/fixtures/report-loads.ts'), '-e', program], {
    cwd: root, env: { PATH: process.env.PATH, DATABASE_URL: 'sqlite::memory:', ...env }
  })
  const [stdout, stderr] = (await Promise.all([child.stdout.toArray(), child.stderr.toArray(), once(child, 'close')])).map(String)
  const loaded = stderr!.split('\n').filter((line) => line.startsWith('loaded '))
  return { status: child.exitCode, stdout: stdout!.trim(), stderr, loaded }
}

const ofTracing = (line: string) => /node_modules\/(@opentelemetry|@fastify\/otel|protobufjs|import-in-the-middle)\//.test(line)

t.test('R10.2 off by default, and then nothing of OpenTelemetry is loaded', async (t) => {
  // The client of Prometheus brings the interface package, for exemplars; nothing of ours does.
  const off = await serveOnce({ METRICS: 'none' })
  t.match(off, { status: 0, stdout: '201' })
  t.ok(off.loaded.length > 100, `${off.loaded.length} modules`)
  t.strictSame(off.loaded.filter(ofTracing), [])
  const on = await serveOnce({ METRICS: 'none', TRACING: 'otlp', OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await freePort()}` })
  t.match(on, { status: 0, stdout: '201' })
  t.ok(on.loaded.filter(ofTracing).length > 10, 'what the check above would have seen')
})

t.test('R10.2 a package that is not installed is named', async (t) => {
  const packages = ['@fastify/otel', '@opentelemetry/api', '@opentelemetry/resources', '@opentelemetry/sdk-trace-node', '@opentelemetry/exporter-trace-otlp-proto']
  const runs = await Promise.all(packages.map((name) => serveOnce({ METRICS: 'none', TRACING: 'otlp', HIDE: name })))
  for (const [index, name] of packages.entries()) {
    const { status, stderr } = runs[index]!
    t.equal(status, 1)
    t.match(stderr, new RegExp(`needs the package ${name}, which is not installed. Install it: npm install "${name}@`))
    t.match(stderr, 'FST_BRK_PEER_MISSING')
  }
})

for (const [state, status] of [['frozen', null], ['failing', 500]] as const) {
  t.test(`R10.2 I7 a ${state} collector: no request waits, one line when it is lost and one when it is back, closing takes less than 1 s`, async (t) => {
    const collector = await startCollector(t)
    collector.status = status
    const lines: { msg: string }[] = []
    const loggerInstance = pino({ level: 'info' }, { write: (line: string) => { lines.push(JSON.parse(line)) } })
    const env = { TRACING: 'otlp', OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, DATABASE_URL: 'sqlite::memory:' }
    const app = await buildApp({ env, loggerInstance })
    t.teardown(() => app.close())
    const about = (message: string) => lines.filter(({ msg }) => msg === message).length
    let version = 0
    const register = async () => {
      const begin = performance.now()
      const { statusCode } = await app.inject({ method: 'POST', url: '/models', payload: { ...validModel, version: String(++version) } })
      if (statusCode !== 201) throw new Error(String(statusCode))
      return performance.now() - begin
    }
    const took: number[] = []
    // Long enough for several exports to fail.
    await until(async () => took.push(await register()) > 0 && collector.exports >= 3)
    t.ok(Math.max(...took) < 700, `the slowest of ${took.length} requests took ${Math.max(...took)} ms, the deadline of an export is 750`)
    t.equal(about(LOST), 1)

    collector.status = 200
    await until(async () => await register() > 0 && about(BACK) === 1)
    t.ok(collector.spans.length > 0)
    collector.status = status
    await register()
    await until(() => about(LOST) === 2)
    await register()
    const begin = performance.now()
    await app.close()
    t.ok(performance.now() - begin < 1000)
    t.strictSame([about(LOST), about(BACK)], [2, 1])
  })
}

t.test('I7 R7.5 a process whose collector is frozen or gone ends by itself, within 1 s after the signal', async (t) => {
  const collector = await startCollector(t)
  collector.status = null
  for (const endpoint of [collector.endpoint, `http://127.0.0.1:${await freePort()}`]) {
    const port = await freePort()
    const child = spawn(process.execPath, ['server.ts'], {
      cwd: root,
      env: {
        PATH: process.env.PATH, PORT: String(port), DRAIN_MS: '0', DATABASE_URL: 'sqlite::memory:', TRACING: 'otlp', OTEL_EXPORTER_OTLP_ENDPOINT: endpoint
      },
      stdio: 'ignore'
    })
    t.teardown(() => child.kill('SIGKILL'))
    const post = () => fetch(`http://127.0.0.1:${port}/models`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(validModel) })
    await until(() => post().then(({ status }) => status === 201, () => false))
    if (endpoint === collector.endpoint) await until(() => collector.exports > 0)
    const begin = performance.now()
    child.kill('SIGTERM')
    t.strictSame(await once(child, 'exit'), [0, null])
    const took = performance.now() - begin
    t.ok(took < 1000, `${took} ms`)
  }
})

t.test('R10.2 what waits for export is bounded', async (t) => {
  const collector = await startCollector(t)
  collector.status = null
  const logger = memoryLogger()
  const session = await openTracing({ url: `${collector.endpoint}/v1/traces`, serviceName: 'x', logger })
  for (let number = 0; number < 10_000; number++) session.tracing.start({ name: 'x', kind: 'client', attributes: {} }).end()
  await until(() => logger.of('warn').length === 1)
  collector.status = 200
  await until(() => collector.spans.length > 0)
  await session.close()
  t.ok(collector.spans.length <= 2048, `${collector.spans.length} of 10 000`)
  t.strictSame(logger.lines.map(({ message }) => message), [LOST, BACK])
  session.tracing.start({ name: 'late', kind: 'client', attributes: {} }).end()
  await t.resolves(session.close(), 'twice')
})

t.test('R10.2 I6 the headers for the collector are seen nowhere but there', async (t) => {
  const CANARY = 'Canary7Zq'
  const collector = await startCollector(t)
  const env = {
    TRACING: 'otlp', OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${CANARY},x-team=a`, DATABASE_URL: 'sqlite::memory:'
  }
  const written: string[] = []
  const loggerInstance = pino({ level: 'trace' }, { write: (line: string) => { written.push(line) } })
  const app = await buildApp({ env, loggerInstance })
  t.teardown(() => app.close())
  await app.inject('/absent')
  await until(() => collector.spans.length > 0)
  t.match(collector.headers[0], { authorization: `Bearer ${CANARY}`, 'x-team': 'a' })
  collector.status = 401
  await app.inject('/absent')
  await until(() => written.some((line) => line.includes(LOST)))
  for (const url of ['/health', '/metrics']) written.push((await app.inject(url)).body)
  written.push(
    inspect(app.config, { depth: null, showHidden: true }), inspect(app.tracing, { depth: null, showHidden: true }), JSON.stringify(app.config),
    asText(examine(env)), JSON.stringify(examine(env)), JSON.stringify(showConfiguration(env, null)), JSON.stringify(collector.spans)
  )
  t.notMatch(written.join('\n'), CANARY)
  for (const bad of [CANARY, `a=%${CANARY}`, `a b=${CANARY}`, `a=%0d%0a${CANARY}`]) {
    const err = await buildApp({ env: { ...env, OTEL_EXPORTER_OTLP_HEADERS: bad } }).then(() => null, (err) => err)
    t.match(err, { code: 'FST_BRK_CONFIG_INVALID', message: 'Entry 1 of OTEL_EXPORTER_OTLP_HEADERS' })
    t.notMatch(inspect(err, { depth: null }), CANARY)
  }
})

t.test('R10.2 in another service: options of its own, or the provider that it has', async (t) => {
  const exporter = new InMemorySpanExporter()
  const tracerProvider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] })
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(tracing, { tracerProvider, ignore: ['/quiet'] })
  await app.register(store)
  await app.register(redis)
  await app.register(publisher, { queueName: 'models' })
  app.get('/loud', async (request) => ({ traceparent: app.tracing!.traceparentOf(request) }))
  app.get('/quiet/one', async (request) => ({ traceparent: app.tracing!.traceparentOf(request) ?? null }))
  await app.ready()
  const { traceparent } = (await app.inject('/loud')).json()
  t.strictSame((await app.inject('/quiet/one')).json(), { traceparent: null })
  const { model_name: name, version, token_id: token, metric_name: metric, ...values } = validModel
  const message = { ...values, current_value: 0.9, model_name: name, model_version: version, model_id: 'x', token_symbol: token, metric_name: metric }
  await app.publisher.publish(message, { correlationId: 'c', traceparent })
  const [request, publish, ...others] = exporter.getFinishedSpans()
  t.strictSame([request!.name, publish!.name, others.length], ['GET /loud', 'publish models', 0])
  t.equal(traceparent, `00-${request!.spanContext().traceId}-${request!.spanContext().spanId}-01`)
  t.match(publish!.parentSpanContext, { spanId: request!.spanContext().spanId, isRemote: false })
  t.match(publish!.attributes, { 'breakwater.via': 'journal' })
  await app.close()
  t.equal(exporter.getFinishedSpans().length, 2, 'its provider is left alone')

  const collector = await startCollector(t)
  const own = Fastify()
  t.teardown(() => own.close())
  await own.register(tracing, { mode: 'otlp', url: `${collector.endpoint}/v1/traces`, headers: { 'x-key': 'k' }, serviceName: 'own', ratio: 1 })
  own.tracing!.start({ name: 'x', kind: 'client', attributes: {} }).end()
  await own.close()
  t.match(collector.spans, [{ name: 'x', resource: { 'service.name': 'own' } }])
  t.match(collector.headers, [{ 'x-key': 'k' }])

  const off = Fastify()
  await off.register(tracing, { mode: 'none', tracerProvider })
  t.equal(off.tracing, null)
  await off.close()
  await t.rejects(async () => await Fastify().register(tracing, { url: 'ftp://x' }), { code: 'FST_BRK_OPTION_INVALID' })
  await t.rejects(async () => await Fastify().register(tracing, { uri: 'http://x' } as never), { message: 'did you mean "url"' })
})
