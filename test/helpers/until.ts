import { setTimeout as delay } from 'node:timers/promises'

/** Polls until the probe has a value that is not falsy, and returns it; fails, quoting the probe, when it has none in time. */
export async function until<T> (probe: () => T | Promise<T>, timeoutMs = 20_000): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await probe()
    if (value) return value
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${probe}`)
    await delay(5)
  }
}
