/** What was looked at, as a person and a pipeline want to read it. */
export class Report {
  readonly checks: { name: string, ok: boolean, seen: string }[] = []
  readonly figures: Record<string, number | string> = {}
  readonly #say: (line: string) => void

  constructor (say: (line: string) => void) {
    this.#say = say
  }

  check (name: string, ok: boolean, seen: unknown = ''): void {
    const text = typeof seen === 'string' ? seen : JSON.stringify(seen)
    this.checks.push({ name, ok, seen: text })
    this.#say(`${ok ? 'ok    ' : 'FAILED'} ${name}${text === '' ? '' : `: ${text}`}`)
  }

  figure (name: string, value: number | string): void {
    this.figures[name] = value
    this.#say(`       ${name}: ${value}`)
  }

  /** One part after another; one that breaks is one failed check. */
  async part (name: string, run: () => Promise<void>): Promise<void> {
    this.#say(`\n${name}`)
    await run().catch((err: Error) => this.check(name, false, err.message))
  }

  get failed (): boolean {
    return this.checks.length === 0 || this.checks.some(({ ok }) => !ok)
  }
}
