import { codes } from './codes.ts'
import type { Code, Severity } from './codes.ts'
import type { Field } from './documents/field.ts'

/** One thing that is wrong, or looks wrong, in a file. Safe to print: secrets are masked. */
export interface Finding {
  /** `FST_BRK_ECS_…` of docs/doctor.md, or `FST_BRK_CONFIG_…` of docs/configuration.md. */
  code: string
  severity: Severity
  file: string
  /** From 1; null where the file has no such place. */
  line: number | null
  /** Name of the container; null for what belongs to the whole. */
  container: string | null
  /** `containerDefinitions[0].stopTimeout` */
  path: string
  explanation: string
  /** What to write there. */
  corrected: string
  /** Where it is explained. */
  docs: string
}

export interface Details {
  container?: string | null
  explanation: string
  corrected: string
}

/** Collects findings; the same one twice is one. */
export class Findings {
  readonly #list: Finding[] = []

  get list (): readonly Finding[] { return this.#list }

  add (code: Code, field: Field, details: Details): void {
    const { severity, section } = codes[code]
    this.report({ code, severity, docs: `docs/doctor.md#${section}` }, field, details)
  }

  report (what: Pick<Finding, 'code' | 'severity' | 'docs'>, field: Field, { container = null, explanation, corrected }: Details): void {
    const finding = { ...what, file: field.document.file, line: field.line, container, path: field.pathText, explanation, corrected }
    const same = this.#list.some((other) => other.code === finding.code && other.path === finding.path && other.explanation === explanation && other.file === finding.file)
    if (!same) this.#list.push(finding)
  }
}

/** 1: something will not work; 2: something may not; 0: nothing to do. */
export function exitCodeOf (findings: readonly Pick<Finding, 'severity'>[]): 0 | 1 | 2 {
  if (findings.some(({ severity }) => severity === 'error')) return 1
  return findings.some(({ severity }) => severity === 'warning') ? 2 : 0
}
