import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Teardown } from './redis-server.ts'

/** A folder that goes when the test ends. */
export async function temporaryDirectory (t: Teardown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'breakwater-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  return directory
}
