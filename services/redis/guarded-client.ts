import type { Command, RedisOptions } from 'ioredis'
import { blockingTimeoutMs } from './blocking.ts'
import { BoundedRedis } from './bounded-client.ts'
import type { ConnectionListener, ConnectionSettings } from './bounded-client.ts'
import { RedisClosed } from './errors.ts'
import type { RedisNotConnected } from './errors.ts'
import { internalsOf } from './ioredis-internals.ts'
import type { WriteableStream } from './ioredis-internals.ts'
import { PendingCommand } from './pending-command.ts'
import type { Traffic } from './traffic.ts'

const PENDING = Symbol('breakwater.pending')
type GuardedCommand = Command & { [PENDING]?: PendingCommand }

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
    if (pending !== undefined) return this.#flush(pending, stream)
    if (this.isInternal(command)) return super.sendCommand(command, stream)
    return this.#guard(command, stream)
  }

  /** From here on every command is refused. */
  refuse (): void {
    this.#closed = true
  }

  /** A guarded client of its own, on a connection of its own. Its first commands may wait for that connection. */
  override duplicate (override: Partial<RedisOptions> = {}): any {
    const { password, ...others } = override
    const settings = {
      ...this.settings,
      options: { ...this.settings.options, enableOfflineQueue: true, ...others },
      password: password === undefined ? this.settings.password : () => password ?? null
    }
    const client = new GuardedRedis({ ...this.#options, settings, listener: {}, patient: true })
    this.#options.onDuplicate(client)
    return client
  }

  #guard (command: Command, stream: WriteableStream | undefined): unknown {
    if (command.name === 'quit') return this.#quit(command, stream)
    const refusal = this.#inTransaction && stream === undefined ? null : this.#admit(stream)
    if (refusal !== null) {
      this.#traffic.refused()
      command.reject(refusal)
      return command.promise
    }
    const pending = this.#traffic.begin(command, blockingTimeoutMs(command), this)
    ;(command as GuardedCommand)[PENDING] = pending
    if (this.status === 'ready') {
      pending.chunksAtSend = this.chunks
      this.cork()
    }
    if (stream === undefined) this.#followTransaction(command.name.toLowerCase())
    return super.sendCommand(command, stream)
  }

  #followTransaction (name: string): void {
    if (name === 'multi') this.#inTransaction = true
    else if (name === 'exec' || name === 'discard') this.#inTransaction = false
  }

  /** ioredis sends what waited for the connection: unless its deadline has passed meanwhile. */
  #flush (pending: PendingCommand, stream: WriteableStream | undefined): unknown {
    if (pending.settled) return pending.command.promise
    pending.chunksAtSend = this.chunks
    return super.sendCommand(pending.command, stream)
  }

  #admit (stream: WriteableStream | undefined): Error | null {
    if (stream === undefined) return this.#decide()
    if (stream !== this.#pipeline) {
      this.#pipeline = stream
      this.#pipelineRefusal = this.#decide()
    }
    return this.#pipelineRefusal
  }

  #decide (): Error | null {
    if (this.#closed) return new RedisClosed()
    if (this.status === 'ready' && this.stream.writable && !internalsOf(this).manuallyClosing) return this.#traffic.admit()
    if (this.#options.patient && this.failedAttempts === 0 && this.status !== 'ready' && this.status !== 'end') return null
    return this.#options.refusal()
  }

  /** Always ends well: whoever says goodbye does not want to hear that the other has gone already. */
  #quit (command: Command, stream: WriteableStream | undefined): unknown {
    if (this.status === 'ready') return super.sendCommand(command, stream)
    if (this.status !== 'end') this.disconnect()
    command.resolve(Buffer.from('OK'))
    return command.promise
  }
}
