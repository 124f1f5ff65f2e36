import { Redis } from 'ioredis'
import type { Command, RedisOptions } from 'ioredis'
import { blockingTimeoutMs } from './blocking.ts'
import { BoundedRedis } from '../connection/bounded-client.ts'
import type { ConnectionListener, ConnectionSettings } from '../connection/bounded-client.ts'
import { RedisClosed, RedisConnectionFailed } from '../errors.ts'
import type { RedisNotConnected } from '../errors.ts'
import { internalsOf } from '../connection/ioredis-internals.ts'
import type { WriteableStream } from '../connection/ioredis-internals.ts'
import { PendingCommand } from './pending-command.ts'
import { tellNo, tellNoLater } from './refusals.ts'
import type { Traffic } from './traffic.ts'
import { isWriteRefusal } from '../write-side.ts'

const PULSE_MS = 5000
/** To prove that it lives, for a line that is idle. */
const SUSPICION_MS = 150
const PENDING = Symbol('breakwater.pending')
type GuardedCommand = Command & { [PENDING]?: PendingCommand }

/** What the guard knows of a command; undefined before it was admitted. */
export function pendingOf (command: Command): PendingCommand | undefined {
  return (command as GuardedCommand)[PENDING]
}

export interface GuardedClientOptions {
  settings: ConnectionSettings
  traffic: Traffic
  /** Why a command cannot be sent while there is no connection. */
  refusal: () => RedisNotConnected
  /** Commands may wait for the first connection, within their deadline, as those of a fresh ioredis client do. */
  patient?: boolean
  listener?: ConnectionListener
  /** Told of each client that `duplicate()` makes. */
  onDuplicate: (client: GuardedRedis) => void
}

/**
 * An ioredis client with the guard at its one choke point: every command of every kind passes through `sendCommand`, and each
 * is guarded exactly once.
 */
export class GuardedRedis extends BoundedRedis {
  readonly #options: GuardedClientOptions
  readonly #traffic: Traffic
  #closed = false
  /** The pipeline under way and what was decided for it: it is sent as a whole or not at all. */
  #pipeline: WriteableStream | undefined
  #pipelineRefusal: Error | null = null
  /** The same for its writes; undefined before the first. */
  #writeRefusal: Error | null | undefined
  /** A pipeline of which a part was given up while it waited for the connection. */
  #abandoned: WriteableStream | undefined
  /** Between MULTI and EXEC on the open line, where refusing one command would leave the transaction open for the next caller. */
  #inTransaction = false

  constructor (options: GuardedClientOptions) {
    super(options.settings, {
      ...options.listener,
      lost: (...details) => {
        this.#inTransaction = false
        options.listener?.lost?.(...details)
      }
    })
    this.#options = options
    this.#traffic = options.traffic
  }

  override sendCommand (command: Command, stream?: WriteableStream): unknown {
    const pending = (command as GuardedCommand)[PENDING]
    if (pending !== undefined) return this.#forward(pending, stream)
    if (this.isInternal(command)) return super.sendCommand(command, stream)
    return this.#guard(command, stream)
  }

  /**
   * Admits a command and starts its deadline; else returns why not. A cluster asks this of the node that a command is for, once, and
   * routes afterwards; `earlier`: the same command before its pipeline was redirected.
   */
  begin (command: Command, stream?: WriteableStream, earlier?: PendingCommand): Error | null {
    const refusal = this.#admit(command, stream)
    if (refusal !== null) {
      this.#traffic.refused()
      return refusal
    }
    ;(command as GuardedCommand)[PENDING] = earlier === undefined
      ? this.#traffic.begin(command, blockingTimeoutMs(command), this)
      : this.#traffic.resume(command, earlier, this)
    return null
  }

