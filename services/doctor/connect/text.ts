import type { ConnectReport } from './connect.ts'
import type { Step } from './steps.ts'

const MARKS = { ok: 'ok', warning: 'warning', failed: 'FAILED', skipped: '-' }

export function connectionAsText ({ steps, valid }: ConnectReport): string {
  const warnings = steps.filter(({ state }) => state === 'warning').length
  const verdict = !valid ? 'Bad: Redis cannot be used like this.' : warnings === 0 ? 'Good.' : 'Good, with warnings.'
  return [...steps.map(line), '', verdict, ''].join('\n')
}

function line ({ name, state, ms, detail, remedy }: Step): string {
  const time = ms === null ? '' : `${ms} ms`
  return `${name.padEnd(14)}${MARKS[state].padEnd(8)}${time.padStart(10)}  ${detail}${remedy === null ? '' : `\n${' '.repeat(34)}${remedy}`}`
}
