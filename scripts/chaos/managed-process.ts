import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import type { WriteStream } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

export interface ProcessOptions {
  name: string
  command: string
  args: string[]
  env?: NodeJS.ProcessEnv
  /** Standard output and error go here; each start continues it. */
  logFile: string
}

const GRACE_MS = 10_000

/** A process that the chaos may kill, freeze and start again. */
export class ManagedProcess {
  readonly name: string
  /** Times that it ended though nobody asked it to. */
  crashes = 0
  readonly #options: ProcessOptions
  readonly #log: WriteStream
  #child: ChildProcess | null = null
  #frozen = false

  constructor (options: ProcessOptions) {
    this.name = options.name
    this.#options = options
    this.#log = createWriteStream(options.logFile, { flags: 'a' })
    this.#log.on('error', () => {})
  }

  get pid (): number | null { return this.#child?.pid ?? null }

  /** True from the start until it ends, by whatever cause. */
  get running (): boolean { return this.#child !== null }

  start (env: NodeJS.ProcessEnv = {}): void {
    const { command, args } = this.#options
    // A test runner's own modules would come along, and they end the process at the signal of a full disk, which Node ignores.
    const child = spawn('env', ['-u', 'NODE_OPTIONS', command, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...this.#options.env, ...env }
    })
    child.stdout.pipe(this.#log, { end: false })
    child.stderr.pipe(this.#log, { end: false })
    child.on('error', (err) => { this.#log.write(`${err}\n`) })
    child.on('exit', (code, signal) => {
      this.#log.write(`-- ended: ${signal ?? code}\n`)
      if (this.#child !== child) return
      this.#child = null
      this.crashes++
    })
    this.#log.write(`-- started ${child.pid}\n`)
    this.#child = child
    this.#frozen = false
  }

  async kill (): Promise<void> { await this.#end('SIGKILL', 0) }

  /** SIGTERM, and kill -9 for what does not end within 10 s. False: it had to be killed. */
  async drain (): Promise<boolean> { return await this.#end('SIGTERM', GRACE_MS) }

  freeze (): void {
    this.#frozen = this.#child?.kill('SIGSTOP') ?? false
  }

  thaw (): void {
    this.#child?.kill('SIGCONT')
    this.#frozen = false
  }

  async #end (signal: NodeJS.Signals, graceMs: number): Promise<boolean> {
    const child = this.#child
    this.#child = null
    if (child === null) return true
    if (this.#frozen) child.kill('SIGCONT')
    const exited = once(child, 'exit')
    child.kill(signal)
    if (graceMs === 0) return await exited.then(() => true)
    const timer = new AbortController()
    const inTime = await Promise.race([exited.then(() => true), delay(graceMs, false, { signal: timer.signal }).catch(() => true)])
    timer.abort()
    if (!inTime) child.kill('SIGKILL')
    await exited
    return inTime
  }
}
