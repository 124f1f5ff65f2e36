import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import autocannon from 'autocannon'
import { freePort, startRedis } from '../../test/helpers/redis-server.ts'
import { temporaryDirectory } from '../../test/helpers/temporary.ts'
import { until } from '../../test/helpers/until.ts'

/**
 * `POST /models`, durable, against a Fastify route with the same schema that only awaits one LPUSH. Both run as processes of their
 * own on one Redis, in turns, so that what else the machine does hits both alike.
 */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '50' },
    json: { type: 'boolean', default: false }
  }
})

interface Contestant { name: string, url: string, rates: number[], latencies: number[] }

const cleanUp: (() => unknown)[] = []
const teardown = { teardown: (task: () => unknown) => { cleanUp.unshift(task) } }

async function start (name: string, script: string, redisUrl: string): Promise<Contestant> {
  const port = await freePort()
  const directory = await temporaryDirectory(teardown)
  const child: ChildProcess = spawn(process.execPath, [join(import.meta.dirname, script)], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env, PORT: String(port), REDIS_URL: redisUrl, DATABASE_URL: `sqlite:${join(directory, 'bench.db')}`, LOG_LEVEL: 'warn', DRAIN_MS: '0'
    }
  })
  teardown.teardown(async () => {
    if (child.exitCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    await exited
  })
  const url = `http://127.0.0.1:${port}`
  await until(() => fetch(url).then(() => true, () => false))
  return { name, url, rates: [], latencies: [] }
}

let version = 0

function body (): string {
  return JSON.stringify({
    model_name: 'churn',
    version: String(++version),
    token_id: 'hok-churn',
    metric_name: 'auc',
    baseline_value: 0.8,
    current_value: 0.86,
    mlflow_run_id: 'f3b1c2d4e5f60718293a4b5c6d7e8f90',
    experiment_name: 'churn-2026-11',
    tags: { team: 'growth', stage: 'candidate' }
  })
}

async function measure (contestant: Contestant, seconds: number): Promise<void> {
  const result = await autocannon({
    url: `${contestant.url}/models`,
    connections: Number(values.connections),
    duration: seconds,
    requests: [{
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      setupRequest: (request) => ({ ...request, body: body() })
    }]
  })
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${contestant.name}: ${result.non2xx} answers were not 2xx, ${result.errors} failed`)
  contestant.rates.push(result['2xx'] / result.duration)
  contestant.latencies.push(result.latency.p99)
}

function median (values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!
}

try {
  const redis = await startRedis(teardown)
  const ours = await start('breakwater', '../../server.ts', redis.url)
  const peer = await start('fastify + await lpush', 'register/peer.ts', redis.url)
  for (const contestant of [ours, peer]) await measure(contestant, 2)
  for (const contestant of [ours, peer]) contestant.rates.length = contestant.latencies.length = 0
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const contestant of round % 2 === 0 ? [ours, peer] : [peer, ours]) await measure(contestant, Number(values.seconds))
  }
  await until(async () => {
    const sent = await redis.cli('llen', 'hokusai:model_ready_queue')
    const { items } = await (await fetch(`${ours.url}/models?limit=1`)).json() as { items: unknown[] }
    return items.length === 1 && sent > 0
  })
  const ratios = ours.rates.map((rate, round) => rate / peer.rates[round]!)
  const figures = [ours, peer].map(({ name, rates, latencies }) => ({
    name, 'requests/s (median)': Math.round(median(rates)), 'p99 ms (median)': median(latencies)
  }))
  const ratio = { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios), target: 1 }
  if (values.json) process.stdout.write(`${JSON.stringify({ figures, ratio })}\n`)
  else {
    console.table(figures)
    console.log(`ratio ${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)}), target at least ${ratio.target.toFixed(2)}: ${ratio.median >= ratio.target ? 'PASS' : 'MISS'}`)
  }
} finally {
  for (const task of cleanUp) await task()
}
