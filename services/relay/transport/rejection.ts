import type { Cluster, Redis } from 'ioredis'
import type { Batch } from '../../journal/journal.ts'
import { MessageRejected } from '../errors.ts'

export interface RejectionOptions {
  /** A limit of our own for one message, in bytes. Default: none. */
  maxMessageBytes?: number | null | undefined
  /** The largest argument that the server takes, in bytes; null where it does not tell. */
  serverLimitBytes (): Promise<number | null>
}

/** `proto-max-bulk-len` cannot be set lower, so no server refuses a smaller message for its size. */
const SMALLEST_SERVER_LIMIT_BYTES = 1024 * 1024
/** A character of a string takes at most so many bytes in UTF-8. */
const BYTES_PER_CHARACTER = 3
/** A batch whose connection broke so often in a row, though what is asked before each attempt was answered, is tried in halves. */
const LOSSES_OF_BATCH = 3
/** And a giant message alone, to a server that does not tell its limit, counts as refused. */
const LOSSES_OF_GIANT = 5

const CONTENT_ERROR = /Protocol error: invalid bulk length|exceeds maximum allowed size/

/**
 * Tells a refusal of the contents from trouble on the way. A refusal must be said by the server, or be measured against a limit that is
 * known; a broken connection alone never condemns a message that every server accepts.
 */
export class Rejection {
  readonly #options: RejectionOptions
  readonly #smallestLimitBytes: number
  #lost = { batch: '', count: 0 }
  #serverTells = false

  constructor (options: RejectionOptions) {
    this.#options = options
    this.#smallestLimitBytes = Math.min(options.maxMessageBytes ?? Infinity, SMALLEST_SERVER_LIMIT_BYTES)
  }

  /** Whether {@link checkSizes} has anything to check. O(messages), whatever their size. */
  suspects (bodies: string[]): boolean {
    const suspicious = this.#smallestLimitBytes / BYTES_PER_CHARACTER
    for (let index = 0; index < bodies.length; index++) if (bodies[index]!.length > suspicious) return true
    return false
  }

  /** @throws {MessageRejected} for a message above a limit: before it costs the connection. */
  async checkSizes (bodies: string[]): Promise<void> {
    const { maxMessageBytes, serverLimitBytes } = this.#options
    const sizes = bodies.map((body) => body.length > this.#smallestLimitBytes / BYTES_PER_CHARACTER ? Buffer.byteLength(body) : 0)
    refuseAbove(sizes, maxMessageBytes ?? Infinity, 'the limit set here')
    if (Math.max(...sizes) <= SMALLEST_SERVER_LIMIT_BYTES) return
    const limitBytes = await serverLimitBytes()
    this.#serverTells = limitBytes !== null
    refuseAbove(sizes, limitBytes ?? Infinity, 'the server\'s proto-max-bulk-len')
  }

  accepted (): void {
    this.#lost.count = 0
  }

  /** What to tell the relay of a failure to publish: the error as it is, or that the contents are to blame. */
  judge (batch: Batch, error: Error): Error {
    withoutContents(error)
    if (CONTENT_ERROR.test(error.message)) return new MessageRejected(`the server said "${error.message}"`)
    if (!isConnectionLoss(error)) return error
    const key = `${batch.term} ${batch.first} ${batch.last}`
    this.#lost = { batch: key, count: this.#lost.batch === key ? this.#lost.count + 1 : 1 }
    if (!this.#blames(batch, this.#lost.count)) return error
    return new MessageRejected(`the connection broke ${this.#lost.count} times in a row while it was sent, and at no other time`)
  }

  #blames ({ bodies }: Batch, losses: number): boolean {
    if (bodies.length > 1) return losses >= LOSSES_OF_BATCH
    return losses >= LOSSES_OF_GIANT && !this.#serverTells && Buffer.byteLength(bodies[0]!) > SMALLEST_SERVER_LIMIT_BYTES
  }
}

/** The largest argument that the server takes; null where the question is not allowed, as with hosted servers. */
export async function serverLimitBytes (client: Redis | Cluster): Promise<number | null> {
  try {
    const [, value] = await client.config('GET', 'proto-max-bulk-len') as string[]
    return value === undefined ? null : Number(value)
  } catch (err) {
    const { name, message } = err as Error
    if (name === 'ReplyError' && /^(NOPERM|ERR) /.test(message)) return null
    throw err
  }
}

function refuseAbove (sizes: number[], limitBytes: number, name: string): void {
  const index = sizes.findIndex((size) => size > limitBytes)
  if (index !== -1) throw new MessageRejected(`${sizes[index]} bytes are more than ${name}, ${limitBytes}`, index)
}

/** ioredis hangs the arguments on what a server answers: a whole batch of messages, which then would be logged. */
function withoutContents (error: Error & { command?: { name?: unknown } }): void {
  if (error.command !== undefined) error.command = { name: error.command.name }
}

/** Sent, and the connection broke before the answer: by the guard's code, or as ioredis says it. */
function isConnectionLoss ({ code, name, message }: Error & { code?: string }): boolean {
  return code === 'FST_BRK_REDIS_CONNECTION_LOST' || name === 'MaxRetriesPerRequestError' || message === 'Connection is closed.'
}
