import t from 'tap'
import { buildApp } from '../../app.ts'
import { until } from '../helpers/until.ts'
import { validModel } from '../helpers/model-api.ts'
import { startRedis } from '../helpers/redis-server.ts'

const paths = ['/health', '/health/live', '/health/ready', '/health/alb']

/** Redis interval and deadline (docs/health.md), a tenth of jitter, and some air. */
const NOTICED_MS = 5000

t.test('R7.1 R7.2 health with Redis up, killed, back, frozen and back again', async (t) => {
  const redis = await startRedis(t)
  const app = await buildApp({ env: { REDIS_URL: redis.url, DATABASE_URL: 'sqlite::memory:' } })
  t.teardown(() => app.close())
  const origin = await app.listen({ port: 0, host: '127.0.0.1' })
  let version = 0

  const overall = async () => (await (await fetch(`${origin}/health`)).json() as { status: string }).status
  const becomes = async (status: string, title: string) => {
    const started = performance.now()
    await until(async () => await overall() === status, NOTICED_MS)
    t.comment(`${title}: ${status} after ${(performance.now() - started).toFixed(0)} ms`)
  }
  const servesWell = async (title: string) => {
    const latencies: number[] = []
    for (let round = 0; round < 50; round++) {
      for (const path of paths) {
        const started = performance.now()
        const response = await fetch(origin + path)
        await response.text()
        latencies.push(performance.now() - started)
        if (response.status !== 200) t.fail(`${title}: ${path} answered ${response.status}`)
      }
    }
    const p99 = latencies.sort((a, b) => a - b)[Math.floor(latencies.length * 0.99)]!
    t.comment(`${title}: p99 of ${latencies.length} requests ${p99.toFixed(2)} ms`)
    t.ok(p99 < 50, 'a bound that a busy machine keeps too')
    const registered = await fetch(`${origin}/models`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...validModel, version: String(++version) })
    })
    t.equal(registered.status, 201, `${title}: registrations go on`)
  }

  await becomes('healthy', 'up')
  await servesWell('up')
  await redis.kill()
  await becomes('degraded', 'killed')
  await servesWell('killed')
  await until(() => app.health.snapshot().checks.redis!.kind === 'transport')
  await redis.restart()
  await becomes('healthy', 'restarted')
  redis.freeze()
  await becomes('degraded', 'frozen')
  await servesWell('frozen')
  redis.thaw()
  await becomes('healthy', 'thawed')
  await servesWell('thawed')
})

t.test('R1.3 R1.6 Redis disabled is healthy, wrongly configured is degraded', async (t) => {
  for (const [env, status] of [[{}, 'healthy'], [{ REDIS_URL: 'http://nonsense' }, 'degraded']] as const) {
    const app = await buildApp({ env: { ...env, DATABASE_URL: 'sqlite::memory:' } })
    t.teardown(() => app.close())
    await until(() => app.health.snapshot().ready)
    const response = await app.inject('/health')
    t.equal(response.statusCode, 200)
    t.equal(response.json().status, status)
  }
})
