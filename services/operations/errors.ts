import createError from '@fastify/error'

/** The page's live data cannot be sent to one more reader. */
export const StreamRefused = createError<[string]>(
  'FST_BRK_OPERATIONS_STREAM_REFUSED',
  'No live connection for the operations page: %s. GET /ops/state answers once, without a connection.',
  503,
  Error,
  false
)
