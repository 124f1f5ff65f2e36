import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import autocannon from 'autocannon'
import { Redis } from 'ioredis'
import { startRedis } from '../../test/helpers/redis-server.ts'
import type { RedisServer } from '../../test/helpers/redis-server.ts'
import { startSlowProxy } from '../../test/helpers/slow-proxy.ts'
import { until } from '../../test/helpers/until.ts'
import { Cleanup, median, startServer } from './service.ts'

/**
 * The health routes under load in every state of Redis: latency, that every answer is 200, that requests cause no Redis command,
 * and their throughput as a ratio to a bare Fastify route with the same body.
 */
const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '10000' },
    connections: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false }
  }
})

const ROUTES = ['/health', '/health/live', '/health/ready', '/health/alb']
const SLOW_MS = 500

async function load (url: string): Promise<autocannon.Result> {
  return await autocannon({ url, connections: Number(values.connections), amount: Number(values.requests) })
}

/** Time is what is fixed here: a count of requests ends at a full second only. */
async function requestsPerSecond (url: string): Promise<number> {
  const { requests, duration } = await autocannon({ url, connections: Number(values.connections), duration: 2 })
  return requests.total / duration
}

/** Commands that arrive at Redis in a second of rest, and in a second of load. Background probes are the same in both. */
async function commandsPerSecond (redis: RedisServer, url: string): Promise<{ atRest: number, underLoad: number }> {
  const client = new Redis({ host: redis.host, port: redis.port })
  const monitor = await client.monitor()
  let commands = 0
  monitor.on('monitor', () => { commands++ })
  const during = async (work: Promise<unknown>) => {
    const [before, startedAt] = [commands, performance.now()]
    await work
    return (commands - before) / (performance.now() - startedAt) * 1000
  }
  const atRest = await during(delay(10_000))
  const stop = performance.now() + 10_000
  const underLoad = await during((async () => { while (performance.now() < stop) await load(`${url}/health`) })())
  monitor.disconnect()
  client.disconnect()
  return { atRest, underLoad }
}

async function ratioToBareRoute (cleanup: Cleanup, url: string): Promise<Record<string, string | number>[]> {
  const rows = []
  for (const route of ROUTES) {
    const bare = await startServer(cleanup, 'scripts/bench/health/bare-route.ts', '', { BODY: await (await fetch(url + route)).text() })
    const ratios: number[] = []
    for (let round = 0; round <= Number(values.rounds); round++) {
      const [ours, theirs] = [await requestsPerSecond(url + route), await requestsPerSecond(`${bare}/`)]
      // The first round warms both up.
      if (round > 0) ratios.push(ours / theirs)
    }
    rows.push({ route, 'throughput / bare route': median(ratios).toFixed(2), from: Math.min(...ratios).toFixed(2), to: Math.max(...ratios).toFixed(2) })
  }
  return rows
}

const cleanup = new Cleanup()
try {
  const redis = await startRedis(cleanup)
  let delayMs = 0
  const port = await startSlowProxy(cleanup, redis.port, () => delayMs)
  const url = await startServer(cleanup, 'server.ts', `redis://127.0.0.1:${port}`)
  const status = async () => (await (await fetch(`${url}/health`)).json() as { status: string }).status
  const latencies: Record<string, string | number>[] = []
  const states: [name: string, inflict: () => unknown, expected: string | null][] = [
    ['up', () => {}, 'healthy'],
    ['slow (500 ms for each reply)', () => { delayMs = SLOW_MS }, null],
    ['frozen', () => { delayMs = 0; redis.freeze() }, 'degraded'],
    ['refused', () => redis.kill(), 'degraded']
  ]
  await until(async () => await status() === 'healthy')
  const commands = await commandsPerSecond(redis, url)
  const ratios = await ratioToBareRoute(cleanup, url)
  for (const [redisState, inflict, expected] of states) {
    await inflict()
    if (expected === null) await delay(3000)
    else await until(async () => await status() === expected)
    for (const route of ROUTES) {
      const { latency, non2xx, errors } = await load(url + route)
      latencies.push({ Redis: redisState, route, 'p99 ms': latency.p99, 'max ms': latency.max, 'not 2xx': non2xx + errors })
    }
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ latencies, ratios, commands })}\n`)
  else {
    console.table(latencies)
    console.table(ratios)
    console.log(`Redis commands per second: ${commands.atRest.toFixed(1)} at rest, ${commands.underLoad.toFixed(1)} under load`)
  }
} finally {
  await cleanup.run()
}
