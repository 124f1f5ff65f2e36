import { parseArgs } from 'node:util'
import { soak } from './chaos/soak.ts'
import type { SoakOptions, SoakSample } from './chaos/soak.ts'

const USAGE = `Memory of the service through a long outage of Redis: a backlog in fast motion, some minutes in real time, and the recovery.

  npm run soak -- [--hours 2] [--rate 200] [--minutes 3] [--world sqlite|postgres] [--json]

  --hours N     of outage in fast motion: rate × hours × 3600 events, appended as fast as they are taken; default 2
  --rate N      events per second in real time; default 200
  --minutes N   of outage in real time, after that; default 3
`

const options = {
  hours: { type: 'string', default: '2' },
  rate: { type: 'string', default: '200' },
  minutes: { type: 'string', default: '3' },
  world: { type: 'string', default: 'sqlite' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

async function main (): Promise<number> {
  const { values } = parseArgs({ options })
  if (values.help || (values.world !== 'sqlite' && values.world !== 'postgres')) {
    process.stderr.write(USAGE)
    return values.help ? 0 : 1
  }
  const tasks: (() => unknown)[] = []
  const { hours, rate, minutes, world } = values
  const given: SoakOptions = { hours: Number(hours), perSecond: Number(rate), minutes: Number(minutes), world }
  try {
    const result = await soak({ teardown: (task) => { tasks.unshift(task) } }, given, (sample) => process.stderr.write(`${line(sample)}\n`))
    process.stdout.write(`${values.json ? JSON.stringify(result) : [...result.samples.map(line), '', ...result.conclusions].join('\n')}\n`)
    return result.flat ? 0 : 1
  } finally {
    for (const task of tasks) await task()
  }
}

function line ({ phase, seconds, backlog, heapMib, rssMib }: SoakSample): string {
  return `${phase.padEnd(12)} ${String(Math.round(seconds)).padStart(5)} s  backlog ${String(backlog).padStart(8)}  heap after collection ${heapMib.toFixed(1).padStart(6)} MiB  RSS ${rssMib.toFixed(0).padStart(4)} MiB`
}

if (import.meta.main) process.exitCode = await main()
