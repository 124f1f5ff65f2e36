import { Redis } from 'ioredis'
import type { Command } from 'ioredis'
import type { WriteableStream } from '../connection/ioredis-internals.ts'
import { RedisTimeout } from '../errors.ts'
import { GuardedRedis, pendingOf } from '../command/guarded-client.ts'

const REDIRECTIONS = /^(MOVED|ASK|TRYAGAIN) /
const ASKING = Symbol('breakwater.asking')
type AskedCommand = Command & { [ASKING]?: true }

/** The connection to one node of a cluster. What the cluster sends is admitted already; what is sent to a node directly is guarded here. */
export class ClusterNode extends GuardedRedis {
  /** A redirection's prefix, until the command that it is for. */
  #asking = false

  /** `ASKING` opens the door for exactly one command, so it goes with that command or not at all. */
  override sendCommand (command: Command, stream?: WriteableStream): unknown {
    if (stream === undefined && command.name === 'asking') {
      this.#asking = true
      command.resolve(Buffer.from('OK'))
      return command.promise
    }
    if (this.#asking) {
      this.#asking = false
      ;(command as AskedCommand)[ASKING] = true
    }
    return super.sendCommand(command, stream)
  }

  protected override aboutToSend (command: Command): void {
    const asked = command as AskedCommand
    if (asked[ASKING] !== true) return
    delete asked[ASKING]
    void this.sendOwn(new Redis.Command('asking'))
  }

  /** Until it is sent again, what was redirected has certainly not been executed. */
  override handleReconnection (...[error, item]: Parameters<Redis['handleReconnection']>): void {
    if (REDIRECTIONS.test(error.message)) pendingOf(item.command as Command)?.sentBack()
    super.handleReconnection(error, item)
  }

  /** Asks on nobody's behalf, uncounted; rejects at the deadline. */
  async askUnguarded (command: Command, timeoutMs: number): Promise<unknown> {
    const reply = this.sendOwn(command)
    let timer: NodeJS.Timeout | undefined
    const deadline = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(reject, timeoutMs, new RedisTimeout(command.name.toUpperCase(), timeoutMs))
      timer.unref()
    })
    try {
      return await Promise.race([reply, deadline])
    } finally {
      clearTimeout(timer)
    }
  }

  /** A replica serves reads to those only who say that they know what it is; on a primary this must not be forgotten, or it would do so as a replica again. */
  setReadOnly (readOnly: boolean): void {
    if (this.options.readOnly === readOnly) return
    this.options.readOnly = readOnly
    if (this.status === 'ready') void this.sendOwn(new Redis.Command(readOnly ? 'readonly' : 'readwrite'))
  }
}
