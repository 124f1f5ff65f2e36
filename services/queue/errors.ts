import createError from '@fastify/error'

/** The message breaks its schema or a rule of the protocol. Nothing was stored. */
export const MessageInvalid = createError<[string]>(
  'FST_BRK_MESSAGE_INVALID',
  'The message was not accepted: %s. Correct the named fields and publish again; see docs/messages.md.',
  400
)

/** A list element is no envelope of the wire protocol. It belongs to the dead letters: nobody can handle it. */
export const EnvelopeMalformed = createError<[string, ErrorOptions?]>(
  'FST_BRK_ENVELOPE_MALFORMED',
  'The queue element is not a valid envelope: %s. It was put aside; compare its producer with docs/messages.md.',
  422
)
