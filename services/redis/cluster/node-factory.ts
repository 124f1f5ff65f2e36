import type { RedisOptions } from 'ioredis'
import type { ConnectionListener, ConnectionSettings } from '../connection/bounded-client.ts'
import type { Classification } from '../classify.ts'
import { RedisNotConnected } from '../errors.ts'
import type { Retries } from '../retry/retries.ts'
import type { Statistics } from '../command/statistics.ts'
import { Traffic } from '../command/traffic.ts'
import type { ClusterCircuit } from './cluster-circuit.ts'
import { ClusterNode } from './cluster-node.ts'
import { addressOf } from './slot-view.ts'

export interface NodeFactoryOptions {
  /** Of the connection to one node; host and port are filled in. */
  settings: ConnectionSettings
  circuit: ClusterCircuit
  statistics: Statistics
  commandTimeoutMs: number
  retries: Retries
}

/** Makes the connections of one client, all behind the circuits of the cluster and counted together. */
export class NodeFactory {
  readonly #options: NodeFactoryOptions
  readonly #traffic = new Map<string, Traffic>()

  constructor (options: NodeFactoryOptions) {
    this.#options = options
  }

  /** It connects when it is needed, and again and again until it is told to stop. */
  commands (key: string, readOnly: boolean, listener: ConnectionListener): ClusterNode {
    return this.#make(key, { readOnly }, true, listener)
  }

  /** It connects once; who needs it longer makes another. Subscriptions are restored by whoever knows of them. */
  subscriber (key: string): ClusterNode {
    const { connectionName } = this.#options.settings.options
    return this.#make(key, { connectionName: `${connectionName}-subscriber`, autoResubscribe: false }, false, {})
  }

  #make (key: string, options: RedisOptions, reconnect: boolean, listener: ConnectionListener): ClusterNode {
    const { settings, circuit } = this.#options
    return new ClusterNode({
      settings: { ...settings, reconnect, options: { ...settings.options, ...addressOf(key), lazyConnect: true, enableOfflineQueue: true, ...options } },
      traffic: this.#trafficOf(key),
      // The first connection to a node is worth a wait: it is made when slots move there.
      patient: true,
      refusal: () => notConnected(circuit, key),
      onDuplicate: (client) => circuit.root.adopt(client),
      listener
    })
  }

  #trafficOf (key: string): Traffic {
    const { circuit, statistics, commandTimeoutMs, retries, settings: { clock } } = this.#options
    let traffic = this.#traffic.get(key)
    if (traffic === undefined) {
      // By its name: a node that left and came back has a new circuit.
      const admission = {
        get breaker () { return circuit.circuitOf(key).breaker },
        get writes () { return circuit.circuitOf(key).writes },
        admit: () => circuit.circuitOf(key).admit(),
        evidence: (failure: Classification) => circuit.circuitOf(key).evidence(failure)
      }
      traffic = new Traffic({ admission, statistics, commandTimeoutMs, retries, clock })
      this.#traffic.set(key, traffic)
    }
    return traffic
  }
}

/** Half of the time between two looks at who serves what. */
const RETRY_AFTER_MS = 100

export function notConnected (circuit: ClusterCircuit, what: string): RedisNotConnected {
  const { lastError } = circuit.root
  const reason = lastError === null ? what : `${what}; last error: ${lastError.kind}, ${lastError.code}`
  return new RedisNotConnected(reason, lastError?.kind ?? 'transport', RETRY_AFTER_MS)
}
