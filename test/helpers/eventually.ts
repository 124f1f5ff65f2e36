import { setTimeout as delay } from 'node:timers/promises'

/** Polls until the condition holds; fails with the last error or a timeout. */
export async function eventually (condition: () => boolean | Promise<boolean>, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!await condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs} ms: ${condition}`)
    await delay(5)
  }
}
