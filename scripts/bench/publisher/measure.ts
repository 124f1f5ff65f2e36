import { monitorEventLoopDelay } from 'node:perf_hooks'

export interface Load {
  perSecond: number
  /** Of one call, in ms. */
  p99Ms: number
  /** Of the event loop, in ms, where the timer's own period of 1 ms is not a delay. */
  loopP99Ms: number
}

/** Keeps `concurrency` calls under way, each worth `messages` messages. */
export async function load (call: () => Promise<unknown>, concurrency: number, durationMs: number, messages = 1): Promise<Load> {
  const latencies: number[] = []
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const startedAt = performance.now()
  const caller = async (): Promise<void> => {
    for (let now = performance.now(); now - startedAt < durationMs;) {
      await call()
      const end = performance.now()
      latencies.push(end - now)
      now = end
    }
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
  const seconds = (performance.now() - startedAt) / 1000
  delay.disable()
  return { perSecond: latencies.length * messages / seconds, p99Ms: quantile(latencies, 0.99), loopP99Ms: Math.max(0, delay.percentile(99) / 1e6 - 1) }
}

export function quantile (values: number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

let count = 0

/** A message of 1 KB as a producer would have made it, each with an id of its own. */
export function message (): { id: string, body: string } {
  const id = String(++count).padStart(12, '0')
  return { id, body: `{"message_id":"${id}","payload":{"model_id":"churn","filler":"${'x'.repeat(950)}"}}` }
}