  /** Sends a command again that has failed before; false: not now. */
  again (pending: PendingCommand): boolean {
    if (this.#inTransaction || this.#admit(pending.command, undefined) !== null) return false
    this.#traffic.resend(pending)
    this.#forward(pending, undefined)
    return true
  }

  /** From here on every command is refused. */
  refuse (): void {
    this.#closed = true
  }

  /** The line may be dead: it has a deadline to prove the contrary, which it cannot behind a call that blocks. */
  suspect (withinMs = Math.min(SUSPICION_MS, this.#traffic.timeoutMs)): void {
    if (this.#traffic.isBlocked(this)) return this.reconnect()
    if (!this.isBetweenCalls) return
    const timer = setTimeout(() => this.destroyStream(new RedisConnectionFailed('timeout', 'SILENT')), withinMs)
    timer.unref()
    this.sendOwn(new Redis.Command('ping')).catch(() => {}).finally(() => clearTimeout(timer))
  }

  /** Nobody notices by itself that nothing arrives any more. */
  #pulse (): void {
    const timer = setInterval(() => { if (internalsOf(this).condition?.subscriber) this.suspect(this.#traffic.timeoutMs) }, PULSE_MS)
    timer.unref()
    this.once('end', () => clearInterval(timer))
  }

  /** A guarded client of its own, on a connection of its own. Its first commands may wait for that connection. */
  override duplicate (override: Partial<RedisOptions> = {}): any {
    const { password, ...others } = override
    const settings = {
      ...this.settings,
      options: { ...this.settings.options, enableOfflineQueue: true, ...others },
      ...password === undefined ? {} : { password: () => password ?? null, credentials: undefined }
    }
    const client = new GuardedRedis({ ...this.#options, settings, listener: {}, patient: true })
    this.#options.onDuplicate(client)
    client.#pulse()
    return client
  }

  /** Last before a guarded command is handed to the connection. */
  protected aboutToSend (_command: Command): void {}

  override get isBetweenCalls (): boolean {
    return super.isBetweenCalls && !this.#inTransaction && !this.#traffic.isBlocked(this)
  }

  #guard (command: Command, stream: WriteableStream | undefined): unknown {
    if (command.name === 'quit') return this.#quit(command, stream)
    const refusal = this.#inTransaction && stream === undefined ? null : this.#admit(command, stream)
    if (refusal !== null) {
      this.#traffic.refused()
      refuse(command, refusal, stream, this.#options.patient)
      return command.promise
    }
    const pending = this.#traffic.begin(command, blockingTimeoutMs(command), this)
    ;(command as GuardedCommand)[PENDING] = pending
    if (this.status === 'ready') {
      pending.chunksAtSend = this.chunks
      this.cork()
    }
    if (stream === undefined) {
      if (this.#inTransaction) pending.inTransaction = true
      this.#followTransaction(command.name.toLowerCase())
    }
    return super.sendCommand(command, stream)
  }

  #followTransaction (name: string): void {
    if (name === 'multi') this.#inTransaction = true
    else if (name === 'exec' || name === 'discard') {
      this.#inTransaction = false
      queueMicrotask(() => this.betweenCalls())
    }
  }

  /**
   * A command that was admitted before: by the cluster, by another node that redirected it, or here, and it has waited for the connection.
   * What is settled by now is not sent any more.
   */
  #forward (pending: PendingCommand, stream: WriteableStream | undefined): unknown {
    const { command } = pending
    if (pending.settled || (stream !== undefined && stream === this.#abandoned)) {
      this.#abandoned = stream
      if (!pending.settled) pending.abandon()
      return command.promise
    }
    if (!this.#traffic.guards(pending, this)) {
      const refusal = this.#admit(command, stream)
      if (refusal !== null) {
        refuse(command, refusal, stream)
        return command.promise
      }
      this.#traffic.take(pending, this)
    }
    if (this.status === 'ready') {
      this.aboutToSend(command)
      pending.chunksAtSend = this.chunks
      this.cork()
    }
    return super.sendCommand(command, stream)
  }

  #admit (command: Command, stream: WriteableStream | undefined): Error | null {
    if (stream === undefined) return this.#decide() ?? (this.#traffic.mayRefuse(command) ? this.#traffic.admitWrite() : null)
    if (stream !== this.#pipeline) {
      this.#pipeline = stream
      this.#pipelineRefusal = this.#decide()
      this.#writeRefusal = undefined
    }
    if (this.#pipelineRefusal !== null || !this.#traffic.mayRefuse(command)) return this.#pipelineRefusal
    if (this.#writeRefusal === undefined) this.#writeRefusal = this.#traffic.admitWrite()
    return this.#writeRefusal
  }

  #decide (): Error | null {
    if (this.#closed) return new RedisClosed()
    if (this.status === 'ready' && this.stream.writable && !internalsOf(this).manuallyClosing) return this.#traffic.admit()
    if (this.#options.patient && this.failedAttempts === 0 && this.status !== 'ready' && this.status !== 'end') return null
    return this.#options.refusal()
  }

  /** Always ends well, and in time: whoever says goodbye does not want to hear that the other has gone already. */
  #quit (command: Command, stream: WriteableStream | undefined): unknown {
    const gone = (): void => {
      clearTimeout(timer)
      command.resolve(Buffer.from('OK'))
    }
    const timer = setTimeout(() => this.#hangUp(gone), this.#traffic.timeoutMs)
    if (this.status !== 'ready') this.#hangUp(gone)
    else if (internalsOf(this).manuallyClosing) gone()
    else {
      command.reject = gone
      void command.promise.finally(() => clearTimeout(timer))
      super.sendCommand(command, stream)
    }
    return command.promise
  }

  #hangUp (gone: () => void): void {
    if (this.status === 'ready') this.destroyStream()
    else if (this.status !== 'end') this.disconnect()
    gone()
  }
}

/** A pipeline of ioredis' goes out when each of its commands has been written; the reads among refused writes go out too. */
export function refuse (command: Command, refusal: Error, stream: WriteableStream | undefined, later = false): void {
  if (later) tellNoLater(command, refusal)
  else tellNo(command, refusal)
  if (isWriteRefusal(refusal)) stream?.write('')
}
