import { Type } from '@sinclair/typebox'
import { ModelReadyMessageSchema, fields } from './message.ts'

const Timestamp = Type.String({
  pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,6})?$',
  description: 'UTC without zone. Breakwater writes microseconds.'
})
const Count = (description: string) => Type.Integer({ minimum: 0, description })
const Nullable = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) => Type.Union([schema, Type.Null()])

const envelope = {
  message_id: Type.String({ minLength: 1, description: 'A UUID, by which consumers deduplicate. Breakwater writes version 7.' }),
  message_type: Type.String({ minLength: 1 }),
  payload: Type.Record(Type.String(), Type.Unknown()),
  timestamp: Timestamp,
  retry_count: Count('Deliveries that failed so far.'),
  max_retries: Count('Attempts after the first.')
}

const payload = Type.Object({
  ...Type.Required(ModelReadyMessageSchema).properties,
  status: Type.Literal('registered'),
  tags: Nullable(Type.Record(Type.String(), Type.String(), { description: 'Breakwater adds `correlation_id` and, where there is one, `traceparent`.' })),
  proposal_identifier: Nullable(fields.name),
  timestamp: Timestamp,
  message_version: Type.Literal('1.0')
}, { additionalProperties: false })

/** draft 7: every validator speaks it, in Python too. */
const document = (name: string, title: string, description: string) => ({
  $schema: 'http://json-schema.org/draft-07/schema#',
  $id: `urn:fastify-breakwater:${name}`,
  title,
  description,
  additionalProperties: false
})

/** What lies in Redis, and what `publish()` takes: name of the published file → JSON Schema. `npm run schemas` writes the files. */
export const publishedSchemas = {
  envelope: Type.Object(envelope, document('envelope', 'Envelope', 'An element of a queue, whatever its message type. It is closed: exactly these fields.')),
  'model-ready-to-deploy': Type.Object(
    { ...envelope, message_type: Type.Literal('model_ready_to_deploy'), payload },
    document('model-ready-to-deploy', 'model_ready_to_deploy', 'An element of the queue of registered models: the envelope and its payload, both closed.')
  ),
  'model-ready-message': Type.Object(
    ModelReadyMessageSchema.properties,
    document('model-ready-message', 'ModelReadyMessage', 'What publish() takes. One rule more: current_value must not be below baseline_value.')
  ),
  'dead-letter': Type.Object({
    original_message: Type.String({ description: 'The element of the queue, as text.' }),
    error: Type.String({ description: 'Why nobody could handle it.' }),
    failed_at: Timestamp,
    original_queue: Type.String({ minLength: 1 })
  }, document('dead-letter', 'Dead letter', 'An element of the list of dead letters. There may also be elements of the queue, unchanged.'))
}
