import { nearest } from '../naming/nearest.ts'

/** One option: its default and what a value must be. `undefined` always means "use the default". */
export interface OptionRule {
  readonly fallback?: unknown
  /** Completes the sentence "Option x must be …". */
  readonly rule: string
  readonly accepts: (value: unknown) => boolean
  readonly remedy: string
}

export type OptionRules = Readonly<Record<string, OptionRule>>

/** A finite number from `min` to `max`, both included. */
export function numberRule (fallback: number | undefined, min: number, max: number, remedy: string): OptionRule {
  return {
    fallback,
    rule: `a number from ${min} to ${max}`,
    accepts: value => typeof value === 'number' && value >= min && value <= max,
    remedy
  }
}

/** A whole number from `min` to `max`, both included. */
export function integerRule (fallback: number, min: number, max: number, remedy: string): OptionRule {
  return {
    fallback,
    rule: `a whole number from ${min} to ${max}`,
    accepts: value => Number.isInteger(value) && (value as number) >= min && (value as number) <= max,
    remedy
  }
}

export function functionRule (fallback: unknown, remedy: string): OptionRule {
  return { fallback, rule: 'a function', accepts: value => typeof value === 'function', remedy }
}

export function stringRule (fallback: string | undefined, remedy: string): OptionRule {
  return { fallback, rule: 'a non-empty string', accepts: value => typeof value === 'string' && value !== '', remedy }
}

export function booleanRule (fallback: boolean, remedy: string): OptionRule {
  return { fallback, rule: 'true or false', accepts: value => typeof value === 'boolean', remedy }
}

/** Defaults filled in, every value checked; throws `new Failure(message)` at the first one that breaks its rule. */
export function parseOptions (
  rules: OptionRules, options: object, Failure: new (message: string) => Error, required: readonly string[] = []
): Record<string, unknown> {
  if (typeof options !== 'object' || options === null) throw new Failure(`The options must be an object, not ${show(options)}.`)
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(rules, name)) throw new Failure(`There is no option "${name}". Did you mean "${nearest(name, Object.keys(rules))}"?`)
  }
  const parsed: Record<string, unknown> = {}
  for (const [name, { fallback, rule, accepts, remedy }] of Object.entries(rules)) {
    const value = (options as Record<string, unknown>)[name]
    const omitted = value === undefined && !required.includes(name)
    if (!omitted && !accepts(value)) throw new Failure(`Option "${name}" must be ${rule}, not ${show(value)}. ${remedy}`)
    parsed[name] = value ?? fallback
  }
  return parsed
}

function show (value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}
