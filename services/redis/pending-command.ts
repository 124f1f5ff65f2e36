import type { Command } from 'ioredis'
import { Deadline } from '../resilience/deadlines.ts'
import { classify, withoutArguments } from './classify.ts'
import type { Classification } from './classify.ts'
import { RedisConnectionLost, RedisNotConnected, RedisNotSent, RedisTimeout } from './errors.ts'

/** What a command under way tells of itself. One is made for each client, and each command calls exactly one method, once. */
export interface CommandObserver {
  answered (command: PendingCommand): void
  failed (command: PendingCommand, failure: Classification, error: Error): void
  /** `silent`: not a single byte has arrived since it was sent. */
  timedOut (command: PendingCommand, explainedByLag: boolean): void
}

/** A guarded command from admission to settlement, whichever comes first: reply, loss of the connection, deadline. */
export class PendingCommand extends Deadline {
  readonly command: Command
  readonly permit: number
  readonly startedAt: number
  readonly blocking: boolean
  /** Chunks that had arrived on the connection when it was sent; -1 while it waits for a connection. */
  chunksAtSend = -1
  settled = false
  readonly #observer: CommandObserver
  readonly #reject: (error: Error) => void

  constructor (command: Command, permit: number, startedAt: number, blocking: boolean, observer: CommandObserver) {
    super()
    this.command = command
    this.permit = permit
    this.startedAt = startedAt
    this.blocking = blocking
    this.#observer = observer
    const { resolve, reject } = command
    this.#reject = reject
    command.resolve = (value) => {
      if (this.#settle()) observer.answered(this)
      else if (!command.isSettled) return // it was given up, and transforming a late reply is wasted
      resolve(value)
    }
    command.reject = (error) => { this.#fail(error) }
  }

  get sent (): boolean {
    return this.chunksAtSend !== -1
  }

  expire (explainedByLag: boolean): void {
    if (!this.#settle()) return
    const { timeoutMs } = this
    const name = this.command.name.toUpperCase()
    this.#observer.timedOut(this, explainedByLag)
    this.#reject(this.sent ? new RedisTimeout(name, timeoutMs) : new RedisNotSent(name, timeoutMs))
  }

  /** Of the list it is in; kept, because an expired deadline has left its list. */
  timeoutMs = 0

  #settle (): boolean {
    if (this.settled) return false
    this.settled = true
    this.cancel()
    return true
  }

  #fail (error: Error): void {
    if (!this.#settle()) return this.#reject(error)
    const shown = this.#explain(error)
    const failure = classify(shown)
    this.#observer.failed(this, failure, shown)
    this.#reject(shown)
  }

  /** A reply error stays what it is, with our fields added; what ioredis makes up for a lost connection becomes ours. */
  #explain (error: Error): Error {
    if (error.name === 'ReplyError') return annotated(error)
    if (isRedisFailure(error)) return error
    if (isConnectionLoss(error)) {
      return this.sent
        ? new RedisConnectionLost(this.command.name.toUpperCase())
        : new RedisNotConnected('the attempt to connect failed', 'transport', 0)
    }
    return error
  }
}

const replyCodes = {
  caller: 'FST_BRK_REDIS_REPLY',
  configuration: 'FST_BRK_REDIS_CONFIGURATION',
  auth: 'FST_BRK_REDIS_AUTH',
  overload: 'FST_BRK_REDIS_OVERLOADED'
} as Record<string, string>

function annotated (error: Error): Error {
  withoutArguments(error)
  const { kind, notApplied, ambiguous, reason } = classify(error)
  const statusCode = kind === 'caller' ? 500 : 503
  return Object.assign(error, { code: replyCodes[kind], statusCode, kind, notApplied, ambiguous, reason, retryAfterMs: 0 })
}

function isRedisFailure (error: Error): boolean {
  return typeof (error as { kind?: unknown }).kind === 'string'
}

function isConnectionLoss (error: Error): boolean {
  return error.name === 'MaxRetriesPerRequestError' || error.name === 'AbortError' || error.message === 'Connection is closed.' ||
    error.message.startsWith('Stream isn\'t writeable')
}
