import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import typescript from 'typescript-6'
import { temporaryDirectory } from './temporary.ts'
import type { Teardown } from './redis-server.ts'

const binaries = join(import.meta.dirname, '../../node_modules/.bin')

export interface GeneratedClient {
  /** The generated class. */
  Api: new (options: { baseUrl: string, customFetch?: typeof fetch, securityWorker?: (key: string) => object, baseApiParams?: object }) => any
  /** Compiles a program that uses the generated file as `./api.ts`, strictly; what the compiler says. */
  compile (program: string): Promise<string>
}

/** The client that a standard generator makes of the document at this address; the command is the one of docs/api.md. */
export async function generateClient (t: Teardown, documentUrl: string): Promise<GeneratedClient> {
  const directory = await temporaryDirectory(t)
  await run('swagger-typescript-api', ['generate', '--path', documentUrl, '--output', directory, '--name', 'api.ts', '--silent'])
  await writeFile(join(directory, 'package.json'), '{ "type": "module" }')
  const file = join(directory, 'api.ts')
  // The generator tells the compiler to look away.
  const source = (await readFile(file, 'utf8')).replace('// @ts-nocheck', '')
  await writeFile(file, source)
  const { outputText } = typescript.transpileModule(source, { compilerOptions: { module: typescript.ModuleKind.ESNext, target: typescript.ScriptTarget.ES2022 } })
  await writeFile(join(directory, 'api.mjs'), outputText)
  const { Api } = await import(pathToFileURL(join(directory, 'api.mjs')).href) as Pick<GeneratedClient, 'Api'>
  const compile = async (program: string) => {
    await writeFile(join(directory, 'program.ts'), program)
    const options = ['--ignoreConfig', '--noEmit', '--strict', '--target', 'es2024', '--module', 'nodenext', '--lib', 'es2024,dom', '--types', '', '--allowImportingTsExtensions']
    return await run('tsc', [...options, join(directory, 'program.ts')])
  }
  return { Api, compile }
}

/** What the command printed; a generator that fails fails the test. Neither can run under the loader that tap puts into NODE_OPTIONS. */
async function run (command: string, args: string[]): Promise<string> {
  const line = ['-c', 'unset NODE_OPTIONS; exec "$@"', 'sh', process.execPath, join(binaries, command), ...args]
  const child = spawn('sh', line, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { output += text })
  const [code] = await once(child, 'close') as [number]
  if (code !== 0 && command !== 'tsc') throw new Error(`${command} exited with ${code}: ${output}`)
  return output
}
