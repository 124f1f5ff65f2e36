import { Type } from '@sinclair/typebox'
import { headers } from '../../services/http/contract/headers.ts'
import { fields } from '../../services/queue/message.ts'

const DEFAULT_PAGE_SIZE = 50
const MAX_PAGE_SIZE = 200
const MAX_CURSOR_LENGTH = 256

const segment = Type.String({
  minLength: 1, maxLength: 255, pattern: '^[^/\\u0000-\\u001f\\u007f\\u2028\\u2029]+$', description: 'no slash and no control characters'
})
const name = Type.String({
  minLength: 1, maxLength: 255, pattern: '^[^\\u0000-\\u001f\\u007f\\u2028\\u2029]+$', description: 'no control characters'
})
const tokenId = Type.String({
  ...fields.tokenSymbol, description: 'lower case letters, digits and hyphens'
})
const contributorAddress = Type.String({
  ...fields.contributorAddress, description: '0x and 40 hexadecimal digits'
})

const example = {
  model_name: 'sales-lead-scorer', version: '3', token_id: 'sales-lead', metric_name: 'auroc', baseline_value: 0.71, current_value: 0.83
}
const fullExample = {
  ...example,
  version: '4',
  proposal_identifier: 'sales-lead-spring',
  mlflow_run_id: 'f3c1e0b2a7d94c55',
  model_uri: 'models:/sales-lead-scorer/4',
  contributor_address: '0x52908400098527886E0F7030069857D2E4169EE7',
  experiment_name: 'sales-lead/scoring',
  api_schema: { type: 'object', required: ['lead'], properties: { lead: { type: 'object' } } },
  tags: { team: 'growth', stage: 'production' },
  eval_spec: 'holdout-2026-q3',
  scorer_ref: 'scorers/auroc@2',
  primary_metric: 'auroc',
  benchmark_spec_id: 'sales-lead-v2'
}

/** PROTOCOL.md, "Registration request". A slash in a version would make two models share one model_id. */
export const RegistrationRequest = Type.Object({
  model_name: name,
  version: segment,
  token_id: tokenId,
  metric_name: name,
  baseline_value: Type.Number(),
  current_value: Type.Optional(Type.Number()),
  proposal_identifier: Type.Optional(name),
  mlflow_run_id: Type.Optional(name),
  model_uri: Type.Optional(Type.String({ minLength: 1, maxLength: 2048, pattern: '^[^\\u0000-\\u0020\\u007f]+$', description: 'no spaces and no control characters' })),
  contributor_address: Type.Optional(contributorAddress),
  experiment_name: Type.Optional(name),
  api_schema: Type.Optional(fields.apiSchema),
  tags: Type.Optional(fields.tags),
  eval_spec: Type.Optional(fields.reference),
  scorer_ref: Type.Optional(fields.reference),
  primary_metric: Type.Optional(fields.reference),
  benchmark_spec_id: Type.Optional(fields.reference)
}, { title: 'RegistrationRequest', additionalProperties: false, examples: [example, fullExample] })

export const RegistrationHeaders = Type.Object({
  'idempotency-key': Type.Optional(Type.String({
    minLength: 1, maxLength: 255, pattern: '^[\\x20-\\x7e]+$', description: 'printable ASCII characters'
  }))
})

const durability = Type.Union([Type.Literal('none'), Type.Literal('node'), Type.Literal('cluster')])
const nullableString = Type.Unsafe<string | null>({ type: ['string', 'null'] })

export const Registration = Type.Object({
  model_id: Type.String(),
  model_name: Type.String(),
  version: Type.String(),
  event: Type.Object({
    message_id: nullableString,
    state: Type.Union([Type.Literal('pending'), Type.Literal('skipped')]),
    reason: Type.Optional(Type.Literal('below_baseline')),
    durability
  })
}, {
  title: 'Registration',
  description: 'Registration and event are durable.',
  headers: headers('location', 'idempotency-replayed')
})

const openObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })

export const StoredModel = Type.Object({
  model_id: Type.String(),
  model_name: Type.String(),
  version: Type.String(),
  token_id: Type.String(),
  metric_name: Type.String(),
  baseline_value: Type.Number(),
  current_value: Type.Number(),
  proposal_identifier: Type.String(),
  mlflow_run_id: Type.Optional(Type.String()),
  model_uri: Type.Optional(Type.String()),
  contributor_address: Type.Optional(Type.String()),
  experiment_name: Type.Optional(Type.String()),
  api_schema: Type.Optional(openObject),
  tags: Type.Optional(Type.Unsafe<Record<string, string>>({ type: 'object', additionalProperties: { type: 'string' } })),
  eval_spec: Type.Optional(Type.String()),
  scorer_ref: Type.Optional(Type.String()),
  primary_metric: Type.Optional(Type.String()),
  benchmark_spec_id: Type.Optional(Type.String()),
  status: Type.Literal('registered'),
  below_baseline: Type.Boolean(),
  created_at: Type.String(),
  message_id: nullableString
}, { title: 'Model', description: 'A registered model.' })

export const StoredModelPage = Type.Object({ items: Type.Array(StoredModel), next_cursor: nullableString }, { title: 'ModelPage', description: 'Newest first.' })

const page = {
  limit: Type.Integer({ minimum: 1, maximum: MAX_PAGE_SIZE, default: DEFAULT_PAGE_SIZE }),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_CURSOR_LENGTH, description: 'next_cursor of the page before' }))
}

export const PageQuery = Type.Object(page, { additionalProperties: false })
export const ListQuery = Type.Object({
  model_name: Type.Optional(name), token_id: Type.Optional(tokenId), ...page
}, { additionalProperties: false })

export const NameParams = Type.Object({ name })
export const VersionParams = Type.Object({ name, version: segment })
