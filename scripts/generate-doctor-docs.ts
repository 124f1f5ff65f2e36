import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fillCodeTables } from '../services/doctor/codes.ts'

/** Writes the tables of codes into docs/doctor.md. */
export function generate (root: string): void {
  const file = join(root, 'docs/doctor.md')
  writeFileSync(file, fillCodeTables(readFileSync(file, 'utf8')))
}

if (import.meta.main) generate(join(import.meta.dirname, '..'))
