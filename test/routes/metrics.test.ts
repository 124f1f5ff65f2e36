import Fastify from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import { buildApp } from '../../app.ts'
import config from '../../plugins/config.ts'
import health from '../../plugins/health.ts'
import metrics from '../../plugins/metrics.ts'
import publisher from '../../plugins/publisher.ts'
import redisPlugin from '../../plugins/redis.ts'
import store from '../../plugins/store.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'
import { emfProblems } from '../services/observability/emf-validator.ts'

const model = { model_name: 'm', version: '1', token_id: 'tok', metric_name: 'auc', baseline_value: 1 }

t.test('R10.1 GET /metrics tells of the whole service, in an outage too', async t => {
  const redis = await startRedis(t)
  const app = await buildApp({ env: { REDIS_URL: redis.url, DATABASE_URL: 'sqlite::memory:' } })
  t.teardown(() => app.close())
  const scrape = async () => (await app.inject('/metrics')).body
  t.equal((await app.inject({ method: 'POST', url: '/models', payload: model })).statusCode, 201)
  await until(async () => (await scrape()).includes('breakwater_relay_published_messages_total 1'))
  const response = await app.inject('/metrics')
  t.match(response.headers, { 'content-type': /^text\/plain/, 'cache-control': 'no-store' })
  t.match(response.body, /^breakwater_redis_up\{client="default"\} 1$/m)
  t.match(response.body, /^http_request_duration_seconds_count\{method="POST",route="\/models",status="2xx"\} 1$/m)
  t.match(response.body, /^breakwater_queue_messages\{place="waiting"\} \d$/m)

  await redis.kill()
  await until(async () => /^breakwater_redis_up\{client="default"\} 0$/m.test(await scrape()))
  t.equal((await app.inject({ method: 'POST', url: '/models', payload: { ...model, version: '2' } })).statusCode, 201)
  await until(async () => /^breakwater_redis_breaker_transitions_total\{client="default",to="open"\} 1$/m.test(await scrape()))
  await until(async () => /^breakwater_journal_pending_messages 1$/m.test(await scrape()))
})

t.test('R10.1 METRICS=emf: the very lines of the log are embedded metrics, of the whole service', async t => {
  const redis = await startRedis(t)
  const lines: string[] = []
  const app = Fastify({ loggerInstance: pino({ level: 'info' }, { write: (line: string) => { lines.push(line) } }) })
  t.teardown(() => app.close())
  await app.register(config, { env: { REDIS_URL: redis.url, DATABASE_URL: 'sqlite::memory:' } })
  for (const plugin of [store, redisPlugin, publisher, health]) await app.register(plugin)
  await app.register(metrics, { mode: 'emf', intervalMs: 1000 })
  await app.ready()
  const written = () => lines.filter(line => line.includes('"_aws"'))
  await until(() => written().length > 3)
  for (const line of written()) t.strictSame(emfProblems(line), [], line.slice(0, 120))
  for (const name of ['breakwater_redis_up', 'breakwater_journal_pending_messages', 'breakwater_relay_leader']) {
    t.ok(written().some(line => line.includes(name)), name)
  }
})

t.test('METRICS=none and METRICS=emf have no route, a wrong value is named', async t => {
  for (const METRICS of ['none', 'emf']) {
    const app = await buildApp({ env: { DATABASE_URL: 'sqlite::memory:', METRICS } })
    t.equal((await app.inject('/metrics')).statusCode, 404, METRICS)
    await app.close()
  }
  await t.rejects(buildApp({ env: { DATABASE_URL: 'sqlite::memory:', METRICS: 'statsd' } }), /METRICS/)
})
