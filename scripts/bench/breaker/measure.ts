import { createHook } from 'node:async_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Does its work `times` times, one after the other. */
export type Block = (times: number) => Promise<void>

export function median (values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

async function timeOf (block: Block, times: number): Promise<number> {
  const startedAt = performance.now()
  await block(times)
  return (performance.now() - startedAt) / times * 1e6
}

/** Nanoseconds per call of each block in each round. Interleaved, so that a slow moment of the machine hits all of them. */
export async function rounds<Name extends string> (blocks: Record<Name, Block>, times: number, count: number): Promise<Array<Record<Name, number>>> {
  const names = Object.keys(blocks) as Name[]
  const warmUp = Math.ceil(count / 4)
  const results: Array<Record<Name, number>> = []
  for (let round = -warmUp; round < count; round++) {
    const result = {} as Record<Name, number>
    // Another one goes first in each round.
    for (let index = 0; index < names.length; index++) {
      const name = names[(index + round + warmUp) % names.length]!
      result[name] = await timeOf(blocks[name], times)
    }
    if (round >= 0) results.push(result)
  }
  return results
}

/** The median of the differences within a round, not the difference of medians: what drifts between rounds cancels out. */
export function overhead<Name extends string> (results: ReadonlyArray<Record<Name, number>>, name: Name, bare: Name): number {
  return median(results.map(result => result[name] - result[bare]))
}

/** Heap bytes per call: growth over a block that is too short for a collection. */
export async function bytesPerCall (block: Block): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const times = 500
  const growths: number[] = []
  for (let round = 0; round < 15; round++) {
    collect()
    const before = process.memoryUsage().heapUsed
    await block(times)
    const growth = process.memoryUsage().heapUsed - before
    if (growth > 0) growths.push(growth / times)
  }
  return growths.length === 0 ? 0 : median(growths)
}

/** How many timers something sets, those included that keep no process alive. */
export async function timersSetBy (action: () => Promise<unknown>): Promise<number> {
  let count = 0
  const hook = createHook({ init: (_id, type) => { if (type === 'Timeout') count++ } }).enable()
  await action()
  hook.disable()
  return count
}
