import { isMap } from './field.ts'
import type { Field } from './field.ts'

/** Parameters that were exported from SSM. */
export interface Parameters {
  list: Parameter[]
  /** Names that were asked for and are not there. */
  missing: Field[]
}

export interface Parameter {
  name: string
  /** The variable that its name stands for: the last part of the path. */
  variable: string
  field: Field
  /** Null: encrypted, or not in the file. */
  value: Field | null
}

/** How the ciphertext of a SecureString begins, where it was exported without decryption. */
const CIPHERTEXT = /^AQICA/

/** Output of `get-parameters`, `get-parameters-by-path` or `get-parameter`; null for anything else. */
export function readParameters (document: Field): Parameters | null {
  const single = document.at('Parameter')
  const fields = Array.isArray(document.value) ? document.items : single.absent ? document.at('Parameters').items : [single]
  const missing = document.at('InvalidParameters').items
  const list = fields.filter(({ value }) => isMap(value)).flatMap((field) => {
    const name = field.at('Name').text
    const value = field.at('Value')
    return name === null ? [] : [{ name, field, variable: variableOf(name), value: value.text === null || CIPHERTEXT.test(value.text) ? null : value }]
  })
  return list.length === 0 && missing.length === 0 && document.at('Parameters').absent ? null : { list, missing }
}

export function variableOf (name: string): string {
  return name.split('/').at(-1)!.replace(/[-.]/g, '_').toUpperCase()
}

/** By name or ARN; a name without a path has no slash at its beginning, its ARN has one anyway. */
export function findParameter ({ list }: Parameters, reference: string): Parameter | null {
  const wanted = nameIn(reference)
  return list.find(({ name }) => name.replace(/^\//, '') === wanted) ?? null
}

export function nameIn (reference: string): string {
  return reference.replace(/^arn:[^:]+:ssm:[^:]*:[^:]*:parameter/, '').replace(/^\//, '')
}
