import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { MessageInvalid } from './errors.ts'

const Text = (maxLength: number) => Type.String({ minLength: 1, maxLength, pattern: '^\\S(.*\\S)?$' })

/** Field rules that the queue payload and the registration request share (docs/messages.md). */
export const fields = {
  name: Text(255),
  tokenSymbol: Type.String({ minLength: 1, maxLength: 64, pattern: '^[a-z0-9-]+$' }),
  metric: Type.Number(),
  contributorAddress: Type.String({ pattern: '^0x[a-fA-F0-9]{40}$' }),
  reference: Text(500),
  tags: Type.Record(Type.String({ minLength: 1, maxLength: 128 }), Type.String({ maxLength: 1024 }), { maxProperties: 64 }),
  apiSchema: Type.Record(Type.String(), Type.Unknown())
}

const Nullable = <T extends Parameters<typeof Type.Optional>[0]>(schema: T) =>
  Type.Optional(Type.Union([schema, Type.Null()]))

/** What a caller gives to announce a model; the rest of the payload is derived. */
export const ModelReadyMessageSchema = Type.Object({
  model_id: Text(600),
  token_symbol: fields.tokenSymbol,
  metric_name: fields.name,
  baseline_value: fields.metric,
  current_value: fields.metric,
  model_name: fields.name,
  model_version: fields.name,
  mlflow_run_id: Nullable(fields.name),
  proposal_identifier: Nullable(fields.name),
  improvement_percentage: Nullable(fields.metric),
  contributor_address: Nullable(fields.contributorAddress),
  experiment_name: Nullable(fields.name),
  tags: Nullable(fields.tags),
  api_schema: Nullable(fields.apiSchema),
  eval_spec: Nullable(fields.reference),
  scorer_ref: Nullable(fields.reference),
  primary_metric: Nullable(fields.reference),
  benchmark_spec_id: Nullable(fields.reference)
}, { additionalProperties: false })
export type ModelReadyMessage = Static<typeof ModelReadyMessageSchema>

const validator = TypeCompiler.Compile(ModelReadyMessageSchema)

/**
 * Checks a message against its schema and the rule that only a model at or above its baseline is announced.
 * @throws {MessageInvalid} naming every field and rule at once; nothing has been stored then.
 */
export function assertModelReady (message: unknown): asserts message is ModelReadyMessage {
  if (!validator.Check(message)) {
    const problems = [...validator.Errors(message)].map(({ path, message: rule }) => `${path || '/'}: ${rule}`)
    throw new MessageInvalid([...new Set(problems)].join('; '))
  }
  if (message.current_value < message.baseline_value) {
    throw new MessageInvalid('/current_value: must not be below baseline_value')
  }
}

/** Relative gain over the baseline in percent, or null where a baseline of zero or less gives it no meaning. */
export function improvementPercentage (baseline: number, current: number): number | null {
  return baseline > 0 ? (current - baseline) / baseline * 100 : null
}
