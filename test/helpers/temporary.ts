import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Teardown } from './redis-server.ts'

/** A folder that goes when the test ends. */
export async function temporaryDirectory (t: Teardown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'breakwater-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}

/** Waits for something that is about to become true; fails by its name when it does not within `timeoutMs`. */
export async function until (what: string, condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!await condition()) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`)
    await delay(5)
  }
}
