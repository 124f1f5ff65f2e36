import { parseArgs } from 'node:util'
import { episode } from './chaos/episode.ts'
import type { EpisodeResult, Goal } from './chaos/episode.ts'
import type { WorldName } from './chaos/plan.ts'
import { render, summarise } from './chaos/report.ts'

const USAGE = `Kills, freezes and cuts off real processes under traffic, and accounts for every message. Exit code 1 if a single one is unaccounted for.

  npm run chaos -- [options]

  --seed N         first seed; default: the time
  --seeds N        so many seeds, one after the other; default 1
  --world NAME     postgres, sqlite, or both (each with half of the goal); default both
  --seconds N      of traffic, for each seed; default 60
  --minutes N      of traffic, over as many seeds as it takes, a minute for each
  --rounds N       steps of the plan, for each seed
  --events N       acknowledged events, for each seed
  --rate N         registrations per second at most; default 4000
  --no-poison      without messages that Redis refuses
  --json           the account as JSON
  --help
`

const options = {
  seed: { type: 'string' },
  seeds: { type: 'string' },
  world: { type: 'string', default: 'both' },
  seconds: { type: 'string' },
  minutes: { type: 'string' },
  rounds: { type: 'string' },
  events: { type: 'string' },
  rate: { type: 'string', default: '4000' },
  'no-poison': { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

type Values = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

async function main (): Promise<number> {
  const { values } = parseArgs({ options })
  const worlds = { postgres: ['postgres'], sqlite: ['sqlite'], both: ['sqlite', 'postgres'] }[values.world] as WorldName[] | undefined
  if (values.help || worlds === undefined) {
    process.stderr.write(USAGE)
    return values.help ? 0 : 1
  }
  const results: EpisodeResult[] = []
  for (const { seed, goal } of schedule(values)) {
    for (const world of worlds) {
      results.push(await episode({
        seed,
        world,
        goal: share(goal, worlds.length),
        perSecond: Number(values.rate),
        poison: !values['no-poison'],
        say: (line) => process.stderr.write(`${line}\n`)
      }))
      for (const problem of results.at(-1)!.problems) process.stderr.write(`PROBLEM seed ${seed}, ${world}: ${problem}\n`)
    }
  }
  const report = summarise(results)
  process.stdout.write(`${values.json ? JSON.stringify(report) : render(report)}\n`)
  return report.problems.length === 0 ? 0 : 1
}

function schedule (values: Values): { seed: number, goal: Goal }[] {
  const first = Number(values.seed ?? Date.now() % 1e6)
  const minutes = Number(values.minutes ?? 0)
  const seeds = Number(values.seeds ?? Math.max(1, Math.ceil(minutes)))
  const goal: Goal = {
    ...values.rounds === undefined ? {} : { rounds: Number(values.rounds) },
    ...values.events === undefined ? {} : { events: Number(values.events) },
    ...values.seconds === undefined ? {} : { seconds: Number(values.seconds) },
    ...minutes === 0 ? {} : { seconds: minutes * 60 / seeds }
  }
  if (Object.keys(goal).length === 0) goal.seconds = 60
  return Array.from({ length: seeds }, (_, index) => ({ seed: first + index, goal }))
}

function share (goal: Goal, parts: number): Goal {
  return Object.fromEntries(Object.entries(goal).map(([name, value]) => [name, Math.ceil(value / parts)]))
}

if (import.meta.main) process.exitCode = await main()
