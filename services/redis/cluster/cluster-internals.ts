import type { Cluster, Redis } from 'ioredis'
import type { ClusterNode } from './cluster-node.ts'
import type { NodeAddress } from './slot-view.ts'

export type NodeRole = 'all' | 'master' | 'slave'

/** What ioredis 6.0 keeps private of a cluster and a guard cannot do without; looked at nowhere else. */
export interface ClusterInternals {
  status: string
  slots: string[][]
  _groupsIds: Record<string, number>
  _groupsBySlot: (number | undefined)[]
  connectionPool: {
    nodes: Record<NodeRole, Record<string, ClusterNode>>
    createRedisFromOptions (node: NodeAddress, readOnly: boolean): Redis
    getSampleInstance (role: NodeRole): ClusterNode | undefined
    findOrCreate (node: NodeAddress, readOnly?: boolean): ClusterNode
    removeNode (key: string): void
    removeAllListeners (event: string): void
  }
  setStatus (status: string): void
}

export function clusterInternals (cluster: Cluster): ClusterInternals {
  return cluster as unknown as ClusterInternals
}
