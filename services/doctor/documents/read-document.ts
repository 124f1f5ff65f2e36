import { readFile } from 'node:fs/promises'
import { DocumentUnreadable } from '../errors.ts'
import { Field, isMap } from './field.ts'
import type { Path } from './field.ts'
import { resolveTemplate } from './intrinsics.ts'
import { jsonLines } from './json-lines.ts'
import { parseYaml } from './yaml.ts'

/** Far larger than anything that the AWS APIs take. */
const LARGEST_FILE = 8 * 2 ** 20

/**
 * Reads JSON or YAML. In a CloudFormation template, functions are resolved with the parameters' defaults and `parameters`; what stays
 * open is `UNKNOWN`.
 * @throws FST_BRK_DOCTOR_FILE
 */
export async function readDocument (file: string, parameters: Record<string, string> = {}): Promise<Field> {
  const text = await readFile(file, 'utf8').catch((err: NodeJS.ErrnoException) => { throw new DocumentUnreadable(file, err.code ?? 'unreadable') })
  return await parseDocument(text.replace(/^\uFEFF/, ''), file, parameters)
}

/** As {@link readDocument}, from a text. */
export async function parseDocument (text: string, file: string, parameters: Record<string, string> = {}): Promise<Field> {
  if (text.trim() === '') throw new DocumentUnreadable(file, 'it is empty')
  if (text.length > LARGEST_FILE) throw new DocumentUnreadable(file, 'it is larger than 8 MiB')
  const { value, lineOf } = /^\s*[[{]/.test(text) ? parseJson(text, file) : await parseYaml(text, file)
  if (typeof value !== 'object' || value === null) throw new DocumentUnreadable(file, 'it is neither a JSON object nor a template')
  const resolved = isMap(value) && isMap(value.Resources) ? resolveTemplate(value, parameters) : value
  return new Field({ file, original: value, lineOf: (path) => nearestLine(lineOf, path) }, [], resolved)
}

function parseJson (text: string, file: string): { value: unknown, lineOf: (path: Path) => number | null } {
  try {
    return { value: JSON.parse(text), lineOf: jsonLines(text) }
  } catch (err) {
    // The message quotes the text, and the text may hold secrets.
    const [, position = ''] = /position (\d+)/.exec((err as Error).message) ?? []
    const line = position === '' ? '' : `, line ${text.slice(0, Number(position)).split('\n').length}`
    throw new DocumentUnreadable(file, `it is not JSON${line}`)
  }
}

/** Of what is there: a field that is missing belongs to the line of what it is missing in. */
function nearestLine (lineOf: (path: Path) => number | null, path: Path): number | null {
  for (let length = path.length; length >= 0; length--) {
    const line = lineOf(path.slice(0, length))
    if (line !== null) return line
  }
  return null
}
