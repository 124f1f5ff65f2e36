import { parseArgs } from 'node:util'
import autocannon from 'autocannon'
import { startRedis } from '../../test/helpers/redis-server.ts'
import { Cleanup, median, startServer } from './service.ts'

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

const cleanup = new Cleanup()
try {
  const redis = await startRedis(cleanup)
  const contestant = async (name: string, script: string): Promise<Contestant> =>
    ({ name, url: await startServer(cleanup, script, redis.url), rates: [], latencies: [] })
  const ours = await contestant('breakwater', 'server.ts')
  const peer = await contestant('fastify + await lpush', 'scripts/bench/register/peer.ts')
  for (const each of [ours, peer]) {
    await measure(each, 2)
    each.rates.length = each.latencies.length = 0
  }
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const each of round % 2 === 0 ? [ours, peer] : [peer, ours]) await measure(each, Number(values.seconds))
  }
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
  await cleanup.run()
}
