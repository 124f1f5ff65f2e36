import type { Logger } from '../observability/logger.ts'
import type { Transition } from '../resilience/circuit-breaker.ts'
import type { LastError } from './circuit.ts'

/** One line for each transition; what repeats until the next one is for debugging only. */
export class GuardLog {
  readonly #logger: Logger
  readonly #connection: string
  /** What the last line about the connection to a node said. */
  readonly #said = new Map<string | undefined, string>()

  constructor (logger: Logger, connection: string) {
    this.#logger = logger
    this.#connection = connection
  }

  /** `node`: of a cluster. */
  connected (node?: string): void {
    this.#said.delete(node)
    this.#logger.info(this.#details(node), 'Redis is connected')
  }

  /** A failure of another kind than the last is news: a server that came back with another password, say. */
  disconnected (wasReady: boolean, lastError: LastError | null, node?: string): void {
    const details = { ...this.#details(node), kind: lastError?.kind ?? 'transport', code: lastError?.code ?? 'CLOSED' }
    const says = details.kind
    if (says === this.#said.get(node)) return this.#logger.debug(details, 'Redis is still not connected')
    this.#said.set(node, says)
    this.#logger.warn(details, wasReady ? 'the connection to Redis is lost' : 'Redis cannot be connected')
  }

  transition ({ from, to, reason, openForMs }: Transition, lastError: LastError | null, node?: string): void {
    const details = { ...this.#details(node), from, to, reason, openForMs, kind: lastError?.kind, code: lastError?.code }
    // Half-open is a step on the way, and may be taken many times in one outage.
    if (to === 'open' && from === 'closed') this.#logger.warn(details, 'the Redis circuit is open: commands are refused')
    else if (to === 'closed') this.#logger.info({ ...details, kind: undefined, code: undefined }, 'the Redis circuit is closed: commands are let through')
    else if (to === 'isolated') this.#logger.warn(details, 'the Redis circuit is isolated by hand')
    else this.#logger.debug(details, `the Redis circuit is ${to}`)
  }

  writesTransition ({ from, to, openForMs }: Transition, lastError: LastError | null, node?: string): void {
    const details = { ...this.#details(node), from, to, openForMs, kind: lastError?.kind, code: lastError?.code }
    if (to === 'open' && from === 'closed') this.#logger.warn(details, 'Redis refuses writes: they are not sent any more')
    else if (to === 'closed') this.#logger.info({ ...details, kind: undefined, code: undefined }, 'Redis takes writes again')
    else this.#logger.debug(details, `the Redis circuit of writes is ${to}`)
  }

  closed (): void {
    this.#said.clear()
    this.#logger.debug(this.#details(undefined), 'the Redis client is closed')
  }

  #details (node: string | undefined): object {
    return node === undefined ? { connection: this.#connection } : { connection: this.#connection, node }
  }
}
