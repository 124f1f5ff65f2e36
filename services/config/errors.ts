import createError from '@fastify/error'
import type { Problem } from './problems.ts'

const ConfigErrorBase = createError<[summary: string]>('FST_BRK_CONFIG_INVALID', '%s', 500)

/** The environment cannot be used. The message lists every problem; {@link ConfigError.problems} has them as data. */
export class ConfigError extends ConfigErrorBase {
  readonly problems: readonly Problem[]

  constructor (problems: readonly Problem[]) {
    super(summarise(problems))
    this.problems = problems
  }
}

function summarise (problems: readonly Problem[]): string {
  const lines = problems.map(({ code, message, remedy }) => `\n  - ${message} ${remedy} [${code}]`)
  return `The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}:${lines.join('')}`
}
