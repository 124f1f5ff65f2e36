import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { envExample, fillMarkers } from '../services/config/documentation.ts'

const targets: { name: string, make: (present: string) => string }[] = [
  { name: '.env.example', make: envExample },
  { name: 'docs/configuration.md', make: fillMarkers }
]

/** Writes what is out of date under `root`, or only looks for it; returns the names of those files. */
export function generate (root: string, { write }: { write: boolean }): string[] {
  return targets.filter(({ name, make }) => {
    const file = join(root, name)
    const present = existsSync(file) ? readFileSync(file, 'utf8') : ''
    const wanted = make(present)
    if (write && present !== wanted) writeFileSync(file, wanted)
    return present !== wanted
  }).map(({ name }) => name)
}

// With --check it only says whether the files are up to date.
if (import.meta.main) {
  const check = process.argv.includes('--check')
  const stale = generate(join(import.meta.dirname, '..'), { write: !check })
  for (const name of stale) {
    process.stdout.write(check ? `${name} is out of date. Run: node scripts/generate-config-docs.ts\n` : `${name} written\n`)
  }
  process.exitCode = check && stale.length > 0 ? 1 : 0
}
