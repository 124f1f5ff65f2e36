import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/load.ts'
import type { Problem } from '../config/problems.ts'
import { about, environmentSchema, variableNames } from '../config/schema.ts'
import type { VariableName } from '../config/schema.ts'
import { UNKNOWN } from './documents/field.ts'
import type { Field } from './documents/field.ts'

/** A variable that a container gets. */
export interface Variable {
  name: string
  origin: 'environment' | 'secrets'
  entry: Field
  /** What it gets, or where that comes from. */
  field: Field
  /** Its value as far as the files tell; `UNKNOWN` stands for the rest. Null: nothing is known. */
  value: string | null
}

export interface Surroundings {
  variables: Variable[]
  /** False: more variables come from files in S3 or from what only the deployment knows. */
  complete: boolean
}

export interface Loaded {
  /** What is certain; a value that is not known counts as its default. */
  config: Config
  errors: Problem[]
  warnings: Problem[]
}

/** Where the value of an exported parameter stands, by name or ARN. */
export type ParameterValues = (reference: string) => Field | null

export const NAME = /^[A-Za-z_][\w.-]*$/

/** What the image sets by itself; see Dockerfile. */
const IMAGE = { HOST: '0.0.0.0', PORT: '3000', DATABASE_URL: 'sqlite:/data/breakwater.db' }
/** What ECS sets in every container. */
const PLATFORM = { ECS_CONTAINER_METADATA_URI_V4: 'http://169.254.170.2/v4' }
/** For variables whose other values have other consequences than the example's. */
const OTHERS: Partial<Record<VariableName, [string, string]>> = {
  REDIS_URL: ['rediss://user:token@cache.example.com:6380/0', 'redis://10.1.2.3'],
  REDIS_HOST: ['cache.example.com', '127.0.0.1'],
  DATABASE_URL: ['postgres://user:password@database.example.com/app', 'sqlite:/data/breakwater.db'],
  HOST: ['0.0.0.0', '127.0.0.1']
}

export function readVariables (container: Field, parameters: ParameterValues): Surroundings {
  const environment = container.at('environment')
  const secrets = container.at('secrets')
  const files = container.at('environmentFiles')
  const entries = [...environment.items, ...secrets.items]
  const complete = !environment.unknown && !secrets.unknown && files.items.length === 0 && !files.unknown && entries.every((entry) => !entry.unknown)
  const variables = [
    ...environment.items.flatMap((entry) => read(entry, 'environment', entry.at('value'))),
    ...secrets.items.flatMap((entry) => {
      const from = entry.at('valueFrom')
      const parameter = from.text === null ? null : parameters(from.text)
      return read(entry, 'secrets', parameter ?? from, parameter)
    })
  ]
  return { variables, complete }
}

function read (entry: Field, origin: Variable['origin'], field: Field, value: Field | null = field): Variable[] {
  const name = entry.at('name').text
  // A name with = in it may have a value, and that a secret, behind it.
  return name === null || !NAME.test(name) ? [] : [{ name, origin, entry, field, value: value?.pattern ?? null }]
}

/**
 * What our own loader says. Where values are not known, it is asked in two worlds that differ in them, and only what it says in
 * both is certain.
 */
export function loadVariables ({ variables, complete }: Surroundings): Loaded {
  const [one, other] = [0, 1].map((world) => loadConfig(worldOf(variables, complete, world)))
  const partly = new Set(variables.filter(({ value }) => value === null || value.includes(UNKNOWN)).map(({ name }) => name))
  const certain = (problems: readonly Problem[], others: readonly Problem[]) => problems.filter(({ code, variable }) =>
    // A name that nothing reads is wrong whatever its value.
    (!partly.has(variable) || code === 'FST_BRK_CONFIG_UNKNOWN_VARIABLE') && others.some((problem) => problem.code === code && problem.variable === variable))
  return {
    config: loadConfig(Object.fromEntries(Object.entries(worldOf(variables, true, 0)).filter(([name]) => !partly.has(name)))).config,
    errors: certain(one!.errors, other!.errors),
    warnings: certain(one!.warnings, other!.warnings)
  }
}

function worldOf (variables: Variable[], complete: boolean, world: number): Record<string, string> {
  const given = variables.map(({ name, value }) => [name, value === null ? standIn(name, world) : fill(value)])
  // In one world everything is stated that could be.
  const others = complete || world === 1 ? [] : variableNames.map((name) => [name, standIn(name, 0)])
  return { ...IMAGE, ...PLATFORM, ...Object.fromEntries(others), ...Object.fromEntries(given) }
}

function standIn (name: string, world: number): string {
  if (!Object.hasOwn(environmentSchema.properties, name)) return 'unknown'
  const variable = name as VariableName
  const other = OTHERS[variable]?.[world]
  if (other !== undefined) return other
  const [example] = about(variable).examples
  return world === 1 && (example === 'true' || example === 'false') ? String(example === 'false') : example
}

/** A port after a colon, else something that is a host, a user and a token alike. */
function fill (text: string): string {
  return text.replace(new RegExp(`:${UNKNOWN}(?=/|$)`, 'g'), ':6379').replaceAll(UNKNOWN, 'unknown.example.com')
}
