import type { ClusterOptions } from 'ioredis'
import type { ConnectionSettings } from '../connection/bounded-client.ts'
import type { Retries } from '../retry/retries.ts'
import type { Statistics } from '../command/statistics.ts'
import type { ClusterCircuit } from './cluster-circuit.ts'
import type { NatMap, NodeAddress } from './slot-view.ts'

export interface ClusterListener {
  nodeReady? (key: string): void
  nodeLost? (key: string, wasReady: boolean): void
  /** Another node serves slots from now on. */
  moved? (): void
}

export interface GuardedClusterOptions {
  /** Of the connection to one node; host and port are filled in. */
  settings: ConnectionSettings
  seeds: readonly NodeAddress[]
  circuit: ClusterCircuit
  statistics: Statistics
  commandTimeoutMs: number
  retries: Retries
  natMap: NatMap | undefined
  listener?: ClusterListener
  /** Usable before any connection is: commands wait for theirs. */
  patient?: boolean
}

/** Nothing is sent twice: what may have been executed is not tried again, and what was not is sent on only where a node says so. */
export function clusterOptions ({ options }: ConnectionSettings) {
  const { keyPrefix, enableAutoPipelining = false, autoPipeliningIgnoredCommands = [], showFriendlyErrorStack = false, scripts } = options
  return {
    lazyConnect: true,
    enableReadyCheck: false,
    scaleReads: 'master',
    maxRedirections: 16,
    retryDelayOnFailover: 0,
    retryDelayOnClusterDown: 0,
    retryDelayOnTryAgain: 50,
    retryDelayOnMoved: 0,
    // Names are resolved for each connection, and TLS checks them.
    dnsLookup: (address, callback) => callback(null, address),
    enableAutoPipelining,
    autoPipeliningIgnoredCommands,
    showFriendlyErrorStack,
    ...keyPrefix === undefined ? {} : { keyPrefix },
    ...scripts === undefined ? {} : { scripts }
  } satisfies ClusterOptions
}
