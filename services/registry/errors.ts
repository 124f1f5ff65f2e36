import createError from '@fastify/error'

/** `(model_name, version)` is registered already. Nothing was stored. */
export const ModelExists = createError<[string, string]>(
  'FST_BRK_MODEL_EXISTS',
  'Model %s already has a version %s. Register another version, or read the one that exists.',
  409
)

/** The same Idempotency-Key came with a different request before. Nothing was stored. */
export const IdempotencyKeyReused = createError<[]>(
  'FST_BRK_IDEMPOTENCY_KEY_REUSED',
  'This Idempotency-Key was used for a different registration. Send a new key with a new request.',
  422
)

/** The cursor is not one that a listing returned. */
export const CursorInvalid = createError<[]>(
  'FST_BRK_CURSOR_INVALID',
  'The cursor is not valid. Use the next_cursor of the page before, unchanged, or none for the first page.',
  400
)
