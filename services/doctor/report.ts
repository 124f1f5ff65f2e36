import type { Finding } from './findings.ts'

const ORDER = { error: 0, warning: 1, info: 2 }

export interface FindingsReport {
  valid: boolean
  errors: number
  warnings: number
  findings: readonly Finding[]
}

export function reportOf (findings: readonly Finding[]): FindingsReport {
  const count = (severity: string) => findings.filter((finding) => finding.severity === severity).length
  return { valid: count('error') === 0, errors: count('error'), warnings: count('warning'), findings: findings.toSorted((one, other) => ORDER[one.severity] - ORDER[other.severity]) }
}

export function asText ({ findings, errors, warnings }: FindingsReport): string {
  const paragraphs = findings.map(({ severity, code, file, line, container, path, explanation, corrected, docs }) =>
    `${severity} ${code}\n  ${file}${line === null ? '' : `:${line}`}${container === null ? '' : `  container ${container}`}${path === '' ? '' : `  ${path}`}\n  ${explanation}\n  Correct: ${corrected}\n  See ${docs}\n`)
  const infos = findings.length - errors - warnings
  const verdict = errors + warnings === 0 ? 'Good.' : `${errors > 0 ? 'Bad' : 'Doubtful'}: ${count(errors, 'error')}, ${count(warnings, 'warning')}.`
  return [...paragraphs, infos === 0 ? verdict : `${verdict} ${count(infos, 'remark')}.`, ''].join('\n')
}

function count (number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}

/**
 * Workflow commands that GitHub shows beside the line.
 * @see https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
 */
export function asAnnotations ({ findings }: FindingsReport): string {
  return findings.map(({ severity, code, file, line, explanation, corrected, docs }) => {
    const place = `file=${property(file)}${line === null ? '' : `,line=${line}`},title=${property(code)}`
    return `::${severity === 'info' ? 'notice' : severity} ${place}::${message(`${explanation}\nCorrect: ${corrected}\nSee ${docs}`)}\n`
  }).join('')
}

function message (text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
}

function property (text: string): string {
  return message(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
}
