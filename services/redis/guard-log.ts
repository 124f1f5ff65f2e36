import type { Logger } from '../observability/logger.ts'
import type { Transition } from '../resilience/circuit-breaker.ts'
import type { LastError } from './circuit.ts'

/** One line for each transition; what repeats until the next one is for debugging only. */
export class GuardLog {
  readonly #logger: Logger
  readonly #connection: string
  /** What the last line about the connection said. */
  #said = ''

  constructor (logger: Logger, connection: string) {
    this.#logger = logger
    this.#connection = connection
  }

  connected (): void {
    this.#said = ''
    this.#logger.info({ connection: this.#connection }, 'Redis is connected')
  }

  /** A failure of another kind than the last is news: a server that came back with another password, say. */
  disconnected (wasReady: boolean, lastError: LastError | null): void {
    const details = { connection: this.#connection, kind: lastError?.kind ?? 'transport', code: lastError?.code ?? 'CLOSED' }
    const says = details.kind
    if (says === this.#said) return this.#logger.debug(details, 'Redis is still not connected')
    this.#said = says
    this.#logger.warn(details, wasReady ? 'the connection to Redis is lost' : 'Redis cannot be connected')
  }

  transition ({ from, to, reason, openForMs }: Transition, lastError: LastError | null): void {
    const details = { connection: this.#connection, from, to, reason, openForMs, kind: lastError?.kind, code: lastError?.code }
    // Half-open is a step on the way, and may be taken many times in one outage.
    if (to === 'open' && from === 'closed') this.#logger.warn(details, 'the Redis circuit is open: commands are refused')
    else if (to === 'closed') this.#logger.info({ ...details, kind: undefined, code: undefined }, 'the Redis circuit is closed: commands are let through')
    else if (to === 'isolated') this.#logger.warn(details, 'the Redis circuit is isolated by hand')
    else this.#logger.debug(details, `the Redis circuit is ${to}`)
  }

  closed (): void {
    this.#logger.debug({ connection: this.#connection }, 'the Redis client is closed')
  }
}
