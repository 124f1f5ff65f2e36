import createError from '@fastify/error'

/** The text after `--revision` has none of the known forms. */
export const RevisionInvalid = createError<[string]>(
  'FST_BRK_ECS_REVISION_INVALID',
  '%s is no revision. Give a number (41), a family with a number (breakwater:41), the ARN of a task definition, or previous.'
)

export const RevisionNotFound = createError<[string, string]>(
  'FST_BRK_ECS_REVISION_NOT_FOUND',
  'There is no task definition %s. %s'
)

/** ECS still shows a revision that was deregistered, but starts no new tasks of it. */
export const RevisionInactive = createError<[string, string, string]>(
  'FST_BRK_ECS_REVISION_INACTIVE',
  'The task definition %s is %s: it was deregistered, and ECS starts nothing from it. Register the same content again, or choose another one. %s'
)

export const NoPreviousRevision = createError<[string]>(
  'FST_BRK_ECS_NO_PREVIOUS',
  'Which revision ran before %s is not in the deployments that ECS remembers (90 days). Name the revision.'
)

export const ServiceNotFound = createError<[string, string, string]>(
  'FST_BRK_ECS_SERVICE_NOT_FOUND',
  'There is no active service %s in the cluster %s (%s). Check --service, --cluster and --region: aws ecs list-services shows what there is.'
)

/** CodeDeploy and external controllers do not take a task definition from UpdateService. */
export const ControllerUnsupported = createError<[string, string]>(
  'FST_BRK_ECS_CONTROLLER',
  'The service %s is deployed by %s, not by ECS itself. Roll back there.'
)

/** Somebody deployed between the plan that was shown and its execution. Nothing was changed. */
export const ServiceChanged = createError<[string, string]>(
  'FST_BRK_ECS_SERVICE_CHANGED',
  'The service %s changed since the plan was made: it deploys %s now. Nothing was changed; run the command again and look at the new plan.'
)

export const CredentialsUnusable = createError<[string, ErrorOptions?]>(
  'FST_BRK_ECS_CREDENTIALS',
  'AWS does not accept the credentials: %s. Sign in again (aws sso login, or AWS_PROFILE, or AWS_ACCESS_KEY_ID and its companions); aws sts get-caller-identity tells who you are.'
)

export const PermissionMissing = createError<[string, string, ErrorOptions?]>(
  'FST_BRK_ECS_DENIED',
  'AWS denies %s: %s. docs/rollback.md lists the permissions that are needed.'
)

export const RegionMissing = createError<[ErrorOptions?]>(
  'FST_BRK_ECS_REGION',
  'No AWS region is set. Give --region, or set AWS_REGION.'
)

/** No answer, or "later", until the retries ended. It is safe to run the command again. */
export const EcsUnavailable = createError<[string, string, ErrorOptions?]>(
  'FST_BRK_ECS_UNAVAILABLE',
  'ECS does not answer %s: %s. It is safe to run the command again.'
)

export const EcsRefused = createError<[string, string, ErrorOptions?]>(
  'FST_BRK_ECS_REFUSED',
  'ECS refuses %s: %s.'
)
