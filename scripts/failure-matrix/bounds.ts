import { farewell, states } from '../../test/services/redis/states.ts'
import type { RedisState } from '../../test/services/redis/states.ts'
import { Subject } from '../../test/services/redis/subject-process.ts'
import { Cleanup } from '../bench/service.ts'

/** Boot, close and exit of a process of its own in one state of Redis. */
export interface BoundsResult {
  state: string
  bootMs: number
  closeMs: number
  exitMs: number
  exitCode: number | null
  pass: boolean
}

export const BOOT_BUDGET_MS = 1000
const BOOT_AIR_MS = 50
const CLOSE_MS = 500

/** With a command on its way, in the middle of the trouble. */
async function measure (state: RedisState): Promise<BoundsResult> {
  const cleanup = new Cleanup()
  try {
    const trouble = await state.set(cleanup)
    const subject = new Subject(cleanup, trouble, { bootBudgetMs: BOOT_BUDGET_MS })
    const { ms: bootMs } = await subject.boot()
    await trouble.begin?.()
    const pending = subject.attempt().catch(() => {})
    const { closeMs, exitMs, exitCode, stderr } = await subject.close()
    await pending
    const pass = bootMs <= BOOT_BUDGET_MS + BOOT_AIR_MS && closeMs <= CLOSE_MS && exitCode === 0 && stderr === ''
    return { state: state.name, bootMs, closeMs, exitMs, exitCode, pass }
  } finally {
    await cleanup.run()
  }
}

export async function measureBounds (): Promise<BoundsResult[]> {
  const results: BoundsResult[] = []
  for (const state of [...states, farewell]) {
    const result = await measure(state)
    results.push(result)
    console.log(result.pass ? 'ok  ' : 'FAIL', state.name, `boot ${result.bootMs.toFixed(0)} ms, close ${result.closeMs.toFixed(0)} ms, exit ${result.exitMs.toFixed(0)} ms`)
  }
  return results
}
