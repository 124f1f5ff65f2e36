import type { RedisOptions } from 'ioredis'
import type { CredentialStore } from '../../credentials/credential-store.ts'
import type { Classification } from '../classify.ts'

export interface ConnectionSettings {
  options: RedisOptions
  /** Read for each connection, so that it can change; kept out of sight of whoever prints the client. */
  password: () => string | null
  /** User and password come from here instead. */
  credentials?: CredentialStore | undefined
  connectTimeoutMs: number
  /** From the open socket to `ready`: HELLO, AUTH, SELECT. */
  handshakeTimeoutMs: number
  clock: () => number
  random: () => number
  /** False: one attempt for each call of `connect()`. */
  reconnect: boolean
}

/** Told at once, not by the next tick, so that a decision and the facts it rests on cannot drift apart. */
export interface ConnectionListener {
  ready? (): void
  /** The connection is gone, or an attempt to get one, begun at `attemptedAt`, has failed; `explained`: an error has said why. */
  lost? (wasReady: boolean, explained: boolean, attemptedAt: number): void
  /** `attemptedAt`: Infinity where it is a connection that has failed. */
  failed? (failure: Classification, error: Error, attemptedAt: number): void
}
