import { Kind } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { Default } from '@sinclair/typebox/value'
import { quote } from './masking.ts'
import { QUOTATION_REMEDY } from './problems.ts'
import type { ProblemCode, Problems } from './problems.ts'
import { about, environmentSchema, variableNames } from './schema.ts'
import type { Environment, VariableName } from './schema.ts'

/** Environment variables, as `process.env` has them. */
export type Variables = Record<string, string | undefined>

const switches = new Map([
  ['true', true], ['1', true], ['yes', true], ['on', true],
  ['false', false], ['0', false], ['no', false], ['off', false]
])

const checks = new Map(variableNames.map(name => [name, TypeCompiler.Compile(environmentSchema.properties[name] as TSchema)]))

/** What the environment states and what is right of it; blank counts as unset. */
export function readStated (env: Variables, names: readonly VariableName[], problems: Problems): Partial<Environment> {
  const stated: Record<string, unknown> = {}
  for (const name of names) {
    const text = readText(env, name)
    if (text === null) continue
    const value = coerce(name, text)
    if (checks.get(name)!.Check(value)) stated[name] = value
    else reportValue(name, text, problems)
  }
  return stated as Partial<Environment>
}

export function withDefaults (stated: Partial<Environment>): Environment {
  return Default(environmentSchema, { ...stated }) as Environment
}

/** What a value of this variable must be, in words: `an integer from 1 to 65535`. */
export function expectation (name: VariableName): string {
  const schema = environmentSchema.properties[name] as TSchema
  if (schema[Kind] === 'Boolean') return [...switches.keys()].join(', ')
  if (schema[Kind] === 'Integer') return `an integer from ${schema.minimum} to ${schema.maximum}`
  if (schema[Kind] === 'Union') return choices(schema).join(', ')
  return schema.pattern === undefined ? 'text' : 'text without spaces and braces'
}

function readText (env: Variables, name: VariableName): string | null {
  const raw = env[name]
  if (raw === undefined || raw === null || String(raw).trim() === '') return null
  // A line break at the end is what `echo token | base64` leaves; no token has one.
  return about(name).literal ? String(raw).replace(/^[\r\n]+|[\r\n]+$/g, '') : String(raw).trim()
}

function coerce (name: VariableName, text: string): unknown {
  const schema = environmentSchema.properties[name] as TSchema
  if (schema[Kind] === 'Boolean') return switches.get(text.toLowerCase())
  if (schema[Kind] === 'Integer') return /^-?\d+$/.test(text) ? Number(text) : undefined
  if (schema[Kind] === 'Union') return text.toLowerCase()
  return text
}

function choices (schema: TSchema): string[] {
  return schema.anyOf.map((literal: { const: string }) => literal.const)
}

function reportValue (name: VariableName, text: string, problems: Problems): void {
  const message = `${name} is ${quote(text)}; it must be ${oneOf(name)}${expectation(name)}.`
  problems.add(codeFor(name), name, message, hint(text))
}

function oneOf (name: VariableName): string {
  return ['Boolean', 'Union'].includes((environmentSchema.properties[name] as TSchema)[Kind]) ? 'one of ' : ''
}

function codeFor (name: VariableName): ProblemCode {
  if (name === 'REDIS_DB') return 'FST_BRK_CONFIG_DB'
  if (name.endsWith('PORT')) return 'FST_BRK_CONFIG_PORT'
  const kind = (environmentSchema.properties[name] as TSchema)[Kind]
  return kind === 'Boolean'
    ? 'FST_BRK_CONFIG_BOOLEAN'
    : kind === 'Integer' ? 'FST_BRK_CONFIG_INTEGER' : kind === 'Union' ? 'FST_BRK_CONFIG_CHOICE' : 'FST_BRK_CONFIG_TEXT'
}

function hint (text: string): string | undefined {
  if (/^["'].*["']$/.test(text)) return QUOTATION_REMEDY
  // Kubernetes adds REDIS_PORT=tcp://… to every pod beside a service named redis.
  if (/^tcp:\/\//.test(text)) return 'This looks like a Kubernetes service link: set enableServiceLinks: false in the pod, or set the variable yourself.'
  return undefined
}
