import { Socket } from 'node:net'
import { Redis } from 'ioredis'
import type { CredentialStore } from '../../credentials/credential-store.ts'
import type { Credentials } from '../../credentials/provider.ts'
import { RedisConnectionFailed } from '../errors.ts'
import type { FailureKind } from '../errors.ts'
import type { BoundedRedis } from './bounded-client.ts'
import { internalsOf } from './ioredis-internals.ts'

/** A connection gives its credentials anew when so much of its life is over, and up to so much more, so that not all of them do at once. */
const RENEW_AT = 0.6
const RENEW_SPREAD = 0.25
/** Share of the lifetime from a renewal that failed to the next. */
const RENEW_AGAIN = 0.02

/**
 * The credentials of one client: taken for each of its connections from a store that many share. Nothing is dialled before there are any,
 * a refusal asks the store for others, and others are tried at once. What is connected stays so, whatever the store gets.
 */
export class Authentication {
  readonly #store: CredentialStore
  readonly #client: BoundedRedis
  /** What the current connection was opened with, or renewed with. */
  #used: Credentials | null = null
  #renewal: NodeJS.Timeout | undefined
  #due = false
  /** The server has refused a command because of them. */
  #distrusted = false
  #unsubscribe: (() => void) | null = null

  constructor (store: CredentialStore, client: BoundedRedis) {
    this.#store = store
    this.#client = client
    this.#holdBack()
  }

  connecting (): void {
    this.#unsubscribe ??= this.#store.onChange(() => this.#changed())
  }

  /** A socket is open, and the handshake begins. */
  handshaking (): void {
    this.#used = this.#store.take()
    internalsOf(this.#client).condition!.auth = this.#used === null ? null : inForm(this.#used)
  }

  ready (): void {
    this.#schedule(RENEW_AT + RENEW_SPREAD * this.#client.settings.random())
  }

  closed (): void {
    clearTimeout(this.#renewal)
    this.#due = this.#distrusted = false
    this.#used = null
  }

  ended (): void {
    this.#unsubscribe?.()
    this.#unsubscribe = null
  }

  /** By the server, in the handshake or of a command. */
  refused (): void {
    if (this.#used === null) return
    this.#distrusted = true
    this.#store.refused(this.#used)
  }

  /** The line has become free of what it had to wait for. */
  renewIfDue (): void {
    if (this.#due && this.#client.isBetweenCalls) this.#renew()
  }

  #changed (): void {
    if (this.#client.status === 'reconnecting') return this.#client.reconnect()
    // The user may no longer do what he could, and others have come: perhaps those of another user.
    if (!this.#distrusted || this.#client.status !== 'ready') return
    this.#due = true
    this.renewIfDue()
  }

  /** The server cuts a connection whose lifetime is over, in the middle of whatever it does. */
  #schedule (share: number): void {
    const { connectionLifetimeMs } = this.#store
    if (connectionLifetimeMs === null) return
    clearTimeout(this.#renewal)
    this.#renewal = setTimeout(() => {
      this.#due = true
      this.renewIfDue()
    }, connectionLifetimeMs * share)
    this.#renewal.unref()
  }

  #renew (): void {
    this.#due = false
    this.#schedule(RENEW_AGAIN)
    const credentials = this.#store.take()
    if (credentials === null) return
    const given = inForm(credentials)
    this.#client.sendOwn(new Redis.Command('auth', typeof given === 'string' ? [given] : given)).then(() => {
      this.#used = credentials
      this.#distrusted = false
      this.ready()
    }, (error: Error) => {
      if (error.name === 'ReplyError') this.#store.refused(credentials)
      // A subscriber that speaks RESP2 may say nothing but what is about its subscriptions.
      else if (this.#client.status === 'ready') this.#client.disconnect(true)
    })
  }

  /** ioredis asks for a socket first and looks at it afterwards: one that was never opened is a failed attempt, which has its place in everything else. */
  #holdBack (): void {
    const { connector } = internalsOf(this.#client)
    const { connectTimeoutMs } = this.#client.settings
    const dial = connector.connect.bind(connector)
    connector.connect = async (emit) => {
      if (this.#store.current === null) {
        connector.connecting = true
        delete connector.firstError
        try {
          await this.#store.arrival(connectTimeoutMs)
        } catch (error) {
          connector.firstError = explain(error as Error)
          return new Socket().destroy()
        }
        if (!connector.connecting) return new Socket().destroy()
      }
      return await dial(emit)
    }
  }
}

function inForm ({ username, password }: Credentials): string | [string, string] {
  return username === undefined || username === null || username === '' ? password.reveal() : [username, password.reveal()]
}

/** These stay as they are until a human does something. */
const CONFIGURATION = /MALFORMED|MISSING|AccessDenied|NotFound|DecryptionFailure|InvalidParameter|InvalidRequest|UnrecognizedClient|InvalidSignature|CredentialsProviderError/

/** Why there are no credentials, in a word: the name of the source's own error where it has one. */
function explain (error: Error): RedisConnectionFailed {
  const { code = '', cause } = error as Error & { code?: string, cause?: Error }
  const reason = cause?.name ?? (code === '' ? 'CREDENTIALS' : code.replace(/^FST_BRK_/, ''))
  const kind: FailureKind = CONFIGURATION.test(reason) || CONFIGURATION.test(code) ? 'configuration' : 'auth'
  return new RedisConnectionFailed(kind, reason, error)
}
