import { describeRedis } from '../config/describe.ts'
import type { RedisDescription } from '../config/describe.ts'
import { readStated, withDefaults } from '../config/environment.ts'
import type { Variables } from '../config/environment.ts'
import { maskUrl } from '../config/masking.ts'
import { Problems } from '../config/problems.ts'
import type { RedisResolution } from '../config/redis/redis-target.ts'
import { about, sections, variableNames } from '../config/schema.ts'
import type { Environment, VariableName } from '../config/schema.ts'

/** `invalid`: the environment states something that cannot be, and the default is used. */
export type VariableSource = 'environment' | 'default' | 'unset' | 'invalid'

export interface ShownVariable {
  name: string
  section: string
  /** As text; `***` for what could be a secret; null where there is neither a value nor a default. */
  value: string | null
  source: VariableSource
  description: string
}

export interface ShownConfiguration {
  variables: ShownVariable[]
  /** Where Redis is in the end, and which variable each part came from. Null: not known. */
  redis: RedisDescription | null
}

const MASK = '***'

/** What this process runs with, fit to be shown: every variable, its value and where that came from. */
export function showConfiguration (env: Variables, resolution: RedisResolution | null): ShownConfiguration {
  const stated = readStated(env, variableNames, new Problems())
  const values = withDefaults(stated)
  return {
    variables: variableNames.map((name) => showVariable(name, env, stated, values)),
    redis: resolution === null ? null : describeRedis(resolution)
  }
}

function showVariable (name: VariableName, env: Variables, stated: Partial<Environment>, values: Environment): ShownVariable {
  const { section, secret = false, description } = about(name)
  const source = sourceOf(name, env, stated, values)
  const value = source === 'unset' ? null : secret && source === 'environment' ? MASK : shown(String(values[name]))
  return { name, section: sections[section], value, source, description }
}

function sourceOf (name: VariableName, env: Variables, stated: Partial<Environment>, values: Environment): VariableSource {
  if (stated[name] !== undefined) return 'environment'
  if ((env[name] ?? '').trim() !== '') return 'invalid'
  return values[name] === undefined ? 'unset' : 'default'
}

/** People put whole addresses, credentials included, where only a name belongs. */
function shown (value: string): string {
  return value.split(/([\s,]+)/).map((part) => /@|:\/\//.test(part) ? maskUrl(part) : part).join('')
}
