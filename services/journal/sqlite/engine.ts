import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { StoreUnavailable } from '../errors.ts'
import type { DatabaseOptions } from './database.ts'
import { packRequests } from './group.ts'
import type { PackedOutcomes, Request } from './group.ts'
import { revive } from './revive.ts'

export interface EngineOptions extends DatabaseOptions {
  /** How long a request may take, its wait included. Default 5000 ms. The first ones have ten seconds more, for the start. */
  deadlineMs?: number
}

interface Pending extends Request {
  resolve (value: unknown): void
  reject (reason: Error): void
}

/** Requests that are committed together. */
interface Group {
  requests: Pending[]
  deadline: NodeJS.Timeout
}

const MAX_GROUP = 1024
/** On top of the first deadline: the thread loads its modules and opens the file, which takes seconds on a machine with no CPU to spare. */
const FIRST_START_MS = 10_000

/**
 * The database's face on the main thread. Requests that arrive while commits are on their way to the disk form the next group,
 * so the price of an fsync is shared by all who wait for it.
 */
export class SqliteEngine {
  readonly #options: EngineOptions
  readonly #deadlineMs: number
  #worker: Worker | null = null
  #waiting: Pending[] = []
  /** One at a time: with two on their way each is half as large, and costs as much. */
  #inFlight: Group | null = null
  #flushScheduled = false
  #closed = false
  #hasAnswered = false

  constructor (options: EngineOptions) {
    this.#options = options
    this.#deadlineMs = options.deadlineMs ?? 5000
  }

  /** @throws {StoreUnavailable} after the deadline, on an I/O error, and after `close()`; or the operation's own coded error. */
  run<T> (operation: string, ...args: unknown[]): Promise<T> {
    if (this.#closed) return Promise.reject(new StoreUnavailable('it is closed'))
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#waiting.push({ operation, args, resolve: resolve as (value: unknown) => void, reject })
    this.#scheduleFlush()
    return promise
  }

  /** One turn of the event loop reads many requests from the sockets: they share a group from the start. */
  #scheduleFlush (): void {
    if (this.#flushScheduled || this.#waiting.length === 0 || this.#inFlight !== null) return
    this.#flushScheduled = true
    setImmediate(this.#flush)
  }

  readonly #flush = (): void => {
    this.#flushScheduled = false
    if (this.#waiting.length === 0) return
    const requests = this.#waiting.splice(0, MAX_GROUP)
    const deadlineMs = this.#worker === null && !this.#hasAnswered ? this.#deadlineMs + FIRST_START_MS : this.#deadlineMs
    this.#inFlight = { requests, deadline: setTimeout(() => this.#fail('it did not answer in time'), deadlineMs) }
    this.#worker ??= this.#start()
    this.#worker.postMessage(packRequests(requests))
  }

  #start (): Worker {
    const worker = new Worker(new URL(`./worker${extname(import.meta.url)}`, import.meta.url), {
      workerData: { path: this.#options.path, limits: this.#options.limits, modules: this.#options.modules }
    })
    worker.on('message', (outcomes: PackedOutcomes) => { if (worker === this.#worker) this.#settle(outcomes) })
    worker.on('error', (err) => { if (worker === this.#worker) this.#fail(err.message) })
    worker.on('exit', () => { if (worker === this.#worker) this.#fail('its thread ended') })
    return worker
  }

  #settle (outcomes: PackedOutcomes): void {
    const { requests, deadline } = this.#inFlight!
    clearTimeout(deadline)
    this.#inFlight = null
    this.#hasAnswered = true
    for (let index = 0; index < requests.length; index++) {
      const outcome = outcomes?.[index]
      if (outcome === undefined) requests[index]!.resolve(undefined)
      else if (outcome.ok) requests[index]!.resolve(outcome.value)
      else requests[index]!.reject(revive(outcome))
    }
    this.#scheduleFlush()
  }

  /** Gives up on the thread, and on the database handle with it: the next request starts a new one. */
  #fail (reason: string): void {
    const worker = this.#worker
    this.#worker = null
    void worker?.terminate()
    const error = new StoreUnavailable(reason)
    const group = this.#inFlight
    this.#inFlight = null
    clearTimeout(group?.deadline)
    for (const request of [...group?.requests ?? [], ...this.#waiting.splice(0)]) request.reject(error)
  }

  /** Lets what is in flight finish, within the deadline, and closes the file. Never rejects. */
  async close (): Promise<void> {
    if (this.#closed) return
    const busy = this.#inFlight !== null || this.#waiting.length > 0
    const last = busy ? this.run('stats').catch(() => {}) : null
    this.#closed = true
    await last
    const worker = this.#worker
    if (worker === null) return
    this.#worker = null
    const exited = new Promise((resolve) => { worker.once('exit', resolve) })
    const hung = setTimeout(() => { void worker.terminate() }, this.#deadlineMs)
    worker.postMessage('close')
    await exited
    clearTimeout(hung)
  }
}
