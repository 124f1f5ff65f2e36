import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { publishedSchemas } from '../services/queue/published-schemas.ts'

/** Writes the schemas of the messages that are out of date in `directory`, or only looks for them; returns their names. */
export function generateSchemas (directory: string, { write }: { write: boolean }): string[] {
  return Object.entries(publishedSchemas).filter(([name, schema]) => {
    const file = join(directory, `${name}.json`)
    const wanted = `${JSON.stringify(schema, null, 2)}\n`
    const stale = !existsSync(file) || readFileSync(file, 'utf8') !== wanted
    if (write && stale) {
      mkdirSync(directory, { recursive: true })
      writeFileSync(file, wanted)
    }
    return stale
  }).map(([name]) => name)
}

// With --check it only says whether the files are up to date.
if (import.meta.main) {
  const check = process.argv.includes('--check')
  const stale = generateSchemas(join(import.meta.dirname, '../schemas'), { write: !check })
  for (const name of stale) process.stdout.write(check ? `schemas/${name}.json is out of date. Run: npm run schemas\n` : `schemas/${name}.json written\n`)
  process.exitCode = check && stale.length > 0 ? 1 : 0
}
