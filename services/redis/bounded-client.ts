import { Redis } from 'ioredis'
import type { Command, RedisOptions } from 'ioredis'
import { classify, withoutArguments } from './classify.ts'
import type { Classification } from './classify.ts'
import { RedisConnectionFailed } from './errors.ts'
import { ReconnectBackoff } from './reconnect-backoff.ts'
import type { RedisStatus, WriteableStream } from './ioredis-internals.ts'
import { internalsOf } from './ioredis-internals.ts'

export interface ConnectionSettings {
  options: RedisOptions
  /** Read for each connection, so that it can change; kept out of sight of whoever prints the client. */
  password: () => string | null
  connectTimeoutMs: number
  /** From the open socket to `ready`: HELLO, AUTH, SELECT. */
  handshakeTimeoutMs: number
  clock: () => number
  random: () => number
  /** False: one attempt for each call of `connect()`. */
  reconnect: boolean
}

/** Told at once, not by the next tick, so that a decision and the facts it rests on cannot drift apart. */
export interface ConnectionListener {
  ready? (): void
  /** The connection is gone, or an attempt to get one has failed; `explained`: an error has said why. */
  lost? (wasReady: boolean, explained: boolean): void
  failed? (failure: Classification, error: Error): void
}

/** Forced on every client: with these, and only with these, nothing is sent twice, sent late or left hanging (docs/redis-client.md). */
export const forcedOptions: RedisOptions = {
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false,
  // LOADING is an answer that the breaker understands; ioredis would poll in silence.
  enableReadyCheck: false,
  disconnectTimeout: 100,
  // One watchdog below bounds TCP, TLS and handshake; ioredis' own leaves the handshake unbounded.
  connectTimeout: 0
}

/** Far longer than a destroyed socket takes. */
const SHUT_DOWN_MS = 150
const noop = () => {}
const RESTORING = new Set(['select', 'subscribe', 'psubscribe', 'ssubscribe', 'monitor'])

/** An ioredis client whose connecting is bounded, whose errors carry no secrets, and which tells what happens to it. */
export class BoundedRedis extends Redis {
  readonly settings: ConnectionSettings
  readonly backoff: ReconnectBackoff
  /** Chunks that arrived on the current connection: tells a slow server from a dead line. */
  chunks = 0
  /** Since the client was made, or since it was connected last. */
  failedAttempts = 0
  #listener: ConnectionListener
  #watchdog: NodeJS.Timeout | undefined
  /** The connection is being restored: what ioredis sends now belongs to no caller. */
  #restoring = false
  /** Whether losing the connection was somebody's wish. */
  #dismissed = false
  #explained = false
  #corked: WriteableStream | null = null

  constructor (settings: ConnectionSettings, listener: ConnectionListener) {
    const { lazyConnect = false, ...options } = settings.options
    super({ ...options, ...forcedOptions, lazyConnect: true } as RedisOptions & { replyMapping?: 'legacy' })
    this.settings = settings
    this.#listener = listener
    this.backoff = new ReconnectBackoff(settings.clock, settings.random)
    Object.defineProperties(this.options, {
      password: { get: settings.password, enumerable: false, configurable: true },
      retryStrategy: { value: settings.reconnect ? () => this.backoff.next() : null, enumerable: false, configurable: true },
      lazyConnect: { value: lazyConnect, enumerable: true, configurable: true, writable: true }
    })
    this.on('error', noop)
    this.#observeStatus()
    if (!lazyConnect) this.connect().catch(noop)
  }

