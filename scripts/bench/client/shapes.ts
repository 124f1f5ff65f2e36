import type { Contender } from './contenders.ts'

export const VALUE = 'x'.repeat(32)

/** Runs about so many commands and resolves to how many it were; `observe` gets the latency of every call, in ms. */
export type Shape = (contender: Contender, commands: number, observe: (ms: number) => void) => Promise<number>

async function worker (calls: number, call: () => Promise<unknown>, observe: (ms: number) => void): Promise<void> {
  for (let n = 0; n < calls; n++) {
    const startedAt = performance.now()
    await call()
    observe(performance.now() - startedAt)
  }
}

function concurrent (workers: number, call: (contender: Contender) => Promise<unknown>): Shape {
  return async (contender, commands, observe) => {
    const calls = Math.max(1, Math.round(commands / workers))
    await Promise.all(Array.from({ length: workers }, () => worker(calls, () => call(contender), observe)))
    return calls * workers
  }
}

function pipelined (size: number): Shape {
  return async (contender, commands, observe) => {
    const batches = Math.max(1, Math.round(commands / size))
    await worker(batches, () => contender.pipeline(size), observe)
    return batches * size
  }
}

export const shapes: Record<string, Shape> = {
  sequential: concurrent(1, (contender) => contender.get('key')),
  '100 concurrent': concurrent(100, (contender) => contender.get('key')),
  '1000 concurrent': concurrent(1000, (contender) => contender.set('key', VALUE)),
  'pipeline of 100': pipelined(100),
  'pipeline of 1000': pipelined(1000)
}
