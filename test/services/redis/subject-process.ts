import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Teardown } from '../../helpers/redis-server.ts'
import type { Trouble } from './states.ts'

export interface Attempt { ms: number, code: string | null, kind: string, notApplied: boolean, ambiguous: boolean, text: string }

export const subjectOptions = { bootBudgetMs: 400, commandTimeoutMs: 300, connectTimeoutMs: 500 }

/** The plugin in a process of its own. */
export class Subject {
  readonly #child: ChildProcess
  readonly #exited: Promise<number | null>
  #stderr = ''

  constructor (t: Teardown, { url, options, command = ['get', 'key'] }: Trouble, plugin: object = subjectOptions) {
    this.#child = fork(new URL('./subject.ts', import.meta.url), {
      env: { ...process.env, NODE_V8_COVERAGE: '', SUBJECT: JSON.stringify({ target: url, ...plugin, ...options, command }) },
      execArgv: [],
      silent: true
    })
    this.#child.stderr!.on('data', (text) => { this.#stderr += text })
    this.#exited = once(this.#child, 'exit').then(([code]) => code as number | null)
    t.teardown(() => this.#child.kill('SIGKILL'))
  }

  boot (): Promise<{ ms: number, has: boolean }> { return this.#ask('boot') as Promise<{ ms: number, has: boolean }> }

  attempt (): Promise<Attempt> { return this.#ask('attempt') as Promise<Attempt> }

  /** Until a command succeeds; in ms. */
  async recovery (limitMs: number): Promise<number> {
    const startedAt = performance.now()
    while (performance.now() - startedAt < limitMs) {
      if ((await this.attempt()).code === null) return performance.now() - startedAt
    }
    return Infinity
  }

  /** Closes, and waits until the process has ended by itself. */
  async close (): Promise<{ closeMs: number, exitMs: number, exitCode: number | null, stderr: string }> {
    const { ms } = await this.#ask('close')
    const startedAt = performance.now()
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000)
    const exitCode = await this.#exited
    clearTimeout(timer)
    return { closeMs: ms, exitMs: performance.now() - startedAt, exitCode, stderr: this.#stderr }
  }

  async #ask (task: string): Promise<{ ms: number }> {
    this.#child.send(task)
    return await new Promise((resolve, reject) => {
      this.#child.once('message', resolve)
      void this.#exited.then(() => reject(new Error(`the process has ended: ${this.#stderr}`)))
    })
  }
}
