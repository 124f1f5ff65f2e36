import { parseArgs } from 'node:util'
import { chaos } from './chaos/run.ts'

/** `npm run chaos -- --rounds 200 --seed 7`: real kills, freezes, flushes and failovers; exit code 1 if a single message is unaccounted for. */
async function main (): Promise<void> {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '200' }, seed: { type: 'string', default: String(Date.now()) } } })
  const tasks: (() => unknown)[] = []
  try {
    const result = await chaos({ teardown: (task) => { tasks.unshift(task) } }, {
      seed: Number(values.seed), rounds: Number(values.rounds), say: (line) => process.stderr.write(`${line}\n`)
    })
    process.stdout.write(`${JSON.stringify({ seed: Number(values.seed), ...result })}\n`)
    process.exitCode = result.problems.length === 0 ? 0 : 1
  } finally {
    for (const task of tasks) await task()
  }
}

if (import.meta.main) await main()
