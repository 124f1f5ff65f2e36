import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import autocannon from 'autocannon'
import { startRedis } from '../../test/helpers/redis-server.ts'
import { until } from '../../test/helpers/until.ts'
import { Cleanup, startServer } from './service.ts'

/** The health routes while Redis is up, frozen and killed: latency, and that every answer is 200. Target: p99 below 10 ms. */
const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '3' }, connections: { type: 'string', default: '10' }, json: { type: 'boolean', default: false } }
})

const ROUTES = ['/health', '/health/live', '/health/ready', '/health/alb']
const TARGET_P99_MS = 10

const cleanup = new Cleanup()
try {
  const redis = await startRedis(cleanup)
  const url = await startServer(cleanup, 'server.ts', redis.url)
  const status = async () => (await (await fetch(`${url}/health`)).json() as { status: string }).status
  const rows: Record<string, string | number>[] = []
  const states: [name: string, inflict: () => unknown, expected: string][] = [
    ['up', () => {}, 'healthy'], ['frozen', () => redis.freeze(), 'degraded'], ['killed', () => redis.kill(), 'degraded']
  ]
  for (const [redisState, inflict, expected] of states) {
    await inflict()
    await until(async () => await status() === expected)
    await delay(500)
    for (const route of ROUTES) {
      const { latency, non2xx, requests } = await autocannon({
        url: url + route, connections: Number(values.connections), duration: Number(values.seconds)
      })
      rows.push({ Redis: redisState, route, 'p50 ms': latency.p50, 'p99 ms': latency.p99, 'max ms': latency.max, 'requests/s': Math.round(requests.average), 'not 2xx': non2xx })
    }
  }
  if (values.json) process.stdout.write(`${JSON.stringify(rows)}\n`)
  else {
    console.table(rows)
    const worst = Math.max(...rows.map((row) => row['p99 ms'] as number))
    console.log(`worst p99 ${worst} ms, target below ${TARGET_P99_MS}: ${worst < TARGET_P99_MS ? 'PASS' : 'MISS'}`)
  }
} finally {
  await cleanup.run()
}
