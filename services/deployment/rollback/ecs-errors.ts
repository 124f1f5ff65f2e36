import { CredentialsUnusable, EcsRefused, EcsUnavailable, PermissionMissing, ServiceNotFound } from '../errors.ts'

const CREDENTIALS = new Set([
  'CredentialsProviderError', 'ExpiredTokenException', 'ExpiredToken', 'InvalidClientTokenId', 'UnrecognizedClientException',
  'InvalidSignatureException', 'MissingAuthenticationTokenException', 'IncompleteSignature', 'TokenProviderError', 'RequestExpired'
])
const NO_SERVICE = new Set(['ClusterNotFoundException', 'ServiceNotFoundException', 'ServiceNotActiveException'])
const LATER = new Set(['ThrottlingException', 'Throttling', 'TooManyRequestsException', 'RequestLimitExceeded', 'ServerException', 'ServiceUnavailable'])

/** An error of the SDK, or of the connection, as one of ours: with what to do about it. */
export function translate (action: string, err: Error, { cluster, service }: { cluster: string, service: string }): Error {
  const options = { cause: err }
  if (CREDENTIALS.has(err.name)) return new CredentialsUnusable(reason(err), options)
  if (err.name === 'AccessDeniedException') return new PermissionMissing(`ecs:${action}`, reason(err), options)
  if (NO_SERVICE.has(err.name)) return new ServiceNotFound(service, cluster, err.name)
  const status = (err as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
  const answered = status !== undefined && status < 500 && !LATER.has(err.name)
  return answered ? new EcsRefused(action, reason(err), options) : new EcsUnavailable(action, reason(err), options)
}

/** Whether asking again later can help. */
export function isTransient (err: unknown): boolean {
  return (err as { code?: string }).code === 'FST_BRK_ECS_UNAVAILABLE'
}

/** Some errors of connections have no message but a code. */
function reason (err: Error & { code?: string }): string {
  const text = err.message === '' || err.message === 'UnknownError' ? err.code ?? err.name : err.message
  return text.slice(0, 300).replace(/\.$/, '')
}
