import type { Durability } from '../journal/journal.ts'

/** A registration as its caller states it (PROTOCOL.md, "Registration request"). */
export interface NewModel {
  model_name: string
  version: string
  token_id: string
  metric_name: string
  baseline_value: number
  /** Defaults to the baseline. */
  current_value?: number
  /** Defaults to `token_id`. */
  proposal_identifier?: string
  mlflow_run_id?: string
  model_uri?: string
  contributor_address?: string
  experiment_name?: string
  api_schema?: Record<string, unknown>
  tags?: Record<string, string>
  eval_spec?: string
  scorer_ref?: string
  primary_metric?: string
  benchmark_spec_id?: string
}

/** A stored registration. */
export interface Model extends NewModel {
  /** `<model_name>/<version>/<token_id>` */
  model_id: string
  current_value: number
  proposal_identifier: string
  status: 'registered'
  /** True where `current_value < baseline_value`: stored, but not announced. */
  below_baseline: boolean
  /** ISO 8601 with `Z`. */
  created_at: string
  /** The event that announced it, or null below the baseline. */
  message_id: string | null
}

export interface RegisterOptions {
  /** Makes a repeated request return the first answer; kept for 24 hours. */
  idempotencyKey?: string | undefined
  correlationId: string
  traceparent?: string | undefined
}

export interface RegistrationEvent {
  message_id: string | null
  state: 'pending' | 'skipped'
  reason?: 'below_baseline'
  durability: Durability
}

export interface RegistrationResult {
  /** `replayed`: the same idempotency key came with the same request before; this is the answer given then. */
  outcome: 'created' | 'replayed'
  model: Model
  event: RegistrationEvent
}

export interface Page { limit: number, cursor?: string | undefined }
export interface ModelFilter { model_name?: string | undefined, token_id?: string | undefined }
export interface ModelPage { items: Model[], next_cursor: string | null }

/** Model registrations, newest first. They share a database, and one transaction each, with the journal. */
export interface Registry {
  /**
   * Stores the registration and its event in one transaction; resolves once both are durable.
   * @throws FST_BRK_MODEL_EXISTS (409), FST_BRK_IDEMPOTENCY_KEY_REUSED (422), FST_BRK_JOURNAL_FULL (503),
   *   FST_BRK_STORE_UNAVAILABLE (503). Nothing is stored then.
   */
  register (request: NewModel, options: RegisterOptions): Promise<RegistrationResult>
  /** @throws FST_BRK_CURSOR_INVALID (400) */
  list (query: ModelFilter & Page): Promise<ModelPage>
  versions (name: string, page: Page): Promise<ModelPage>
  find (name: string, version: string): Promise<Model | null>
}
