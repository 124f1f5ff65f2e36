import { describeRedis } from './describe.ts'
import type { RedisDescription } from './describe.ts'
import type { Variables } from './environment.ts'
import { loadConfig } from './load.ts'
import type { Problem } from './problems.ts'

export interface ConfigurationReport {
  valid: boolean
  redis: RedisDescription
  errors: readonly Problem[]
  warnings: readonly Problem[]
}

/** What the environment says, as `doctor --print --json` prints it. */
export function examine (env: Variables): ConfigurationReport {
  const { config, errors, warnings } = loadConfig(env)
  return { valid: errors.length === 0, redis: describeRedis(config.redis.resolution), errors, warnings }
}

export function asText ({ valid, redis, errors, warnings }: ConfigurationReport): string {
  const { state, sources, ...fields } = redis
  const lines = [`Redis is ${state}.`]
  if (state === 'configured') {
    for (const [field, value] of Object.entries(fields)) {
      if (value !== null) lines.push(`  ${field.padEnd(10)}${shown(value)}${from(sources[field])}`)
    }
  }
  lines.push(...paragraph('Error', errors), ...paragraph('Warning', warnings))
  lines.push('', verdict(valid, errors.length, warnings.length), '')
  return lines.join('\n')
}

function shown (value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value).slice(1, -1) : String(value)
}

function from (source: string | undefined): string {
  return source === undefined ? '' : `   (${source})`
}

function paragraph (kind: string, problems: readonly Problem[]): string[] {
  return problems.flatMap(({ code, message, remedy }) => ['', `${kind} ${code}`, `  ${message}`, `  ${remedy}`])
}

function verdict (valid: boolean, errorCount: number, warningCount: number): string {
  if (!valid) return `Invalid: ${count(errorCount, 'error')}, ${count(warningCount, 'warning')}.`
  return warningCount === 0 ? 'Valid.' : `Valid, with ${count(warningCount, 'warning')}.`
}

function count (number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
