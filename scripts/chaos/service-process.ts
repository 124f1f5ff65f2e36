import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { FaultProxy } from '../../test/helpers/fault-proxy.ts'
import { freePort } from '../../test/helpers/redis-server.ts'
import { ManagedProcess } from './managed-process.ts'

export interface ServiceOptions {
  index: number
  directory: string
  databaseUrl: string
  line: FaultProxy
  leaseMs: number
  retentionMs: number
}

/** What `GET /journal` of scripts/chaos/service.ts says. */
export interface ServiceState { pendingRows: number, deadRows: number, leader: boolean, published: number, rewound: number, lost: number }

const SCRIPT = join(import.meta.dirname, 'service.ts')
const CLOCK = join(import.meta.dirname, 'clock.ts')
const BOOT_TIMEOUT_MS = 60_000
const PAGE_BYTES = 4096

/** One process of the service, with its own line to Redis and its own clock. */
export class ServiceProcess {
  readonly line: FaultProxy
  /** Ended by itself, after it had once answered. */
  crashes = 0
  readonly #process: ManagedProcess
  readonly #clockFile: string
  #url = ''

  constructor ({ index, directory, databaseUrl, line, leaseMs, retentionMs }: ServiceOptions) {
    this.line = line
    this.#clockFile = join(directory, `clock-${index}`)
    this.#process = new ManagedProcess({
      name: `service-${index}`,
      command: process.execPath,
      // With the young generation that `npm start` gives the service.
      args: ['--expose-gc', '--max-semi-space-size=4', '--import', CLOCK, SCRIPT],
      logFile: join(directory, `service-${index}.log`),
      env: {
        CHAOS_CLOCK_FILE: this.#clockFile,
        CHAOS_LEASE_MS: String(leaseMs),
        REDIS_URL: `redis://127.0.0.1:${line.port}`,
        DATABASE_URL: databaseUrl,
        JOURNAL_RETENTION_MS: String(retentionMs),
        // The account is about what is accepted; limits have tests of their own.
        JOURNAL_MAX_ROWS: '10000000',
        JOURNAL_MAX_BYTES: String(16 * 2 ** 30),
        REDIS_COMMAND_TIMEOUT_MS: '300',
        REDIS_CONNECT_TIMEOUT_MS: '300',
        REDIS_BOOT_BUDGET_MS: '0'
      }
    })
  }

  get url (): string { return this.#url }
  get name (): string { return this.#process.name }
  get running (): boolean { return this.#process.running }

  /** Starts it, again where it ends before it answers (its database may be away), as whoever runs containers does. */
  async start (): Promise<void> {
    const deadline = performance.now() + BOOT_TIMEOUT_MS
    while (performance.now() < deadline) {
      const port = await freePort()
      this.#process.start({ PORT: String(port) })
      while (this.#process.running && performance.now() < deadline) {
        if (await answers(`http://127.0.0.1:${port}/journal`)) {
          this.#url = `http://127.0.0.1:${port}`
          this.#process.crashes = 0
          return
        }
        await delay(20)
      }
      await delay(100)
    }
    throw new Error(`${this.name} did not start within ${BOOT_TIMEOUT_MS} ms`)
  }

  /** Starts it again where it ended by itself, and counts that. */
  async revive (): Promise<void> {
    if (this.running || this.#process.crashes === 0) return
    this.crashes++
    await this.start()
  }

  async kill (): Promise<void> { await this.#process.kill() }
  async drain (): Promise<boolean> { return await this.#process.drain() }
  freeze (): void { this.#process.freeze() }
  thaw (): void { this.#process.thaw() }

  /** Its clock jumps: `Date.now()` of every thread is off by so much from now on. */
  async stepClock (offsetMs: number): Promise<void> {
    await writeFile(this.#clockFile, String(offsetMs))
  }

  /** No file may grow any more (EFBIG): what a full disk does to a database, for this process alone. */
  async fillDisk (): Promise<void> { await this.#limitFiles(`${PAGE_BYTES}:`) }
  async emptyDisk (): Promise<void> { await this.#limitFiles('unlimited:') }

  async #limitFiles (limit: string): Promise<void> {
    if (this.#process.pid !== null) await promisify(execFile)('prlimit', ['--pid', String(this.#process.pid), `--fsize=${limit}`])
  }

  async state (timeoutMs = 1000): Promise<ServiceState | null> {
    try {
      const response = await fetch(`${this.#url}/journal`, { signal: AbortSignal.timeout(timeoutMs) })
      return response.ok ? await response.json() as ServiceState : null
    } catch {
      return null
    }
  }

  /** Resident memory, or null where the system does not say. */
  async rssBytes (): Promise<number | null> {
    if (this.#process.pid === null) return null
    const statm = await readFile(`/proc/${this.#process.pid}/statm`, 'utf8').catch(() => '')
    return statm === '' ? null : Number(statm.split(' ')[1]) * PAGE_BYTES
  }
}

async function answers (url: string): Promise<boolean> {
  return await fetch(url, { signal: AbortSignal.timeout(1000) }).then((response) => response.ok, () => false)
}
