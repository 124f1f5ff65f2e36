import { CredentialStore } from '../../credentials/credential-store.ts'
import { BoundedRedis } from '../../redis/connection/bounded-client.ts'
import { connectionSettings } from '../../redis/connection/client-options.ts'
import { withoutArguments } from '../../redis/classify.ts'
import { RedisConnectionFailed } from '../../redis/errors.ts'
import { within } from './steps.ts'
import type { Reaching } from './reach.ts'

/** One connection, made as the service makes its own: one attempt, and a deadline for everything. */
export class Session {
  readonly #client: BoundedRedis
  readonly #commandTimeoutMs: number
  readonly #credentials: CredentialStore | undefined
  #failure: Error | null = null

  constructor ({ target, timeoutMs, ca }: Reaching, commandTimeoutMs: number) {
    this.#commandTimeoutMs = commandTimeoutMs
    this.#credentials = CredentialStore.of(target, { timeoutMs })
    const settings = connectionSettings({
      target,
      name: 'breakwater-doctor',
      commandTimeoutMs,
      connectTimeoutMs: timeoutMs,
      tls: ca === undefined ? {} : { ca },
      redisOptions: { lazyConnect: true, enableOfflineQueue: false }
    }, this.#credentials)
    this.#client = new BoundedRedis({ ...settings, reconnect: false }, { failed: (_failure, error) => { this.#failure = error } })
  }

  async open (): Promise<void> {
    try {
      await this.#client.connect()
    } catch (err) {
      throw this.#failure ?? new RedisConnectionFailed('transport', 'CLOSED', err as Error)
    }
  }

  async call (command: string, ...args: (string | number)[]): Promise<unknown> {
    const late = () => new RedisConnectionFailed('timeout', `${command.toUpperCase()}_TIMEOUT`)
    try {
      return await within(this.#commandTimeoutMs, this.#client.call(command, ...args), late, () => this.#client.destroyStream())
    } catch (err) {
      withoutArguments(err)
      const { name } = err as Error
      throw name === 'ReplyError' || err instanceof RedisConnectionFailed ? err : this.#failure ?? new RedisConnectionFailed('transport', 'CLOSED', err as Error)
    }
  }

  async close (): Promise<void> {
    this.#credentials?.close()
    await this.#client.shutDown()
  }
}
