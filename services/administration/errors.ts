import createError from '@fastify/error'

export const DeadLetterNotFound = createError<[]>(
  'FST_BRK_DEAD_LETTER_NOT_FOUND',
  'There is no dead letter with this id: it was replayed or purged, or never existed. GET /queue/dead-letters lists those that exist.',
  404,
  Error,
  false
)

/** Nobody knows what the message was. Nothing was changed. */
export const DeadLetterNotReplayable = createError<[]>(
  'FST_BRK_DEAD_LETTER_NOT_REPLAYABLE',
  'The bytes of this dead letter have none of the known forms, so there is no message to queue again. Look at it, then purge it.',
  409,
  Error,
  false
)

/** The cursor is not one that a listing, a replay or a purge returned. Nothing was changed. */
export const DeadLetterCursorInvalid = createError<[]>(
  'FST_BRK_DEAD_LETTER_CURSOR',
  'The cursor is not valid. Use the next_cursor of the answer before, unchanged, or none to begin.',
  400,
  Error,
  false
)

/** None of the sides asked for can be read now. Nothing was changed. */
export const DeadLettersUnavailable = createError<[string]>(
  'FST_BRK_DEAD_LETTERS_UNAVAILABLE',
  'The dead letters cannot be read: %s. Retry once what holds them answers again.',
  503
)

/** A purge of everything must repeat the queue's name. Nothing was deleted. */
export const PurgeUnconfirmed = createError<[string]>(
  'FST_BRK_PURGE_UNCONFIRMED',
  'A purge of all dead letters deletes them for good. Send "confirm": "%s" with it.',
  400,
  Error,
  false
)

/** A part of an answer did not come within its own deadline. */
export const AdministrationTimeout = createError<[number]>(
  'FST_BRK_ADMINISTRATION_TIMEOUT',
  'There was no answer within %s ms; whether a change was made is unknown. It is safe to send the request again.',
  503
)
