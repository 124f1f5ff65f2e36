import { globSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

interface Manifest { exports: Record<string, string | { types: string }> }

const RELATIVE_IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*['"](\.[^'"]+)\.[jt]s['"]/g

/** Deletes the declarations that nobody can reach: two thirds of what the compiler writes. @returns their names. */
export function pruneDeclarations (root: string): string[] {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
  const reached = new Set<string>()
  for (const entry of Object.values(exports)) if (typeof entry === 'object') reach(resolve(root, entry.types), reached)
  const unreached = globSync('dist/**/*.d.ts', { cwd: root }).filter(file => !reached.has(resolve(root, file)))
  for (const file of unreached) rmSync(join(root, file))
  return unreached
}

function reach (file: string, reached: Set<string>): void {
  if (reached.has(file)) return
  reached.add(file)
  const imports = readFileSync(file, 'utf8').matchAll(RELATIVE_IMPORT)
  for (const [, path] of imports) reach(resolve(dirname(file), `${path}.d.ts`), reached)
}

if (import.meta.main) pruneDeclarations(join(import.meta.dirname, '..'))
