import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import type { CellResult } from '../test/services/redis/matrix/cell.ts'
import { allCells, nameOf, Worlds } from '../test/services/redis/matrix/matrix.ts'
import type { Cell } from '../test/services/redis/matrix/matrix.ts'
import { topologies } from '../test/services/redis/matrix/worlds.ts'
import { Cleanup } from './bench/service.ts'
import { measureBounds } from './failure-matrix/bounds.ts'
import type { BoundsResult } from './failure-matrix/bounds.ts'
import { document } from './failure-matrix/document.ts'

/**
 * Every fault in every situation on every topology, with the timeouts that the service has by default, and a table of what came of it:
 * `npm run failure-matrix -- [--rounds 2] [--only 'cluster × BUSY'] [--failed] [--sequential] [--bounds]`. Results are kept, so that
 * those that failed can be run again by themselves; the document always shows all that is known.
 */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '1' },
    only: { type: 'string' },
    failed: { type: 'boolean', default: false },
    sequential: { type: 'boolean', default: false },
    bounds: { type: 'boolean', default: false }
  }
})
const OUTAGES_MS = [600, 2500]
const BOUNDS = { commandTimeoutMs: 500, connectTimeoutMs: 1000, airMs: 25, recoveryMs: { short: 250, long: 1200 }, closeMs: 500 }
/** A run in which this process was held up for so long has measured that. */
const STALL_MS = 20
const ATTEMPTS = 4
const RESULTS = new URL('../data/failure-matrix.json', import.meta.url)
const DOCUMENT = new URL('../docs/failure-matrix.md', import.meta.url)

export interface Results {
  /** By the name of the cell: one for each round and outage. */
  cells: Record<string, CellResult[]>
  bounds: BoundsResult[]
}

async function save (): Promise<void> {
  await mkdir(new URL('.', RESULTS), { recursive: true })
  await writeFile(RESULTS, JSON.stringify(results))
}

const results: Results = await readFile(RESULTS, 'utf8').then((text) => JSON.parse(text) as Results, () => ({ cells: {}, bounds: [] }))

function isWanted (cell: Cell): boolean {
  const name = nameOf(cell)
  if (values.only !== undefined && !new RegExp(values.only).test(name)) return false
  return !values.failed || (results.cells[name] ?? [{ problems: ['never run'] }]).some(({ problems }) => problems.length > 0)
}

async function examine (worlds: Worlds, cell: Cell, outageMs: number): Promise<CellResult> {
  for (let attempt = 1; ; attempt++) {
    const result = await worlds.run(cell, outageMs, BOUNDS)
    const onlyTime = result.problems.every((problem) => /^(slow|late)/.test(problem))
    if (result.problems.length === 0 || !onlyTime || result.stallMs < STALL_MS || attempt === ATTEMPTS) return result
  }
}

async function runLane (worlds: Worlds, cells: Cell[]): Promise<void> {
  for (const cell of cells) {
    const name = nameOf(cell)
    const runs: CellResult[] = []
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const outageMs of OUTAGES_MS) runs.push(await examine(worlds, cell, outageMs))
    }
    results.cells[name] = runs
    await save()
    const problems = [...new Set(runs.flatMap((run) => run.problems))]
    console.log(problems.length === 0 ? 'ok  ' : 'FAIL', name, runs.map(({ codes, recoveryMs }) => `${codes.join()} ${recoveryMs.toFixed(0)} ms`).join(' | '))
    for (const problem of problems) console.log('      ', problem)
  }
}

const cleanup = new Cleanup()
try {
  if (!values.bounds) {
    const worlds = new Worlds(cleanup)
    const cells = allCells().filter(isWanted)
    const lanes = values.sequential ? [cells] : topologies.map((topology) => cells.filter((cell) => cell.topology === topology))
    await Promise.all(lanes.map((lane) => runLane(worlds, lane)))
  }
  if (values.bounds || (values.only === undefined && !values.failed)) results.bounds = await measureBounds()
} finally {
  await cleanup.run()
  await save()
  await writeFile(DOCUMENT, document(results, BOUNDS))
}
const failed = allCells().map(nameOf).filter((name) => results.cells[name]?.some(({ problems }) => problems.length > 0))
console.log(failed.length === 0 ? 'all passed' : `${failed.length} failed:\n${failed.join('\n')}`)
// What a cell that could not be examined has left behind must not keep the process.
process.exit(failed.length === 0 && results.bounds.every(({ pass }) => pass) ? 0 : 1)
