import type { NewModel } from '../../services/registry/registry.ts'

/** Larger than the smallest `proto-max-bulk-len` that Redis can be given, which is the one it is given here. */
const POISON_BYTES = 1_200_000
const TOKEN = 'chaos'

/** A writer's model name; a writer is a small number everywhere else. */
export function writerName (writer: number): string { return `w${writer}` }

/** Null where no writer is called that. */
export function writerOf (name: string): number | null {
  const [, digits] = /^w(\d{1,6})$/.exec(name) ?? []
  return digits === undefined ? null : Number(digits)
}

/** The registration with this number of this writer: the same wherever it is made, so that whoever reads it can check every value. */
export function modelOf (writer: number, version: number): NewModel {
  return {
    model_name: writerName(writer),
    version: String(version),
    token_id: TOKEN,
    metric_name: 'auc',
    baseline_value: writer + 1,
    current_value: writer + 1 + version,
    experiment_name: 'é \u{1f40b} "\\',
    tags: { writer: String(writer) }
  }
}

/** A registration whose message Redis refuses whatever one does. */
export function poisonOf (writer: number, version: number): NewModel {
  return { ...modelOf(writer, version), api_schema: { description: 'x'.repeat(POISON_BYTES) } }
}

/** What is wrong with a message that claims to announce this model, or null. */
export function payloadProblem (payload: Record<string, unknown>, writer: number, version: number): string | null {
  const model = modelOf(writer, version)
  const expected: Record<string, unknown> = {
    model_id: `${model.model_name}/${version}/${TOKEN}`,
    token_symbol: TOKEN,
    metric_name: model.metric_name,
    baseline_value: model.baseline_value,
    current_value: model.current_value,
    model_name: model.model_name,
    model_version: model.version,
    experiment_name: model.experiment_name,
    status: 'registered',
    message_version: '1.0'
  }
  const wrong = Object.keys(expected).find((field) => payload[field] !== expected[field])
  return wrong === undefined ? null : `${wrong} is ${JSON.stringify(payload[wrong])}`
}
