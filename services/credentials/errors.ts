import createError from '@fastify/error'

/** `reason` is the name of the SDK's error or a word of ours: it holds no secret. */
export const CredentialsUnavailable = createError<[source: string, reason: string, remedy: string, cause?: ErrorOptions]>('FST_BRK_CREDENTIALS_UNAVAILABLE',
  'The Redis credentials could not be fetched from %s: %s. %s What was fetched before is used meanwhile; it is tried again by itself.', 503)

export const SecretMalformed = createError<[secret: string, rule: string]>('FST_BRK_SECRET_MALFORMED',
  'The secret "%s" is not usable: %s. Store the bare token, or JSON with the field that REDIS_AUTH_SECRET_KEY names.', 503)
