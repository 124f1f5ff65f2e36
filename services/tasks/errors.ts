import createError from '@fastify/error'

/** A task's payload breaks its schema. Nothing was stored. */
export const TaskPayloadInvalid = createError<[string, string]>(
  'FST_BRK_TASK_PAYLOAD_INVALID',
  'The payload of task "%s" was not accepted: %s. Correct the named fields and enqueue again.',
  400
)

/** A task cannot be defined or enqueued this way. */
export const TaskInvalid = createError<[string]>(
  'FST_BRK_TASK_INVALID',
  '%s See docs/consumers.md.',
  500
)
