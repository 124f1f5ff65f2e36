import type { Command } from 'ioredis'
import { Deadline } from '../../resilience/deadlines.ts'
import { classify, withoutArguments } from '../classify.ts'
import type { Classification, FailureKind } from '../classify.ts'
import { RedisConnectionLost, RedisNotConnected, RedisNotSent, RedisTimeout } from '../errors.ts'

/** What a command under way tells of itself. One is made for each client, and each command calls exactly one method, once. */
export interface CommandObserver {
  answered (command: PendingCommand): void
  failed (command: PendingCommand, failure: Classification, error: Error): void
  /** Whether the command is tried again, and stays unsettled. */
  retries (command: PendingCommand, failure: Classification, error: Error): boolean
  /** `silent`: not a single byte has arrived since it was sent. */
  timedOut (command: PendingCommand, explainedByLag: boolean): void
  /** A command that was to be tried again ended with its last error. */
  gaveUp (failure: Classification): void
  /** Another node answers for it from now on. */
  released (command: PendingCommand): void
}

/** A guarded command from admission to settlement, whichever comes first: reply, loss of the connection, deadline. */
export class PendingCommand extends Deadline {
  readonly command: Command
  permit: number
  readonly startedAt: number
  readonly blocking: boolean
  /** Chunks that had arrived on the connection when it was sent; -1 while it waits for a connection. */
  chunksAtSend = -1
  settled = false
  /** Of the circuit of writes. */
  writePermit = -1
  /** Sent between MULTI and EXEC on the open line. */
  inTransaction = false
  /** How often it was tried again. */
  attempts = 0
  /** When it was sent last, if that was not the first time. */
  resentAt = 0
  /** What the last attempt met, while another one is to come. */
  #parked: Error | null = null
  /** How it failed, while that may not have been the last word: a pipeline may send it again. */
  failedAs: FailureKind | null = null
  #observer: CommandObserver
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
      if (this.#settle()) this.#observer.answered(this)
      else if (!command.isSettled) return // it was given up, and transforming a late reply is wasted
      resolve(value)
    }
    command.reject = (error) => { this.#fail(error) }
  }

  get sent (): boolean {
    return this.chunksAtSend !== -1
  }

  isObservedBy (observer: CommandObserver): boolean {
    return this.#observer === observer
  }

  /** A redirected command is still the same command: the same deadline, counted once, and only its last node is judged by it. */
  handOver (observer: CommandObserver, permit: number): void {
    this.#observer.released(this)
    this.#observer = observer
    this.permit = permit
    this.chunksAtSend = -1
  }

  /** Its last attempt has failed; another one follows, or its deadline. */
  park (error: Error): void {
    this.attempts++
    this.chunksAtSend = -1
    this.#parked = error
  }

  resend (permit: number, writePermit: number, now: number): void {
    this.#parked = null
    this.permit = permit
    this.writePermit = writePermit
    this.resentAt = now
  }

  /** There is no other attempt. */
  giveUp (): void {
    if (this.#parked !== null && this.#settle()) this.#end(this.#parked)
  }

  /** The node has answered that it will not execute it. */
  sentBack (): void {
    this.chunksAtSend = -1
  }

  /** Its pipeline was given up before it was sent, so that it must not be sent alone. */
  abandon (): void {
    this.command.reject(new RedisNotSent(this.command.name.toUpperCase(), this.timeoutMs))
  }

  expire (explainedByLag: boolean): void {
    if (!this.#settle()) return
    if (this.#parked !== null) return this.#end(this.#parked)
    const timeoutMs = Math.round(this.timeoutMs)
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
    if (this.settled) return this.#reject(error)
    const shown = this.#explain(error)
    const failure = classify(shown)
    if (this.#observer.retries(this, failure, shown)) return
    this.#settle()
    this.failedAs = failure.kind
    this.#observer.failed(this, failure, shown)
    this.#reject(shown)
  }

  /** The last attempt has been judged already. */
  #end (error: Error): void {
    this.#observer.gaveUp(classify(error))
    this.#reject(error)
  }

  /** A reply error stays what it is, with our fields added; what ioredis makes up for a lost connection becomes ours. */
  #explain (error: Error): Error {
    if (error.name === 'ReplyError') return annotated(error)
    if (isRedisFailure(error)) return error
    if (isMisuse(error)) return Object.assign(error, { code: replyCodes['caller'], statusCode: 500, ...misuse })
    if (isConnectionLoss(error)) {
      return this.sent
        ? new RedisConnectionLost(this.command.name.toUpperCase())
        : new RedisNotConnected('the attempt to connect failed', 'transport', 0)
    }
    // What arrived was no reply, and ioredis gives up the connection.
    return this.sent ? new RedisConnectionLost(this.command.name.toUpperCase(), error) : error
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

const misuse = { kind: 'caller', notApplied: true, ambiguous: false, reason: 'MODE', retryAfterMs: 0 } as const

/** ioredis sends nothing but subscriptions on a subscriber's connection, which RESP2 does not allow. */
function isMisuse (error: Error): boolean {
  return error.message.startsWith('Connection in subscriber mode')
}

function isConnectionLoss (error: Error): boolean {
  return error.name === 'MaxRetriesPerRequestError' || error.name === 'AbortError' || error.message === 'Connection is closed.' ||
    error.message.startsWith('Stream isn\'t writeable')
}
