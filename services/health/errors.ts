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

const WritesRefusedBase = createError<[string]>(
  'FST_BRK_HEALTH_WRITES_REFUSED',
  'writes refused: %s. Redis answers and serves reads; look at its memory, its disk and its replication.',
  503
)

/** Redis answers, and takes no writes: READONLY, OOM, MISCONF or NOREPLICAS. */
export class WritesRefused extends WritesRefusedBase {
  readonly kind = 'overload'
}
