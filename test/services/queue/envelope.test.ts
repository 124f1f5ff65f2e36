import t from 'tap'
import { buildEnvelope, naiveTimestamp } from '../../../services/queue/envelope.ts'
import { assertModelReady, improvementPercentage } from '../../../services/queue/message.ts'
import type { ModelReadyMessage } from '../../../services/queue/message.ts'

const message: ModelReadyMessage = {
  model_id: 'churn/1/hok-churn',
  token_symbol: 'hok-churn',
  metric_name: 'auc',
  baseline_value: 0.5,
  current_value: 0.75,
  model_name: 'churn',
  model_version: '1'
}

t.test('R5.8 the envelope has exactly the six fields, and the payload exactly its own', async (t) => {
  const { messageId, body } = buildEnvelope(message, { correlationId: 'c' }, new Date('2026-11-21T10:18:32.840Z'))
  const { payload, ...envelope } = JSON.parse(body)
  t.strictSame(envelope, {
    message_id: messageId,
    message_type: 'model_ready_to_deploy',
    timestamp: '2026-11-21T10:18:32.840000',
    retry_count: 0,
    max_retries: 3
  })
  t.match(messageId, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  t.strictSame(payload, {
    ...message,
    status: 'registered',
    mlflow_run_id: null,
    proposal_identifier: 'hok-churn',
    improvement_percentage: 50,
    contributor_address: null,
    experiment_name: null,
    tags: { correlation_id: 'c' },
    api_schema: null,
    eval_spec: null,
    scorer_ref: null,
    primary_metric: null,
    benchmark_spec_id: null,
    timestamp: '2026-11-21T10:18:32.840000',
    message_version: '1.0'
  })
})

t.test('timestamps are naive UTC with microseconds: Python before 3.11 rejects a Z', async (t) => {
  t.equal(naiveTimestamp(new Date(0)), '1970-01-01T00:00:00.000000')
})

t.test('an improvement has a meaning only over a positive baseline', async (t) => {
  t.equal(improvementPercentage(2, 3), 50)
  t.equal(improvementPercentage(0, 3), null)
  t.equal(improvementPercentage(-1, 3), null)
})

t.test('R5.8 a message that breaks its schema or the baseline rule is refused with every problem named', async (t) => {
  const refuse = (change: object) => {
    try {
      assertModelReady({ ...message, ...change })
      return 'accepted'
    } catch (err) {
      t.match(err, { code: 'FST_BRK_MESSAGE_INVALID', statusCode: 400 })
      return (err as Error).message
    }
  }
  t.equal(refuse({ contributor_address: `0x${'aB'.repeat(20)}`, tags: { a: 'b' }, mlflow_run_id: null, improvement_percentage: -1 }), 'accepted')
  t.match(refuse({ token_symbol: 'Not Valid', extra: 1 }), /token_symbol.*extra|extra.*token_symbol/)
  t.match(refuse({ current_value: 0.4 }), /current_value: must not be below baseline_value/)
  for (const wrong of [
    { current_value: Number.NaN }, { baseline_value: Infinity }, { model_name: ' padded ' }, { model_name: '' }, { tags: { a: 1 } },
    { contributor_address: '0x123' }, { eval_spec: 'x'.repeat(501) }, { status: 'registered' }, { model_version: undefined }
  ]) t.match(refuse(wrong), new RegExp(Object.keys(wrong)[0]!))
  t.throws(() => assertModelReady(null), { code: 'FST_BRK_MESSAGE_INVALID' })
})
