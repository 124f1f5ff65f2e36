import type { TSchema } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import type { ValueError } from '@sinclair/typebox/errors'
import { ValueErrorType } from '@sinclair/typebox/errors'
import { nearest } from '../naming/nearest.ts'
import { RequestInvalid } from './errors.ts'
import type { RequestProblem } from './errors.ts'

/** Fastify's name for a part of the request, and ours. */
const PARTS: Record<string, RequestProblem['in']> = {
  body: 'body', querystring: 'query', params: 'path', headers: 'header'
}

const RULES: Partial<Record<ValueErrorType, string>> = {
  [ValueErrorType.ObjectRequiredProperty]: 'required',
  [ValueErrorType.ObjectAdditionalProperties]: 'additionalProperties',
  [ValueErrorType.ObjectMinProperties]: 'minProperties',
  [ValueErrorType.ObjectMaxProperties]: 'maxProperties',
  [ValueErrorType.ArrayMinItems]: 'minItems',
  [ValueErrorType.ArrayMaxItems]: 'maxItems',
  [ValueErrorType.Literal]: 'const',
  [ValueErrorType.StringMinLength]: 'minLength',
  [ValueErrorType.StringMaxLength]: 'maxLength',
  [ValueErrorType.StringPattern]: 'pattern',
  [ValueErrorType.IntegerMinimum]: 'minimum',
  [ValueErrorType.IntegerMaximum]: 'maximum'
}

/** A body of a thousand unknown fields must not cost a thousand comparisons and a megabyte of answer. */
const MAX_PROBLEMS = 100
const MAX_NAME_LENGTH = 128

export type RequestError = Error & { code: string, problems: RequestProblem[] }
export type Validated = { value: unknown } | { error: RequestError }

/** The coded 400 that carries every problem found. */
export function requestInvalid (problems: RequestProblem[]): RequestError {
  const summary = problems.slice(0, 3).map(({ message }) => message).join('; ')
  const rest = problems.length > 3 ? `; and ${problems.length - 3} more` : ''
  // Not enumerable, and so not in the log: its length is up to the caller.
  return Object.defineProperty(new RequestInvalid(summary + rest), 'problems', { value: problems }) as unknown as RequestError
}

/**
 * A Fastify validator compiler that reports every problem at once, never turns a body's string into a number,
 * never drops a field, and takes only finite numbers. Bodies have their strings trimmed; query strings, which know
 * nothing but strings, have integers and defaults filled in.
 */
export function requestValidator ({ schema, httpPart }: { schema: unknown, httpPart?: string | undefined }): (value: unknown) => Validated {
  const typed = schema as TSchema
  const part = PARTS[httpPart ?? 'body'] ?? 'body'
  const compiled = TypeCompiler.Compile(typed)
  return (raw) => {
    const value = prepare(typed, part, raw)
    if (compiled.Check(value)) return { value }
    return { error: requestInvalid(collect(compiled.Errors(value), part)) }
  }
}

function prepare (schema: TSchema, part: RequestProblem['in'], raw: unknown): unknown {
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return raw
  if (part === 'body') return trimStrings(raw as Record<string, unknown>)
  if (part === 'query') return withIntegersAndDefaults(schema, raw)
  return raw
}

/** In place: the body was parsed for this request alone. */
function trimStrings (body: Record<string, unknown>): object {
  for (const [key, value] of Object.entries(body)) {
    if (typeof value === 'string') body[key] = value.trim()
  }
  return body
}

function withIntegersAndDefaults (schema: TSchema, raw: object): object {
  const query: Record<string, unknown> = { ...raw }
  for (const [name, property] of Object.entries<TSchema>(schema.properties)) {
    const value = query[name]
    if (value === undefined && property.default !== undefined) query[name] = property.default
    if (property.type === 'integer' && typeof value === 'string' && /^-?\d{1,9}$/.test(value)) query[name] = Number(value)
  }
  return query
}

function collect (errors: Iterable<ValueError>, part: RequestProblem['in']): RequestProblem[] {
  const problems = new Map<string, RequestProblem>()
  for (const error of errors) {
    // The first problem of a place explains the others: what is missing has no type, what is empty has no form.
    if (!problems.has(error.path)) problems.set(error.path, describe(error, part))
    if (problems.size === MAX_PROBLEMS) break
  }
  return [...problems.values()]
}

function describe (error: ValueError, part: RequestProblem['in']): RequestProblem {
  const path = error.path.slice(0, MAX_NAME_LENGTH)
  const rule = RULES[error.type] ?? 'type'
  const name = path === '' ? `the ${part}` : readable(path.slice(1))
  return { in: part, path, rule, message: `${name} ${explain(rule, name, error)}` }
}

function explain (rule: string, name: string, { schema, value }: ValueError): string {
  switch (rule) {
    case 'required': return 'is required'
    case 'additionalProperties': return unknownField(name, Object.keys(schema.properties))
    case 'minProperties': return `must have at least ${entries(schema.minProperties)}`
    case 'maxProperties': return `must have at most ${entries(schema.maxProperties)}`
    case 'minItems': return `must have at least ${entries(schema.minItems)}`
    case 'maxItems': return `must have at most ${entries(schema.maxItems)}`
    case 'const': return `must be ${JSON.stringify(schema.const)}`
    case 'minLength': return 'must not be empty'
    case 'maxLength': return `must have at most ${schema.maxLength} characters`
    case 'minimum': return `must be at least ${schema.minimum}`
    case 'maximum': return `must be at most ${schema.maximum}`
    case 'pattern': return `must match ${schema.pattern}${schema.description === undefined ? '' : ` (${schema.description})`}`
    default: return `must be ${typeName(schema)}, not ${actualType(value)}`
  }
}

function entries (count: number): string {
  return count === 1 ? '1 entry' : `${count} entries`
}

function unknownField (name: string, known: string[]): string {
  const meant = nearest(name, known, Math.max(1, Math.floor(name.length / 3)))
  return meant === null ? 'is not a known field' : `is not a known field; did you mean ${meant}?`
}

function typeName (schema: TSchema): string {
  if (schema.type === 'number') return 'a finite number'
  return /^[aeiou]/.test(schema.type) ? `an ${schema.type}` : `a ${schema.type}`
}

function actualType (value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'absent'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number') return Number.isFinite(value) ? 'a number' : 'an infinite one'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** JSON Pointer escapes, undone for people. */
function readable (pointer: string): string {
  return pointer.replaceAll('~1', '/').replaceAll('~0', '~')
}
