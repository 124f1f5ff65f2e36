import createError from '@fastify/error'

const RejectedBase = createError<[reason: string]>('FST_BRK_MESSAGE_REJECTED',
  'The queue refuses a message because of its contents: %s. It becomes a dead letter; send it again once the limit is raised, or send less.', 500)
const ReplicationBase = createError<[acknowledged: number, wanted: number, timeoutMs: number]>('FST_BRK_REPLICATION',
  'Only %s of %s replicas have the last messages after %s ms; they wait in the journal and are sent again, which the queue notices. ' +
  'Look at the replicas, or lower PUBLISH_MIN_REPLICAS.', 503)

/** The queue will never take these contents, whatever its state: the culprit is to be found and put aside. */
export class MessageRejected extends RejectedBase {
  readonly kind = 'rejected'
  readonly reason: string
  /** Of the culprit among the bodies of the batch; null: one of them, or only all of them together. */
  readonly index: number | null

  constructor (reason: string, index: number | null = null) {
    super(reason)
    this.reason = reason
    this.index = index
  }
}

/** The primary has the messages, too few replicas have: a failover now could forget them, so they do not count as published. */
export class NotReplicated extends ReplicationBase {
  readonly kind = 'replication'
}

/** The stream holds as many entries as it may, and none that could go. Those that fitted are in it; the rest waits in the journal. */
export const StreamFull = createError<[number]>(
  'FST_BRK_STREAM_FULL',
  'The stream holds %s entries, its limit, and some group has yet to read or acknowledge the oldest, so nothing was dropped and messages wait in the ' +
  'journal. Start or repair the consumers, delete groups that nobody uses (XGROUP DESTROY), or raise QUEUE_STREAM_MAX_LENGTH.',
  503
)
/** Redis is well: this says nothing about the connection. */
Object.defineProperty(StreamFull.prototype, 'kind', { value: 'queue-full' })
