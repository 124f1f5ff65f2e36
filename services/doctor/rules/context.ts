import type { Code } from '../codes.ts'
import type { Field } from '../documents/field.ts'
import type { TaskDefinition } from '../documents/task-definitions.ts'
import type { Findings } from '../findings.ts'
import type { Loaded, Surroundings, Variable } from '../variables.ts'

/** A container that runs the service, and what is known around it. */
export class Context {
  readonly findings: Findings
  readonly task: TaskDefinition
  readonly container: Field
  readonly surroundings: Surroundings
  readonly loaded: Loaded

  constructor (findings: Findings, task: TaskDefinition, container: Field, surroundings: Surroundings, loaded: Loaded) {
    this.findings = findings
    this.task = task
    this.container = container
    this.surroundings = surroundings
    this.loaded = loaded
  }

  get name (): string | null { return this.container.at('name').text }

  /** The others of the same task. */
  get neighbours (): Field[] { return this.task.containers.filter((other) => other !== this.container) }

  get networkMode (): string | null { return this.task.field.at('networkMode').text?.toLowerCase() ?? null }

  /** Null where the file does not say so. */
  get fargate (): boolean | null {
    const stated = this.task.field.at('requiresCompatibilities').items.map((item) => item.text?.toUpperCase())
    return stated.includes('FARGATE') ? true : stated.length > 0 ? false : null
  }

  /** What belongs to the task as a whole is in the file. */
  get whole (): boolean { return this.task.form !== 'containers' }

  variable (name: string): Variable | null {
    return this.surroundings.variables.find((variable) => variable.name === name) ?? null
  }

  /** Whether a variable has the value that `loaded.config` says: it is known, or certainly not set. */
  isCertain (name: string): boolean {
    const variable = this.variable(name)
    return variable === null ? this.surroundings.complete : variable.value !== null && !variable.field.unknown
  }

  add (code: Code, field: Field, explanation: string, corrected: string): void {
    this.findings.add(code, field, { container: this.name, explanation, corrected })
  }
}
