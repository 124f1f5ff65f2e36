import { setTimeout as delay } from 'node:timers/promises'

/** Polls until the probe has a value, and returns it; fails after the deadline. Slow processes get more time than `eventually()` gives. */
export async function until<T> (probe: () => T | Promise<T>, timeoutMs = 20_000): Promise<NonNullable<T>> {
  const giveUpAt = performance.now() + timeoutMs
  while (performance.now() < giveUpAt) {
    const value = await probe()
    if (value) return value
    await delay(20)
  }
  throw new Error(`not within ${timeoutMs} ms: ${probe}`)
}
