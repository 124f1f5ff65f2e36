import { Redis } from 'ioredis'
import type { Cluster } from 'ioredis'
import type { Connection } from '../../services/relay/transport/redis-transport.ts'
import type { Teardown } from './redis-server.ts'

/** A connection without a guard, for tests of what stands on top of one. */
export function plainConnection (t: Teardown, port: number): Connection {
  const client = new Redis({
    port, maxRetriesPerRequest: 0, enableOfflineQueue: false, commandTimeout: 300, retryStrategy: () => 20
  })
  return connectionOf(t, client)
}

/** The same around a client of any kind. A new connection to any node of a cluster may mean a new master. */
export function connectionOf (t: Teardown, client: Redis | Cluster): Connection {
  const listeners = new Set<() => void>()
  let epoch = 0
  const connected = () => {
    epoch++
    for (const listener of listeners) listener()
  }
  client.on('error', () => {})
  client.on('ready', connected)
  client.on('+node', (node: Redis) => { node.on('ready', connected) })
  t.teardown(() => client.disconnect())
  return {
    client,
    get connectionEpoch () { return epoch },
    isHealthy: () => client.status === 'ready',
    onReady (listener) {
      listeners.add(listener)
      return () => { listeners.delete(listener) }
    }
  }
}
