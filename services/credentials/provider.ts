import type { Secret } from '../config/secret.ts'

/** What a connection authenticates with. */
export interface Credentials {
  /** Null or absent: the `default` user, or the one that the address names. */
  readonly username?: string | null | undefined
  readonly password: Secret
  /** Milliseconds since 1970 after which a new connection is refused with it. Absent: it does not expire by itself. */
  readonly expiresAt?: number | undefined
}

/** Where credentials come from; implement it for a source of your own, such as Vault. */
export interface CredentialProvider {
  /** In logs and health details, for example `secret`. */
  readonly name: string
  /** Asked again when the server refuses what it gave, before it expires, and every few minutes. It should end when the signal aborts. */
  fetch (signal: AbortSignal): Promise<Credentials>
  /** How often to ask while all is well, in ms. Default 300,000. */
  readonly refreshMs?: number | undefined
  /** Each connection gets credentials of its own. Default false. */
  readonly perConnection?: boolean | undefined
  /** The server cuts a connection that has not authenticated again for so long, in ms. Default: never. */
  readonly connectionLifetimeMs?: number | undefined
}
