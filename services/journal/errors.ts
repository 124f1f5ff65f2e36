import createError from '@fastify/error'

/** The journal reached its high-water mark. Nothing was stored; what was accepted before is safe. */
export const JournalFull = createError<[number, number]>(
  'FST_BRK_JOURNAL_FULL',
  'The journal holds %s unpublished messages (%s bytes), its limit. Retry once the queue has drained, ' +
  'or raise JOURNAL_MAX_ROWS or JOURNAL_MAX_BYTES.',
  503
)
/** For `Retry-After`, in ms: long enough for a queue that is back to take a good part of the backlog. */
Object.defineProperty(JournalFull.prototype, 'retryAfterMs', { value: 5000 })

/** The database did not answer in time, failed, or is closing. Nothing was acknowledged. */
export const StoreUnavailable = createError<[string]>(
  'FST_BRK_STORE_UNAVAILABLE',
  'The database is not available: %s. Retry; if it persists, check the disk and DATABASE_URL.',
  503
)

/** Another relay took the lease over: what this one still holds is void. */
export const LeaseLost = createError<[]>(
  'FST_BRK_LEASE_LOST',
  'Another relay holds the lease. This one stops and tries to take it again.',
  500
)

/** The journal's engine has no transaction that a caller could share. Nothing was stored. */
export const TransactionUnsupported = createError<[]>(
  'FST_BRK_TRANSACTION_UNSUPPORTED',
  'This journal is an embedded database, which cannot join the transaction given. Publish without it, or keep the journal in PostgreSQL.',
  500
)
