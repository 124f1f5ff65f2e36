import createError from '@fastify/error'

/** A check was registered under a name that is taken. */
export const HealthCheckExists = createError<[string]>(
  'FST_BRK_HEALTH_CHECK_EXISTS',
  'A health check named "%s" is registered already. Choose another name: two checks under one name would hide each other.',
  500
)

/** A check's registration is not usable. */
export const HealthCheckInvalid = createError<[string, string]>(
  'FST_BRK_HEALTH_CHECK_INVALID',
  'The health check "%s" cannot be registered: %s.',
  500
)
