import type { Bounds, CellResult } from '../../test/services/redis/matrix/cell.ts'
import { faults } from '../../test/services/redis/matrix/faults.ts'
import { situations } from '../../test/services/redis/matrix/situations.ts'
import { topologies } from '../../test/services/redis/matrix/worlds.ts'
import { machine, table } from '../bench/publisher/report.ts'
import type { Results } from '../failure-matrix.ts'
import { BOOT_BUDGET_MS } from './bounds.ts'
import { conclusion, introduction } from './prose.ts'

const SHORT_MS = 2000
const titles = { single: 'A single node', sentinel: 'Sentinel: a primary, two replicas, three sentinels', cluster: 'Cluster: three primaries, three replicas' }

const worst = (values: number[]) => values.length === 0 ? '–' : Math.round(Math.max(...values)).toString()

/** `code, ms to the slowest error; recovery in ms after a short / a long outage`. */
function cellText (runs: CellResult[] | undefined, { commandTimeoutMs }: Bounds): string {
  if (runs === undefined) return 'not run'
  const codes = [...new Set(runs.flatMap((run) => run.codes))].sort().join(', ')
  const errors = runs.flatMap(({ errorMs }) => errorMs === null ? [] : [Math.max(0, errorMs + commandTimeoutMs)])
  const recovery = (some: CellResult[]) => worst(some.map(({ recoveryMs, deliveredMs }) => Math.max(recoveryMs, deliveredMs ?? 0)))
  const times = `${recovery(runs.filter(({ outageMs }) => outageMs < SHORT_MS))} / ${recovery(runs.filter(({ outageMs }) => outageMs >= SHORT_MS))}`
  const text = `${codes === '' ? 'no error' : codes}, ${worst(errors)}; ${times}`
  return runs.every(({ problems }) => problems.length === 0) ? text : `**FAIL** ${text}`
}

/** The whole of docs/failure-matrix.md. */
export function document (results: Results, bounds: Bounds): string {
  const all = Object.values(results.cells)
  const passed = all.filter((runs) => runs.every(({ problems }) => problems.length === 0)).length
  const runs = all.reduce((sum, some) => sum + some.length, 0)
  const matrices = topologies.flatMap((topology) => [
    `### ${titles[topology]}`,
    table(['', ...situations.map(({ name }) => name)], faults.map(({ name }) => [
      name, ...situations.map((situation) => cellText(results.cells[`${topology} × ${name} × ${situation.name}`], bounds))
    ]))
  ])
  const ends = table(['Redis', 'boot ms', 'close ms', 'exit ms', ''], results.bounds.map(({ state, bootMs, closeMs, exitMs, exitCode, pass }) =>
    [state, bootMs.toFixed(0), closeMs.toFixed(0), exitMs.toFixed(0), pass ? 'PASS' : `MISS (exit code ${exitCode})`]))
  return [
    introduction(bounds, BOOT_BUDGET_MS),
    '## The matrix',
    `${passed} of ${faults.length * situations.length * topologies.length} cells passed, ${runs} runs. ${machine()}.`,
    ...matrices,
    '## Boot, close and exit',
    ends,
    conclusion,
    ''
  ].join('\n\n')
}
