import { slotKey } from '../../queue/keys.ts'

/** The Redis keys of a queue, as PROTOCOL.md names them. */
export interface QueueKeys {
  readonly queue: string
  readonly processing: string
  readonly deadLetters: string
  /** Hash: digest of an element → the claims on its copies. */
  readonly claims: string
  /** Sorted set: messages that wait for their next attempt, by due time. */
  readonly delayed: string
  /** Hash: digest of an element in processing that nobody claims → when that was first seen, and last. */
  readonly firstSeen: string
  /** Hash: digest of an element → how often it was recovered, and since when. */
  readonly recoveries: string
  /** Where consumers that know no hash tags leave messages in a cluster; null where that is `processing` itself. */
  readonly untaggedProcessing: string | null
}

/** `cluster`: scripts can only touch keys of one slot, so processing and dead letters are tagged too. */
export function queueKeys (queue: string, cluster: boolean): QueueKeys {
  const shared = (name: string) => cluster ? slotKey(queue, name) : `${queue}:${name}`
  return {
    queue,
    processing: shared('processing'),
    deadLetters: shared('dlq'),
    claims: slotKey(queue, 'claims'),
    delayed: slotKey(queue, 'delayed'),
    firstSeen: slotKey(queue, 'first-seen'),
    recoveries: slotKey(queue, 'recoveries'),
    // Where the name has a hash tag of its own, both names are the same.
    untaggedProcessing: cluster && shared('processing') !== `${queue}:processing` ? `${queue}:processing` : null
  }
}
