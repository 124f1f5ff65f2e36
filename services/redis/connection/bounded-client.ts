import { Redis } from 'ioredis'
import type { Command, RedisOptions } from 'ioredis'
import { Authentication } from './authentication.ts'
import { classify, withoutArguments } from '../classify.ts'
import type { ConnectionListener, ConnectionSettings } from './connection-settings.ts'
import { RedisConnectionFailed } from '../errors.ts'
import { forcedOptions, withoutResending } from './forced-options.ts'
import { ReconnectBackoff } from './reconnect-backoff.ts'
import type { RedisStatus, WriteableStream } from './ioredis-internals.ts'
import { internalsOf } from './ioredis-internals.ts'

export type { ConnectionListener, ConnectionSettings } from './connection-settings.ts'

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
  readonly #authentication: Authentication | null

  constructor (settings: ConnectionSettings, listener: ConnectionListener) {
    const { lazyConnect = false, ...options } = settings.options
    const reconnectOnError = withoutResending(options.reconnectOnError)
    super({ ...options, ...forcedOptions, reconnectOnError, lazyConnect: true } as RedisOptions & { replyMapping?: 'legacy' })
    this.settings = settings
    this.#listener = listener
    this.backoff = new ReconnectBackoff(settings.clock, settings.random)
    Object.defineProperties(this.options, {
      password: { get: settings.password, enumerable: false, configurable: true },
      retryStrategy: { value: settings.reconnect ? () => this.backoff.next() : null, enumerable: false, configurable: true },
      lazyConnect: { value: lazyConnect, enumerable: true, configurable: true, writable: true }
    })
    this.on('error', noop)
    this.#authentication = settings.credentials === undefined ? null : new Authentication(settings.credentials, this)
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

  /** Nothing is open on the line that a command of ours would get into. */
  get isBetweenCalls (): boolean { return this.status === 'ready' }

  /** What a renewal of the credentials may have waited for is over. */
  betweenCalls (): void { this.#authentication?.renewIfDue() }

  /** The server refused a command because of the credentials. */
  credentialsRefused (): void { this.#authentication?.refused() }

  /** On nobody's behalf: uncounted, and unguarded. */
  sendOwn (command: Command): Promise<unknown> {
    command.promise.catch((error) => withoutArguments(error))
    super.sendCommand(command)
    return command.promise
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

  /** As {@link BoundedRedis.destroyStream}, for a reason that is known already: nobody is told. */
  replaceStream (): void {
    this.#dismissed = true
    this.destroyStream()
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
    if (failure.kind === 'auth') this.#authentication?.refused()
    this.#listener.failed?.(failure, error, this.status === 'ready' ? Infinity : this.backoff.attemptedAt)
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
        this.#authentication?.connecting()
        return this.#watch(this.backoff.limitMs(this.settings.connectTimeoutMs), 'CONNECT_TIMEOUT')
      case 'connect':
        this.chunks = 0
        this.#authentication?.handshaking()
        this.stream.on('data', () => { this.chunks++ })
        return this.#watch(this.backoff.limitMs(this.settings.handshakeTimeoutMs), 'HANDSHAKE_TIMEOUT')
      case 'ready':
        this.failedAttempts = 0
        this.backoff.connected()
        this.#authentication?.ready()
        return this.#listener.ready?.()
      case 'close':
        this.#authentication?.closed()
        return this.#closed(before === 'ready')
      case 'end':
        return this.#authentication?.ended()
    }
  }

  #closed (wasReady: boolean): void {
    const wanted = this.#dismissed || internalsOf(this).manuallyClosing
    this.#dismissed = false
    this.failedAttempts++
    this.backoff.lost()
    if (!wanted) this.#listener.lost?.(wasReady, this.#explained, wasReady ? Infinity : this.backoff.attemptedAt)
  }

  #watch (timeoutMs: number, reason: string): void {
    this.#watchdog = setTimeout(() => {
      // Nothing was dialled yet: the attempt has waited for its credentials, and its time begins when it dials.
      if (this.status === 'connecting' && (this.stream?.destroyed ?? true)) this.#watch(timeoutMs, reason)
      else this.destroyStream(new RedisConnectionFailed('timeout', reason))
    }, timeoutMs)
    this.#watchdog.unref()
  }
}
