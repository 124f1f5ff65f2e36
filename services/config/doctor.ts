import { parseArgs } from 'node:util'
import { describeRedis } from './describe.ts'
import type { RedisDescription } from './describe.ts'
import type { Variables } from './environment.ts'
import { loadConfig } from './load.ts'
import type { Problem } from './problems.ts'

export const USAGE = `Shows the configuration that the environment gives, with secrets masked and the variable behind every value.

  doctor --print [--json]

  --print   show the resolved configuration (the default)
  --json    as JSON, with nothing else on standard output
  --help

Exit code: 0 valid, 1 invalid or wrong usage, 2 valid with warnings.
`

export interface DoctorReport {
  valid: boolean
  redis: RedisDescription
  errors: readonly Problem[]
  warnings: readonly Problem[]
}

export interface DoctorOutput {
  exitCode: 0 | 1 | 2
  stdout: string
  stderr: string
}

/** Everything `doctor` does, without a process around it. Reads nothing but its arguments. */
export function doctor (args: string[], env: Variables): DoctorOutput {
  const flags = readFlags(args)
  if (typeof flags === 'string') return { exitCode: 1, stdout: '', stderr: `${flags}\n\n${USAGE}` }
  if (flags.help) return { exitCode: 0, stdout: USAGE, stderr: '' }
  const report = examine(env)
  const exitCode = !report.valid ? 1 : report.warnings.length > 0 ? 2 : 0
  return { exitCode, stdout: flags.json ? `${JSON.stringify(report, null, 2)}\n` : asText(report), stderr: '' }
}

export function examine (env: Variables): DoctorReport {
  const { config, errors, warnings } = loadConfig(env)
  return { valid: errors.length === 0, redis: describeRedis(config.redis.resolution), errors, warnings }
}

function readFlags (args: string[]) {
  try {
    const options = { print: { type: 'boolean' }, json: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } } as const
    return parseArgs({ args, options }).values
  } catch (error) {
    return (error as Error).message
  }
}

function asText ({ valid, redis, errors, warnings }: DoctorReport): string {
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
