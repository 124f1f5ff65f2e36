import type { Redis } from 'ioredis'

export type RedisStatus = Redis['status']
export type WriteableStream = NonNullable<Parameters<Redis['sendCommand']>[1]>

/** What ioredis 6.0 keeps private and a guard cannot do without; looked at nowhere else, so that an upgrade is checked in one place. */
export interface Internals {
  setStatus (status: RedisStatus, argument?: unknown): void
  reconnectTimeout: NodeJS.Timeout | null
  manuallyClosing: boolean
}

export function internalsOf (client: Redis): Internals {
  return client as unknown as Internals
}
