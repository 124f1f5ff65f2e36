import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

/** Production source as a whole: a folder says what it is for. */
const whole = ['package.json', 'LICENSE', 'app.ts', 'server.ts', 'plugins', 'routes', 'services']
/** Folders of tools, of which only these and what they import belong into the image. */
const entries = ['scripts/breakwater.ts', 'deploy/image/health-check.ts']
const imports = /(?:\bfrom|\bimport)\s*\(?\s*'(\.{1,2}\/[^']+\.ts)'/g

/** Every file that the image holds besides packages, relative to `root`. */
export function sourcesOfImage (root: string): string[] {
  const found = new Set<string>()
  const visit = (file: string) => {
    const name = relative(root, file)
    if (found.has(name) || !existsSync(file)) return
    found.add(name)
    for (const [, target] of readFileSync(file, 'utf8').matchAll(imports)) visit(resolve(dirname(file), target!))
  }
  for (const entry of entries) visit(join(root, entry))
  for (const name of whole) for (const file of filesBelow(root, name)) found.add(file)
  return [...found].sort()
}

export function filesBelow (root: string, name: string): string[] {
  if (!statSync(join(root, name)).isDirectory()) return [name]
  return readdirSync(join(root, name)).flatMap(child => filesBelow(root, join(name, child)))
}
