import { createHash } from 'node:crypto'
import type { JournalEntry } from '../journal/journal.ts'
import { buildEnvelope } from '../queue/envelope.ts'
import type { ModelReadyMessage } from '../queue/message.ts'
import { assertModelReady } from '../queue/message.ts'
import { CursorInvalid } from './errors.ts'
import type { Model, NewModel, RegisterOptions } from './registry.ts'

/** How long an idempotency key is remembered. */
export const IDEMPOTENCY_TTL_MS = 24 * 60 * 60 * 1000

/** A registration as every engine stores it. */
export interface RegisterArguments {
  modelName: string
  version: string
  tokenId: string
  /** The model as JSON, as it will be read again. */
  model: string
  idempotency: { key: string, fingerprint: string } | null
  /** The event, or null where the registration announces nothing. */
  entry: JournalEntry | null
}

export type RegisterOutcome =
  | { outcome: 'created' | 'exists' | 'key-reused' }
  | { outcome: 'replayed', model: string }

export interface ListArguments { modelName: string | null, tokenId: string | null, before: number | null, limit: number }
export interface ModelRow { id: number, model: string }

/** The stored model and, at or above the baseline, the event that announces it. */
export function prepare (request: NewModel, options: RegisterOptions): { model: Model, stored: RegisterArguments } {
  const { idempotencyKey } = options
  const { model, entry } = announce(complete(request), options)
  const stored = {
    modelName: model.model_name,
    version: model.version,
    tokenId: model.token_id,
    model: JSON.stringify(model),
    idempotency: idempotencyKey === undefined ? null : { key: idempotencyKey, fingerprint: fingerprint(request) },
    entry
  }
  return { model, stored }
}

function complete (request: NewModel): Model {
  const current = request.current_value ?? request.baseline_value
  return {
    ...request,
    model_id: `${request.model_name}/${request.version}/${request.token_id}`,
    current_value: current,
    proposal_identifier: request.proposal_identifier ?? request.token_id,
    status: 'registered',
    below_baseline: current < request.baseline_value,
    created_at: new Date().toISOString(),
    message_id: null
  }
}

function announce (model: Model, origin: RegisterOptions): { model: Model, entry: JournalEntry | null } {
  if (model.below_baseline) return { model, entry: null }
  const message = announcement(model)
  assertModelReady(message)
  const { messageId, body } = buildEnvelope(message, origin)
  return { model: { ...model, message_id: messageId }, entry: { key: model.model_name, body } }
}

function announcement (model: Model): ModelReadyMessage {
  const { version, token_id: tokenSymbol, model_uri: _uri, status: _status, below_baseline: _flag, created_at: _at, message_id: _id, ...shared } = model
  return { ...shared, model_version: version, token_symbol: tokenSymbol }
}

/** Equal for requests that say the same, whatever the order of their fields. */
function fingerprint (request: NewModel): string {
  return createHash('sha256').update(canonical(request)).digest('base64url')
}

function canonical (value: unknown): string {
  return JSON.stringify(value, (_key, nested: unknown) => isPlainObject(nested)
    ? Object.fromEntries(Object.entries(nested).sort(([a], [b]) => a < b ? -1 : 1))
    : nested)
}

function isPlainObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function encodeCursor (id: number): string {
  return Buffer.from(`m${id}`).toString('base64url')
}

/** @throws {CursorInvalid} */
export function decodeCursor (cursor: string): number {
  const [, id] = /^m(\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? []
  if (id === undefined) throw new CursorInvalid()
  return Number(id)
}
