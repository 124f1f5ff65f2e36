import type { RedisOptions } from 'ioredis'
import type { RedisTarget } from '../../config/redis/redis-target.ts'
import type { CredentialStore } from '../../credentials/credential-store.ts'
import type { ConnectionSettings } from './bounded-client.ts'
import type { GuardOptions } from '../guard-options.ts'

export interface TlsOptions {
  /** Certificate authority (PEM) to trust instead of the well-known ones. */
  ca?: string | Buffer | (string | Buffer)[] | undefined
}

/** A target in ioredis' terms; everything but the password, which is read for each connection. */
export function clientOptions (target: RedisTarget, connectionName: string, tls: TlsOptions): RedisOptions {
  const address = target.path !== null ? { path: target.path } : target.host !== null ? { host: target.host, port: target.port! } : {}
  const user = target.username !== null ? { username: target.username } : {}
  const secure = target.tls ? { tls: tls.ca !== undefined ? { ca: tls.ca } : {} } : {}
  return { ...address, ...user, ...secure, db: target.db, connectionName, enableOfflineQueue: false }
}

/** What every connection to the target has in common. */
export function connectionSettings (options: GuardOptions, credentials?: CredentialStore): ConnectionSettings {
  const { target, name = 'breakwater', commandTimeoutMs = 500, connectTimeoutMs = 1000, clock = () => performance.now(), random = Math.random } = options
  return {
    options: { ...clientOptions(target, name, options.tls ?? {}), ...options.redisOptions },
    password: () => target.password?.reveal() ?? null,
    credentials,
    connectTimeoutMs,
    handshakeTimeoutMs: Math.min(commandTimeoutMs, connectTimeoutMs),
    clock,
    random,
    reconnect: true
  }
}
