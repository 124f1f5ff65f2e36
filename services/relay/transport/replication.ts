import type { Cluster, Redis } from 'ioredis'
import { NotReplicated } from '../errors.ts'

export interface ReplicationOptions {
  /** Replicas that must have a batch before it counts as published. Fewer in reach: nothing counts, and nothing new is sent. */
  minReplicas: number
  /** How long to wait for them, on top of the connection's own deadline. At least 1. */
  replicaTimeoutMs: number
}

/**
 * Runs a script that writes, and resolves once enough replicas have what it wrote and all before. The script is sent in full, not by its
 * hash: after `SCRIPT FLUSH` it would be sent again behind the `WAIT`, which had then waited for nothing.
 *
 * @throws {NotReplicated}
 */
export async function callReplicated<T> (
  client: Redis | Cluster, { minReplicas, replicaTimeoutMs }: ReplicationOptions, script: string, keys: string[], args: (string | number)[]
): Promise<T> {
  // To Redis 0 means for ever.
  const timeoutMs = Math.max(1, replicaTimeoutMs)
  const results = await client.pipeline().eval(script, keys.length, ...keys, ...args).wait(minReplicas, timeoutMs).exec()
  const [[failure, reply], [waitFailure, replicas]] = results as [[Error | null, T], [Error | null, number]]
  if (failure !== null) followSlot(client, failure)
  if (failure ?? waitFailure) throw failure ?? waitFailure
  if (replicas < minReplicas) throw new NotReplicated(replicas, minReplicas, timeoutMs)
  return reply
}

/** ioredis follows redirections only where every command of a pipeline asks for it, and `WAIT` never does. */
function followSlot (client: Redis | Cluster, { message }: Error): void {
  if (client.isCluster && /^(MOVED|ASK|CLUSTERDOWN)/.test(message)) (client as Cluster).refreshSlotsCache()
}
