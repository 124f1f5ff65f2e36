import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdirSync } from 'node:fs'
import { createInterface } from 'node:readline'

export interface TestRun { passed: number, failed: number, ok: boolean }

/**
 * Turns tap's output, line by line, into what a reader wants: one line per file, every failure with its details, and the totals
 * that tap itself counted.
 */
export class TapReader {
  readonly #print: (line: string) => void
  readonly #subtests: string[] = []
  /** The failure whose details follow: announced, then open. */
  #details: 'none' | 'announced' | 'open' = 'none'
  #detailsIndent = 0
  #brokenFiles = 0
  #totals = new Map<string, number>()

  constructor (print: (line: string) => void) { this.#print = print }

  read (line: string): void {
    const indent = line.search(/\S|$/)
    const text = line.slice(indent)
    if (this.#details === 'open') return this.#readDetail(line, text)
    const announced = this.#details === 'announced'
    this.#details = announced && text === '---' ? 'open' : 'none'
    if (text.startsWith('# Subtest: ')) this.#subtests[indent / 4] = text.slice(11)
    else if (indent === 0) this.#readTop(line)
    else if (text.startsWith('not ok') && !/# (SKIP|TODO)/.test(text)) this.#readFailure(indent, text)
    else if (/# (SKIP|TODO)/.test(text)) this.#print(`  ${this.#where(indent)}${text}`)
  }

  result (exitCode: number | null): TestRun {
    const count = (name: string) => this.#totals.get(name) ?? 0
    const failed = Math.max(count('fail'), this.#brokenFiles)
    const ok = exitCode === 0 && failed === 0 && count('pass') > 0 && count('skip') + count('todo') === 0
    return { passed: count('pass'), failed, ok }
  }

  #readTop (line: string): void {
    if (line.startsWith('not ok')) this.#brokenFiles++
    const totals = /^# \{ (total: .*) \}$/.exec(line)?.[1]
    if (totals !== undefined) {
      this.#totals = new Map(totals.split(', ').map(pair => pair.split(': ')).map(([name, count]) => [name!, Number(count)]))
    }
    if (/^(not )?ok |^# |^Bail out|\|/.test(line)) this.#print(line)
  }

  #readFailure (indent: number, text: string): void {
    this.#print(`  ${this.#where(indent)}${text}`)
    this.#details = 'announced'
    this.#detailsIndent = indent
  }

  #readDetail (line: string, text: string): void {
    if (text === '...') this.#details = 'none'
    else this.#print(`    ${line.slice(this.#detailsIndent)}`)
  }

  #where (indent: number): string {
    return this.#subtests.slice(0, indent / 4).filter(Boolean).map(name => `${name} > `).join('')
  }
}

/** Runs tap, on all test files or on some, and keeps its full output in `.tap/run.tap`. */
export async function runTests (files: string[]): Promise<TestRun> {
  mkdirSync('.tap', { recursive: true })
  const record = createWriteStream('.tap/run.tap')
  const reader = new TapReader(line => console.log(line))
  const child = spawn('tap', ['run', '--reporter=tap', '--no-color', ...files], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  for await (const line of createInterface({ input: child.stdout })) {
    record.write(`${line}\n`)
    reader.read(line)
  }
  const [exitCode] = await exited
  record.end()
  return reader.result(exitCode)
}
