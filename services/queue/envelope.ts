import { randomUUIDv7 } from 'node:crypto'
import { improvementPercentage } from './message.ts'
import type { ModelReadyMessage } from './message.ts'

/** Where a message comes from, carried in `payload.tags` because the envelope is closed (PROTOCOL.md). */
export interface Origin {
  correlationId: string
  /** W3C trace context of the request that caused the message. */
  traceparent?: string | undefined
}

export interface Envelope {
  messageId: string
  /** The exact bytes of the list element. Made once and never serialised again. */
  body: string
}

/** Consumers that exist parse this with Python's `fromisoformat`, which rejects `Z` before 3.11: naive UTC, microseconds. */
export function naiveTimestamp (date: Date): string {
  return `${date.toISOString().slice(0, -1)}000`
}

/** Wraps a checked message into the six-field envelope of the wire protocol. */
export function buildEnvelope (message: ModelReadyMessage, origin: Origin, now = new Date()): Envelope {
  return sealEnvelope('model_ready_to_deploy', buildPayload(message, origin, naiveTimestamp(now)), { now })
}

/** The envelope of any type of message; `maxRetries`: attempts after the first, default 3. */
export function sealEnvelope (messageType: string, payload: object, { now = new Date(), maxRetries = 3 } = {}): Envelope {
  const messageId = randomUUIDv7()
  const body = JSON.stringify({
    message_id: messageId,
    message_type: messageType,
    payload,
    timestamp: naiveTimestamp(now),
    retry_count: 0,
    max_retries: maxRetries
  })
  return { messageId, body }
}

function buildPayload (message: ModelReadyMessage, origin: Origin, timestamp: string) {
  const { baseline_value: baseline, current_value: current } = message
  return {
    model_id: message.model_id,
    token_symbol: message.token_symbol,
    metric_name: message.metric_name,
    baseline_value: baseline,
    current_value: current,
    model_name: message.model_name,
    model_version: message.model_version,
    status: 'registered',
    mlflow_run_id: message.mlflow_run_id ?? null,
    proposal_identifier: message.proposal_identifier ?? message.token_symbol,
    improvement_percentage: message.improvement_percentage ?? improvementPercentage(baseline, current),
    contributor_address: message.contributor_address ?? null,
    experiment_name: message.experiment_name ?? null,
    tags: {
      ...message.tags,
      correlation_id: origin.correlationId,
      ...(origin.traceparent === undefined ? {} : { traceparent: origin.traceparent })
    },
    api_schema: message.api_schema ?? null,
    eval_spec: message.eval_spec ?? null,
    scorer_ref: message.scorer_ref ?? null,
    primary_metric: message.primary_metric ?? null,
    benchmark_spec_id: message.benchmark_spec_id ?? null,
    timestamp,
    message_version: '1.0'
  }
}
