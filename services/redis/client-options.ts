import type { RedisOptions } from 'ioredis'
import type { RedisTarget } from '../config/redis-target.ts'

export interface TlsOptions {
  /** Certificate authority (PEM) to trust instead of the well-known ones. */
  ca?: string | Buffer | (string | Buffer)[] | undefined
}

/** A target in ioredis' terms; everything but the password, which is read for each connection. */
export function clientOptions (target: RedisTarget, connectionName: string, tls: TlsOptions): RedisOptions {
  const address = target.path !== null ? { path: target.path } : { host: target.host!, port: target.port! }
  const user = target.username !== null ? { username: target.username } : {}
  const secure = target.tls ? { tls: tls.ca !== undefined ? { ca: tls.ca } : {} } : {}
  return { ...address, ...user, ...secure, db: target.db, connectionName, enableOfflineQueue: false }
}
