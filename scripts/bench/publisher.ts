import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { Redis } from 'ioredis'
import { startRedis } from '../../test/helpers/redis-server.ts'
import { temporaryDirectory } from '../../test/helpers/temporary.ts'
import { journals, peers } from './publisher/contenders.ts'
import type { Contender } from './publisher/contenders.ts'
import { load } from './publisher/measure.ts'
import type { Load } from './publisher/measure.ts'
import { figure, format, machine, table, verdicts } from './publisher/report.ts'
import type { Figure } from './publisher/report.ts'
import { commitToVisible } from './publisher/visible.ts'
import { Cleanup, median } from './service.ts'

/**
 * The publisher against the libraries people use instead, in one run, in turns, with messages of 1 KB: what is accepted per second,
 * how fast a backlog reaches the queue, how soon a message is seen, and what all that costs.
 */
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    backlog: { type: 'string' }
  }
})
const rounds = Number(values.rounds ?? (values.quick ? 1 : 5))
const durationMs = Number(values.seconds ?? (values.quick ? 0.3 : 2)) * 1000
const backlog = Number(values.backlog ?? (values.quick ? 20_000 : 200_000))
const CONCURRENCIES = [1, 16, 64, 256]
/** As `npm start` runs the service: V8's young generation would otherwise take what it can get. */
const CHILD_FLAGS = ['--expose-gc', '--max-semi-space-size=4']

type Results = Map<Contender, Map<number, Load[]>>

/** Each round begins with another contender, so that a slow moment of the machine hits all of them. */
async function accept (contenders: Contender[], empty: () => Promise<void>): Promise<Results> {
  const results: Results = new Map(contenders.map((contender) => [contender, new Map(CONCURRENCIES.map((concurrency) => [concurrency, []]))]))
  for (const { call } of contenders) await load(call, 16, durationMs / 4)
  for (let round = 0; round < rounds; round++) {
    for (const concurrency of CONCURRENCIES) {
      for (let index = 0; index < contenders.length; index++) {
        const contender = contenders[(index + round) % contenders.length]!
        await empty()
        results.get(contender)!.get(concurrency)!.push(await load(contender.call, concurrency, durationMs, contender.messages))
      }
    }
  }
  return results
}

function medianOf (loads: Load[]): Load {
  const of = (name: keyof Load) => median(loads.map((each) => each[name]))
  return { perSecond: of('perSecond'), p99Ms: of('p99Ms'), loopP99Ms: of('loopP99Ms') }
}

function acceptTable (results: Results): string {
  return table(['accepted per second, p99', 'durable', ...CONCURRENCIES.map((concurrency) => `${concurrency} concurrent`)],
    [...results].map(([{ name, durable }, byConcurrency]) => [name, durable ? 'yes' : 'no', ...CONCURRENCIES.map((concurrency) => {
      const { perSecond, p99Ms } = medianOf(byConcurrency.get(concurrency)!)
      return `${format(perSecond)}, ${p99Ms.toFixed(2)} ms`
    })]))
}

/** The median of the ratios within a round. */
function ratio (results: Results, ours: string, theirs: string, concurrency: number): number {
  const rates = (name: string) => [...results].find(([contender]) => contender.name === name)![1].get(concurrency)!.map(({ perSecond }) => perSecond)
  const peer = rates(theirs)
  return median(rates(ours).map((rate, round) => rate / peer[round]!))
}

function acceptFigures (results: Results): Figure[] {
  const at = (name: string, concurrency: number) => medianOf([...results].find(([contender]) => contender.name === name)![1].get(concurrency)!)
  const [sqlite, postgres] = ['breakwater, SQLite', 'breakwater, PostgreSQL']
  return [
    figure('SQLite, accepted at 64 concurrent', at(sqlite, 64).perSecond, '/s', { atLeast: 50_000 }),
    figure('SQLite to BullMQ add (not durable), 64 concurrent', ratio(results, sqlite, 'BullMQ add', 64), '×', { atLeast: 1 }),
    figure('PostgreSQL, accepted at 64 concurrent', at(postgres, 64).perSecond, '/s', { atLeast: 10_000 }),
    figure('SQLite, event-loop delay p99 at 64 concurrent', at(sqlite, 64).loopP99Ms, 'ms', { atMost: 2 })
  ]
}

async function carry (cleanup: Cleanup, url: string): Promise<Record<string, number>> {
  const script = join(import.meta.dirname, 'publisher/backlog.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [...CHILD_FLAGS, script, url, await temporaryDirectory(cleanup), String(backlog)])
  const result = JSON.parse(stdout) as Record<string, number>
  if (result.queued !== backlog) throw new Error(`${result.queued} of ${backlog} messages are in the queue`)
  return result
}

function backlogFigures (results: Results, carried: Record<string, number>): Figure[] {
  const perSecond = backlog / carried.relaySeconds!
  const bulk = [...results].find(([{ messages }]) => messages > 1)![1]
  const addBulk = Math.max(...[...bulk.values()].map((loads) => medianOf(loads).perSecond))
  const rows = `${format(backlog)} waiting`
  return [
    figure(`relay, ${rows}`, perSecond, '/s', { atLeast: 70_000 }),
    figure(`time to carry ${format(backlog)}`, carried.relaySeconds!, 's', { atMost: 14 * backlog / 1e6 }),
    figure('relay to BullMQ addBulk at its best', perSecond / addBulk, '×', { atLeast: 2 }),
    figure(`heap growth after collection, ${rows}`, carried.heapGrowthMiB!, 'MiB', { atMost: 16 }),
    figure(`RSS, ${rows}`, carried.rssWithBacklogMiB!, 'MiB', { atMost: 200 }),
    figure('RSS at its highest while relaying', carried.rssPeakMiB!, 'MiB', { atMost: 200 }),
    figure('Redis per message beyond the list element', carried.redisBytesPerMessage!, 'B', { atMost: 20 })
  ]
}

const cleanup = new Cleanup()
try {
  const redis = await startRedis(cleanup)
  const persistent = await startRedis(cleanup, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const clients = [redis, persistent].map(({ url }) => new Redis(url))
  cleanup.teardown(() => clients.forEach((client) => client.disconnect()))
  const empty = async (): Promise<void> => { await Promise.all(clients.map((client) => client.flushall())) }

  const ours = await journals(cleanup)
  const theirs = [...await peers(cleanup, redis.url), ...await peers(cleanup, persistent.url, ', AOF always', true)]
  const results = await accept([...ours, ...theirs], empty)
  await empty()
  const carried = await carry(cleanup, redis.url)
  await empty()
  const visible = await commitToVisible(cleanup, redis.url, 2000, Math.max(durationMs * 2, 2000))
  console.log([
    `${machine()}; Redis ${await redisVersion(clients[0]!)}; medians of ${rounds} rounds of ${durationMs / 1000} s; backlog process: node ${CHILD_FLAGS.join(' ')}`,
    acceptTable(results),
    verdicts([
      ...acceptFigures(results),
      ...backlogFigures(results, carried),
      figure('commit to visible at 2,000/s, p50', visible.p50, 'ms', { atMost: 1 }),
      figure('commit to visible at 2,000/s, p99', visible.p99, 'ms', { atMost: 5 })
    ])
  ].join('\n\n'))
} finally {
  await cleanup.run()
}

async function redisVersion (client: Redis): Promise<string> {
  return /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? 'unknown'
}