  /** What ioredis sends for its own purposes: the handshake, and what restores the state of the connection before. */
  protected isInternal (command: Command): boolean {
    if (this.#restoring) return RESTORING.has(command.name)
    if (this.status !== 'connect') return false
    const handshake = (this.condition as { handshake?: boolean } | null)?.handshake === true
    return handshake && Redis.Command.checkFlag('HANDSHAKE_COMMANDS', command.name)
  }

  override sendCommand (command: Command, stream?: WriteableStream): unknown {
    if (this.isInternal(command)) {
      const { reject } = command
      command.reject = (error) => {
        withoutArguments(error)
        reject(error)
      }
      // ioredis drops some of these promises, and a rejection would end the process.
      command.promise.catch(noop)
    }
    return super.sendCommand(command, stream)
  }

  /**
   * What is sent in this turn of the event loop goes out in one write: ioredis makes one system call for each command, which costs
   * more than everything else together (docs/performance.md).
   */
  protected cork (): void {
    const { stream } = this
    if (stream === this.#corked) return
    this.#corked = stream
    stream.cork()
    process.nextTick(() => {
      this.#corked = null
      stream.uncork()
    })
  }

  /** Every `error` event carries our error: classified, and without the secrets that a reply error shows. */
  override emit (event: string | symbol, ...args: unknown[]): boolean {
    return event === 'error' ? super.emit('error', this.#failure(args[0] as Error)) : super.emit(event, ...args)
  }

  override disconnect (reconnect = false): void {
    this.#dismissed = true
    if (reconnect || this.status !== 'reconnecting') return super.disconnect(reconnect)
    // ioredis would leave this status for ever, and a timer with it.
    const internals = internalsOf(this)
    clearTimeout(internals.reconnectTimeout ?? undefined)
    internals.reconnectTimeout = null
    internals.setStatus('end')
  }

  /** Breaks the connection now, without a farewell; ioredis then connects anew. */
  destroyStream (error?: Error): void {
    this.stream?.destroy(error)
  }

  /** Replaces the connection, or ends the pause before the next attempt, or begins anew after the end. */
  reconnect (): void {
    switch (this.status) {
      case 'ready':
      case 'connect':
      case 'connecting':
        return this.disconnect(true)
      default:
        clearTimeout(internalsOf(this).reconnectTimeout ?? undefined)
        this.connect().catch(noop)
    }
  }

  /** Cuts the line without waiting for anybody; resolves when ioredis has rejected what was pending. */
  async shutDown (): Promise<void> {
    if (this.status === 'end') return
    const ended = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, SHUT_DOWN_MS)
      this.once('end', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    this.disconnect()
    this.destroyStream()
    await ended
  }

  /** Nobody finds the password by printing the client. */
  toJSON (): object {
    return { status: this.status }
  }

  [Symbol.for('nodejs.util.inspect.custom')] (): string {
    return `${this.constructor.name} { status: '${this.status}' }`
  }

  #failure (cause: Error): Error {
    withoutArguments(cause)
    const failure = classify(cause)
    const error = cause instanceof RedisConnectionFailed ? cause : new RedisConnectionFailed(failure.kind, failure.reason, cause)
    this.#explained = true
    this.#listener.failed?.(failure, error)
    return error
  }

  #observeStatus (): void {
    const internals = internalsOf(this)
    const { setStatus } = internals
    Object.defineProperty(this, 'setStatus', {
      enumerable: false,
      value: (status: RedisStatus, argument?: unknown) => {
        const before = this.status
        if (status === 'ready') this.#beginRestoring()
        setStatus.call(this, status, argument)
        this.#statusChanged(before, status)
      }
    })
  }

  /** Until the `ready` event, which the next tick emits, ioredis restores database and subscriptions. */
  #beginRestoring (): void {
    this.#restoring = true
    process.nextTick(() => { this.#restoring = false })
  }

  #statusChanged (before: RedisStatus, status: RedisStatus): void {
    clearTimeout(this.#watchdog)
    switch (status) {
      case 'connecting':
        this.#dismissed = this.#explained = false
        this.backoff.attempting()
        return this.#watch(this.settings.connectTimeoutMs, 'CONNECT_TIMEOUT')
      case 'connect':
        this.chunks = 0
        this.stream.on('data', () => { this.chunks++ })
        return this.#watch(this.settings.handshakeTimeoutMs, 'HANDSHAKE_TIMEOUT')
      case 'ready':
        this.failedAttempts = 0
        this.backoff.connected()
        return this.#listener.ready?.()
      case 'close':
        return this.#closed(before === 'ready')
    }
  }

  #closed (wasReady: boolean): void {
    const wanted = this.#dismissed || internalsOf(this).manuallyClosing
    this.#dismissed = false
    this.failedAttempts++
    if (!wanted) this.#listener.lost?.(wasReady, this.#explained)
  }

  #watch (timeoutMs: number, reason: string): void {
    this.#watchdog = setTimeout(() => this.destroyStream(new RedisConnectionFailed('timeout', reason)), timeoutMs)
    this.#watchdog.unref()
  }
}
