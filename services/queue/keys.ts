/** Redis hashes what stands between the first `{` and the first `}` after it, unless that is empty. */
const TAGGED = /^[^{]*\{[^}]+\}/

/**
 * A key of ours in the slot of the queue, so that one script may touch both in a cluster (PROTOCOL.md): `{<queue>}:<suffix>`, or
 * `<queue>:<suffix>` where the name has a hash tag already. A name with a `}` but no tag has no such key: it works on a single server,
 * not in a cluster.
 */
export function slotKey (queueName: string, suffix: string): string {
  return TAGGED.test(queueName) ? `${queueName}:${suffix}` : `{${queueName}}:${suffix}`
}

/** A hash: term → the last number of that term which the queue has taken. */
export function watermarkKey (queueName: string): string {
  return slotKey(queueName, 'watermark')
}
