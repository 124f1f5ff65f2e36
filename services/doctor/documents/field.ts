/** Stands in a text for what only the deployment knows: a parameter, another resource's attribute. */
export const UNKNOWN = '\uFFFC'

export type Path = readonly (string | number)[]

/** Where fields come from. */
export interface SourceDocument {
  readonly file: string
  /** As it was read, before functions were resolved. */
  readonly original: unknown
  /** Line of a place in the file, from 1, or null. */
  lineOf (path: Path): number | null
}

/**
 * A place in a task definition and what is there, if anything. Names are found whatever their case, because the API writes
 * `stopTimeout` and CloudFormation `StopTimeout`.
 */
export class Field {
  readonly document: SourceDocument
  readonly path: Path
  readonly value: unknown

  constructor (document: SourceDocument, path: Path, value: unknown) {
    this.document = document
    this.path = path
    this.value = value
  }

  /** What is below, one name for each step; an absent field where there is nothing. */
  at (...names: string[]): Field {
    return names.reduce<Field>((field, name) => field.#child(name), this)
  }

  get items (): Field[] {
    if (!Array.isArray(this.value)) return []
    return this.value.flatMap((value, index) => value === undefined || value === null ? [] : [new Field(this.document, [...this.path, index], value)])
  }

  get entries (): [name: string, field: Field][] {
    if (!isMap(this.value)) return []
    return Object.entries(this.value).filter(([, value]) => value !== undefined && value !== null)
      .map(([name, value]) => [name, new Field(this.document, [...this.path, name], value)])
  }

  get absent (): boolean { return this.value === undefined || this.value === null }

  /** There is something, and which only the deployment knows. */
  get unknown (): boolean {
    return typeof this.value === 'string' && (this.value.includes(UNKNOWN) || this.value.includes('{{resolve:'))
  }

  /** A text, number or switch as text, also where parts of it are unknown; null for anything else. */
  get pattern (): string | null {
    return ['string', 'number', 'boolean'].includes(typeof this.value) ? String(this.value) : null
  }

  /** As {@link Field.pattern}, but only where all of it is known. */
  get text (): string | null { return this.unknown ? null : this.pattern }

  get number (): number | null {
    const { text } = this
    return text !== null && /^\s*-?\d+(\.\d+)?\s*$/.test(text) ? Number(text) : null
  }

  get flag (): boolean | null {
    const text = this.text?.toLowerCase()
    return text === 'true' ? true : text === 'false' ? false : null
  }

  get line (): number | null { return this.document.lineOf(this.path) }

  get pathText (): string {
    return this.path.map((step, index) => typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`).join('')
  }

  /** Logical id of the resource that a template refers to here, or null. */
  get reference (): string | null {
    const written = this.path.reduce<unknown>((value, step) => (value as Record<string | number, unknown> | undefined)?.[step], this.document.original)
    if (!isMap(written)) return null
    const target = written.Ref ?? (Array.isArray(written['Fn::GetAtt']) ? written['Fn::GetAtt'][0] : written['Fn::GetAtt'])
    return typeof target === 'string' ? target.split('.')[0]! : null
  }

  #child (name: string): Field {
    if (!isMap(this.value)) return new Field(this.document, [...this.path, name], undefined)
    const written = Object.keys(this.value).find((key) => key.toLowerCase() === name.toLowerCase())
    return new Field(this.document, [...this.path, written ?? this.#asWritten(name)], written === undefined ? undefined : this.value[written])
  }

  /** In the case that its neighbours have. */
  #asWritten (name: string): string {
    const [neighbour = ''] = Object.keys(this.value as object)
    return /^[A-Z]/.test(neighbour) ? name[0]!.toUpperCase() + name.slice(1) : name
  }
}

export function isMap (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
