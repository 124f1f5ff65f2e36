import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startRedis } from '../../test/helpers/redis-server.ts'
import { contenders } from './client/contenders.ts'
import { shapes } from './client/shapes.ts'
import type { Order, Report } from './client/subject.ts'
import { Cleanup, median } from './service.ts'

/**
 * What the guard costs, beside plain ioredis and beside what people protect it with: each client in a process of its own, in turns on one
 * Redis, so that a noisy machine is noisy for all of them. Ratios are medians of the ratios of each round.
 */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false }
  }
})

const PEER = 'ioredis'
const names = Object.keys(contenders).filter((name) => name === PEER || name.includes(values.only))

async function start (cleanup: Cleanup, name: string, url: string): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, 'client/subject.ts'), [name, url], { execArgv: ['--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64'] })
  cleanup.teardown(() => child.disconnect())
  await once(child, 'message')
  return child
}

async function ask (child: ChildProcess, order: Order): Promise<Report> {
  child.send(order)
  const [report] = await once(child, 'message') as [Report]
  return report
}

/** From another starting point in every round, so that nobody always runs after the same neighbour. */
function rotated<T> (list: T[], by: number): T[] {
  const start = by % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}

async function compare (children: Map<string, ChildProcess>, shape: string): Promise<Record<string, Report[]>> {
  const reports: Record<string, Report[]> = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = -1; round < Number(values.rounds); round++) {
    for (const name of rotated(names, round + 1)) {
      const report = await ask(children.get(name)!, { shape, seconds: Number(values.seconds) })
      // The first round warms everybody up.
      if (round >= 0) reports[name]!.push(report)
    }
  }
  return reports
}

function row (shape: string, name: string, own: Report[], peer: Report[]): Record<string, string> {
  const ratios = own.map(({ perSecond }, round) => perSecond / peer[round]!.perSecond)
  const middle = (read: (report: Report) => number) => median(own.map(read))
  return {
    shape,
    client: name,
    'commands /s': middle(({ perSecond }) => perSecond).toFixed(0),
    'ratio to ioredis': median(ratios).toFixed(2),
    from: Math.min(...ratios).toFixed(2),
    to: Math.max(...ratios).toFixed(2),
    'p99 ms': middle(({ p99Ms }) => p99Ms).toFixed(2),
    'loop max ms': middle(({ loopMaxMs }) => loopMaxMs).toFixed(1),
    'heap B/command': middle(({ bytesPerCommand }) => bytesPerCommand).toFixed(0)
  }
}

const cleanup = new Cleanup()
try {
  const redis = await startRedis(cleanup)
  const children = new Map<string, ChildProcess>()
  for (const name of names) children.set(name, await start(cleanup, name, redis.url))
  const rows: Record<string, string>[] = []
  for (const shape of Object.keys(shapes)) {
    const reports = await compare(children, shape)
    for (const name of names) rows.push(row(shape, name, reports[name]!, reports[PEER]!))
    if (!values.json) console.table(rows.filter((each) => each['shape'] === shape).map(({ shape: _, ...rest }) => rest), undefined)
  }
  if (values.json) process.stdout.write(`${JSON.stringify(rows)}\n`)
} finally {
  await cleanup.run()
}
