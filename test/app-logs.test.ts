import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { buildApp } from '../app.ts'
import { startRedis } from './helpers/redis-server.ts'
import { until } from './helpers/until.ts'

const SILENCE_MS = 3000
const INFO = 30

t.test('R10.5 an outage is a handful of log lines when it begins and ends, and silence in between', { timeout: 60_000 }, async t => {
  const redis = await startRedis(t)
  const lines: { level: number, msg: string }[] = []
  const stream = { write: (line: string) => { lines.push(JSON.parse(line)) } }
  const app = await buildApp({
    env: { DATABASE_URL: 'sqlite::memory:', REDIS_URL: redis.url },
    logger: { level: 'info', stream }
  })
  t.teardown(() => app.close())
  let version = 0
  const traffic = new AbortController()
  const load = (async () => {
    while (!traffic.signal.aborted) {
      await app.inject({ method: 'POST', url: '/models', payload: { model_name: 'm', version: String(++version), token_id: 'tok', metric_name: 'auc', baseline_value: 1 } })
      await app.inject('/health')
      await app.redis.get('key').catch(() => {})
    }
  })()
  const aboveDebug = () => lines.filter(({ level }) => level >= INFO).length
  await until(async () => (await app.inject('/health')).json().status === 'healthy')

  for (const [begin, end] of [[() => redis.kill(), () => redis.restart()], [async () => redis.freeze(), async () => redis.thaw()]] as const) {
    const before = aboveDebug()
    await begin()
    await until(async () => {
      const { checks } = (await app.inject('/health')).json()
      // Not the relay: it may have had nothing on its way, and it asks nothing of a Redis that is known to be dead.
      return [checks.redis, checks.queue].every(status => status === 'failed')
    }, 10_000)
    const noticed = aboveDebug()
    // Once every part has noticed, the rest of an hour adds what these seconds add.
    await delay(SILENCE_MS)
    t.equal(aboveDebug(), noticed, `silent under load: ${JSON.stringify(lines.slice(noticed))}`)
    await end()
    await until(async () => (await app.inject('/health')).json().status === 'healthy', 10_000)
    const total = aboveDebug() - before
    t.ok(total < 25, `${total} lines from beginning to end, ${version} registrations so far`)
  }
  traffic.abort()
  await load
})
