import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { TObject, TSchema } from '@sinclair/typebox'

/** Documents made of the sources: `docs/plugins.md` of the plugins' schemas and declarations, `docs/errors.md` of every errors.ts. */
const root = resolve(import.meta.dirname, '..')

/** Where a plugin is explained; those that are not here are explained by their own text. */
const guides: Record<string, string> = {
  auth: 'security.md',
  cache: 'cache.md',
  config: 'configuration.md',
  consumer: 'consumers.md',
  health: 'health.md',
  metrics: 'metrics.md',
  openapi: 'api.md',
  pressure: 'health.md#load-shedding',
  publisher: 'publishing.md',
  redis: 'redis-client.md',
  store: 'messages.md',
  tasks: 'consumers.md#tasks',
  tracing: 'tracing.md'
}

const load = async (file: string) => await import(pathToFileURL(join(root, file)).href) as Record<string, unknown>
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

/** The text of a comment, without its stars and tags. */
function prose (comment: string): string {
  return comment.replaceAll(/^\s*\/?\*+\/? ?|\*\/\s*$/gm, '').split(/^@/m)[0]!.replaceAll(/\s+/g, ' ').trim()
}

function commentBefore (source: string, declaration: RegExp): string {
  const at = source.search(declaration)
  const comment = /\/\*\*(?:(?!\*\/)[^])*\*\/\n$/.exec(source.slice(0, at))
  return comment === null ? '' : prose(comment[0])
}

interface Decorator { name: string, type: string, text: string }

/** What the plugin adds to Fastify's own interfaces, from its declaration. */
function decorators (source: string): Decorator[] {
  const declared = /^declare module 'fastify' \{\n([^]*?)^\}/m.exec(source)?.[1] ?? ''
  return [...declared.matchAll(/^ {2}interface (\w+)[^{]*\{\n([^]*?)^ {2}\}/gm)].flatMap(([, owner, body]) =>
    [...body!.matchAll(/((?: {4}\/\*\*(?:(?!\*\/)[^])*\*\/\n)?) {4}(\w+)\??: ([^\n]+)\n/g)].map(([, comment, name, type]) => (
      { name: `${holder(owner!)}.${name}`, type: type!, text: prose(comment!) }
    )))
}

function holder (owner: string): string {
  return { FastifyInstance: 'fastify', FastifyRequest: 'request', FastifyContextConfig: 'config' }[owner] ?? owner
}

/** As a reader would say it. */
function valuesOf (schema: TSchema): string {
  const { type, anyOf, const: only, minimum, maximum, items } = schema as { type?: string, anyOf?: TSchema[], const?: unknown, minimum?: number, maximum?: number, items?: TSchema }
  if (only !== undefined) return `\`${only}\``
  if (anyOf !== undefined) return anyOf.map(valuesOf).join(' or ')
  if (items !== undefined) return `list: ${valuesOf(items)}`
  if (type === undefined) return 'any'
  if (minimum === undefined && maximum === undefined) return type
  return `${type}, ${minimum === undefined ? '' : `≥ ${minimum}`}${maximum === undefined ? '' : `${minimum === undefined ? '' : ', '}≤ ${maximum}`}`
}

function optionRows (schema: TObject): string {
  return Object.entries(schema.properties).map(([name, option]) => `| \`${name}\` | ${cell(valuesOf(option))} | ${cell(option.description ?? '')} |\n`).join('')
}

async function pluginSection (file: string): Promise<string> {
  const name = basename(file, '.ts')
  const source = read(file)
  const schema = Object.entries(await load(file)).find(([key]) => key.endsWith('OptionsSchema'))?.[1] as TObject | undefined
  const added = decorators(source).map(({ name, type, text }) => `| \`${name}\` | \`${cell(type)}\` | ${cell(text)} |\n`).join('')
  return [
    `## ${name}\n\n\`import ${name} from 'fastify-breakwater/${name}'\`${name in guides ? ` · [guide](${guides[name]})` : ''}\n`,
    `${commentBefore(source, /^const plugin: /m)}\n`,
    ...added === '' ? [] : [`| decorates | type | |\n|---|---|---|\n${added}`],
    schema === undefined ? 'It has no options.\n' : `| option | values | |\n|---|---|---|\n${optionRows(schema)}`
  ].join('\n')
}

async function plugins (): Promise<string> {
  const files = globSync('plugins/*.ts', { cwd: root }).toSorted().filter((file) => read(file).includes('export default fp('))
  const sections = await Promise.all(files.map(pluginSection))
  return `# Plugins\n\n<!-- made by \`npm run docs:reference\` -->\n
Each is registered alone or with others, and every option may be left out. An unknown option, or a value that breaks its rule, is \`FST_BRK_OPTION_INVALID\`, which names all of them. What each may answer or throw is in
[errors.md](errors.md). Schemas are exported beside each plugin.\n\n${sections.join('\n')}`
}

interface Thrown { code: string, status: number, text: string, room: string }

/** Of a class whose constructor wants arguments: only its code, status and wording matter here. */
function instance (CodedError: new (...args: unknown[]) => Error): Error & { code?: string, statusCode?: number } {
  const blank = '…'
  for (const args of [[], [blank, blank, blank, blank], [{ name: blank, state: blank, retryAfterMs: 0 }], [[]]]) {
    try {
      const error = new CodedError(...args)
      if (!error.message.includes('undefined')) return error
    } catch {}
  }
  throw new Error(`${CodedError.name} cannot be made without knowing its arguments`)
}

async function thrownIn (file: string): Promise<Thrown[]> {
  const room = file.split('/').slice(0, 2).join('/')
  return Object.values(await load(file)).flatMap((exported) => {
    if (typeof exported !== 'function' || !(exported.prototype instanceof Error)) return []
    const { code, statusCode, message } = instance(exported as new () => Error)
    return code?.startsWith('FST_BRK_') === true ? [{ code, status: statusCode ?? 500, text: message.replaceAll('%s', '…').replace(/(?<=[.:]) …( …)*$/, ''), room }] : []
  })
}

async function errors (): Promise<string> {
  const files = globSync(['{services,plugins}/**/errors.ts', 'plugins/options.ts'], { cwd: root }).toSorted()
  const found = (await Promise.all(files.map(thrownIn))).flat()
  const unique = [...new Map(found.map((thrown) => [thrown.code, thrown])).values()].toSorted((a, b) => a.code < b.code ? -1 : 1)
  const rows = unique.map(({ code, status, text, room }) => `| \`${code}\` | ${status} | ${cell(text)} | \`${room}\` |\n`)
  return `# Errors\n\n<!-- made by \`npm run docs:reference\` -->\n
Every error has a \`code\` that does not change, a status, and a text that says what to do. Problems of the configuration (\`FST_BRK_CONFIG_…\`) are in [configuration.md](configuration.md), findings of the doctor in [doctor.md](doctor.md).
An HTTP answer is \`application/problem+json\` with the same code ([api.md](api.md)).\n
| code | status | text | from |\n|---|---|---|---|\n${rows.join('')}`
}

/** @returns the files that were out of date */
export async function generate ({ write }: { write: boolean }): Promise<string[]> {
  const stale: string[] = []
  for (const [file, text] of [['docs/plugins.md', await plugins()], ['docs/errors.md', await errors()]] as const) {
    let present = ''
    try {
      present = read(file)
    } catch {}
    if (present === text) continue
    stale.push(file)
    if (write) writeFileSync(join(root, file), text)
  }
  return stale
}

if (import.meta.main) for (const file of await generate({ write: true })) process.stdout.write(`${file} written\n`)
