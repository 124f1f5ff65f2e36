import type { Socket } from 'node:net'
import type { Redis } from 'ioredis'

export type RedisStatus = Redis['status']
export type WriteableStream = NonNullable<Parameters<Redis['sendCommand']>[1]>

/** What ioredis 6.0 keeps private and a guard cannot do without; looked at nowhere else, so that an upgrade is checked in one place. */
export interface Internals {
  setStatus (status: RedisStatus, argument?: unknown): void
  reconnectTimeout: NodeJS.Timeout | null
  manuallyClosing: boolean
  readonly connector: ConnectorInternals
  /** Of the current connection. */
  condition: { auth: string | [string, string] | null, handshake: boolean, subscriber: unknown } | null
}

/** Opens the sockets of a client. */
export interface ConnectorInternals {
  connect (emit: (type: string, error: Error) => void): Promise<Socket>
  /** False: somebody has given up the attempt. */
  connecting: boolean
  firstError?: Error
}

export function internalsOf (client: Redis): Internals {
  return client as unknown as Internals
}
