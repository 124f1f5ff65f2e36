/** Breakwater's circuit breaker against opossum and cockatiel in one run: `node scripts/bench/breaker.ts [--json]`. */
import { parseArgs } from 'node:util'
import { closedBlocks, firstCalls, openBlocks, stopAll, storms } from './breaker/contenders.ts'
import { bytesPerCall, median, overhead, rounds, timersSetBy } from './breaker/measure.ts'

const stormSize = 20_000

interface Target {
  readonly what: string
  readonly value: number
  readonly atMost?: number
  readonly atLeast?: number
  readonly unit: string
}

interface Row {
  readonly path: string
  readonly contender: string
  readonly value: number
  readonly unit: string
}

async function measureClosed (rows: Row[], targets: Target[]): Promise<void> {
  const blocks = closedBlocks()
  const results = await rounds(blocks, 20_000, 60)
  const names = Object.keys(blocks) as Array<keyof typeof blocks>
  for (const contender of names) {
    rows.push({ path: 'closed, per call', contender, value: median(results.map(result => result[contender])), unit: 'ns' })
  }
  const over = (name: keyof typeof blocks) => overhead(results, name, 'bare')
  for (const contender of names) rows.push({ path: 'closed, overhead', contender, value: over(contender), unit: 'ns' })
  targets.push(
    { what: 'closed: overhead of run() / cockatiel', value: over('run') / over('cockatiel'), atMost: 3 / 4, unit: '' },
    { what: 'closed: overhead of run() / opossum', value: over('run') / over('opossum'), atMost: 1 / 6, unit: '' },
    { what: 'closed: overhead of allow() + succeed() / cockatiel', value: over('pair') / over('cockatiel'), atMost: 1 / 3, unit: '' })
  for (const contender of names) {
    rows.push({ path: 'closed, heap per call', contender, value: await bytesPerCall(blocks[contender]), unit: 'B' })
  }
}

async function measureOpen (rows: Row[], targets: Target[]): Promise<void> {
  const blocks = await openBlocks()
  const results = await rounds(blocks, 2000, 60)
  const perCall = (name: keyof typeof blocks) => median(results.map(result => result[name]))
  for (const contender of Object.keys(blocks) as Array<keyof typeof blocks>) {
    rows.push({ path: 'open, per rejection', contender, value: perCall(contender), unit: 'ns' })
  }
  targets.push(
    { what: 'open: cockatiel / run()', value: perCall('cockatiel') / perCall('run'), atLeast: 4, unit: 'x' },
    { what: 'open: opossum / run()', value: perCall('opossum') / perCall('run'), atLeast: 4, unit: 'x' })
}

async function measureStorms (rows: Row[], targets: Target[]): Promise<void> {
  const contenders = storms(stormSize)
  const medians: Record<string, number> = {}
  for (const contender of Object.keys(contenders) as Array<keyof typeof contenders>) {
    const tries: number[] = []
    // One of opossum's takes ten seconds; the others are repeated.
    for (let round = 0; round < (contender === 'opossum' ? 1 : 7); round++) tries.push(await contenders[contender]())
    medians[contender] = median(tries)
    rows.push({ path: `${stormSize} failures at once`, contender, value: medians[contender], unit: 'ms' })
  }
  targets.push(
    { what: `${stormSize} failures at once, run()`, value: medians['run']!, atMost: 200, unit: 'ms' },
    { what: `${stormSize} failures at once, all counted`, value: medians['runNeverOpens']!, atMost: 200, unit: 'ms' })
}

async function measureTimers (rows: Row[], targets: Target[]): Promise<void> {
  for (const [contender, action] of Object.entries(firstCalls)) {
    const value = await timersSetBy(action)
    rows.push({ path: 'timers set by a new breaker and its first call', contender, value, unit: '' })
    if (contender === 'breakwater') targets.push({ what: 'timers while closed', value, atMost: 0, unit: '' })
  }
}

function passes ({ value, atMost = Infinity, atLeast = -Infinity }: Target): boolean {
  return value <= atMost && value >= atLeast
}

function round (value: number): string {
  return value.toFixed(Math.abs(value) < 10 && !Number.isInteger(value) ? 2 : 0)
}

function print (rows: readonly Row[], targets: readonly Target[]): void {
  let path = ''
  for (const row of rows) {
    if (row.path !== path) console.log(`\n${path = row.path}`)
    console.log(`  ${row.contender.padEnd(16)}${round(row.value).padStart(8)} ${row.unit}`)
  }
  console.log('\ntargets')
  for (const target of targets) {
    const limit = target.atLeast === undefined ? `at most ${round(target.atMost!)}` : `at least ${round(target.atLeast)}`
    console.log(`  ${passes(target) ? 'PASS' : 'MISS'}  ${target.what}: ${round(target.value)}${target.unit} (${limit}${target.unit})`)
  }
}

async function main (): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } })
  const rows: Row[] = []
  const targets: Target[] = []
  await measureClosed(rows, targets)
  await measureOpen(rows, targets)
  await measureStorms(rows, targets)
  // Last: once async_hooks have been used, every promise of the process stays dearer.
  await measureTimers(rows, targets)
  stopAll()
  if (values.json) console.log(JSON.stringify({ node: process.version, rows, targets: targets.map(target => ({ ...target, pass: passes(target) })) }, null, 2))
  else print(rows, targets)
}

await main()
