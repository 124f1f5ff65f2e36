import { execFile } from 'node:child_process'
import { cpSync, globSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { temporaryDirectory } from './temporary.ts'
import type { Teardown } from './redis-server.ts'

const root = resolve(import.meta.dirname, '../..')
const NPM_DEADLINE_MS = 120_000

interface PackedFile { path: string, size: number }

/** The package as another service gets it: packed, and installed in an empty project, without any optional peer. */
export interface InstalledPackage {
  /** The project. The examples are in `examples/`, as if somebody had copied them. */
  directory: string
  tarball: { size: number, files: PackedFile[] }
  manifest: Record<string, any>
  /** A module as a file of the project would import it. */
  load (specifier: string): Promise<any>
}

export async function installPackage (t: Teardown): Promise<InstalledPackage> {
  const directory = await temporaryDirectory(t)
  if (!isBuilt()) await npm(root, 'run', '--silent', 'build')
  const [packed] = JSON.parse(await npm(root, 'pack', '--json', '--ignore-scripts', '--pack-destination', directory))
  // The compiler and the types of Node are what a TypeScript project has anyway; ioredis and pino are used by an example.
  const others = ['fastify', 'ioredis', 'pino', '@types/node'].map(name => `${name}@${installedVersion(name)}`)
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  await npm(directory, 'install', '--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts', `./${packed.filename}`, ...others)
  cpSync(join(root, 'examples'), join(directory, 'examples'), { recursive: true })
  const from = createRequire(join(directory, 'examples/any.js'))
  return {
    directory,
    tarball: packed,
    manifest: from('fastify-breakwater/package.json'),
    load: async (specifier) => await import(pathToFileURL(from.resolve(specifier)).href)
  }
}

/** The environment of a shell, without what npm puts into that of a test. */
export function plainEnvironment (overrides: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: process.env.HOME, ...overrides }
}

/** tap puts its loader into every process that a test starts, whatever the environment says: `spawn(...plainly(command, args))` takes it out. */
export function plainly (command: string, args: string[]): [string, string[]] {
  return ['env', ['-u', 'NODE_OPTIONS', command, ...args]]
}

/** `npm test` has built it a moment ago. */
function isBuilt (): boolean {
  const built = statSync(join(root, 'dist/index.js'), { throwIfNoEntry: false })?.mtimeMs ?? 0
  const sources = globSync(['package.json', 'tsconfig*.json', 'index.ts', '{plugins,services,scripts}/**/*.ts'], { cwd: root })
  return sources.every(file => statSync(join(root, file)).mtimeMs < built)
}

function installedVersion (name: string): string {
  return JSON.parse(readFileSync(join(root, 'node_modules', name, 'package.json'), 'utf8')).version
}

async function npm (cwd: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(...plainly('npm', args), { cwd, env: plainEnvironment(), timeout: NPM_DEADLINE_MS, maxBuffer: 2 ** 24 })
  return stdout
}
