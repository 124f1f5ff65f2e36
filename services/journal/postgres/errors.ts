import createError from '@fastify/error'

/** The message itself is at fault: trying again would fail again. Nothing of it was stored, and its neighbours were. */
export const EntryRejected = createError<[string]>(
  'FST_BRK_JOURNAL_ENTRY',
  'The journal cannot store this message: %s.',
  400
)
