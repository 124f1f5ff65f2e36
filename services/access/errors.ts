import createError from '@fastify/error'

/** The request has no key, or one that is not valid. */
export const KeyRequired = createError<[]>(
  'FST_BRK_KEY_REQUIRED',
  'This needs a valid API key. Send it as "Authorization: Bearer <key>" or as "x-api-key: <key>".',
  401,
  Error,
  false
)

/** The key is valid, but opens less than this. */
export const ScopeInsufficient = createError<[string]>(
  'FST_BRK_SCOPE_INSUFFICIENT',
  'This needs an API key with the scope "%s". Ask the operator for one.',
  403,
  Error,
  false
)

/** The caller sent more requests than it may. */
export const RateExceeded = createError<[number, number]>(
  'FST_BRK_RATE_EXCEEDED',
  'More than %s requests within %s seconds. Send the next one after the time in Retry-After.',
  429,
  Error,
  false
)
