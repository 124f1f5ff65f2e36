import { createHash } from 'node:crypto'
import { extname } from 'node:path'
import type { SqliteEngine } from '../journal/sqlite/engine.ts'
import type { SqliteJournal } from '../journal/sqlite/journal.ts'
import { buildEnvelope } from '../queue/envelope.ts'
import type { ModelReadyMessage } from '../queue/message.ts'
import { assertModelReady } from '../queue/message.ts'
import { CursorInvalid, IdempotencyKeyReused, ModelExists } from './errors.ts'
import type {
  Model, ModelFilter, ModelPage, NewModel, Page, RegisterOptions, RegistrationResult, Registry
} from './registry.ts'
import type { ListArguments, ModelRow, RegisterArguments, RegisterOutcome } from './sqlite-operations.ts'

/** Where the worker thread finds the registry's tables and statements. */
export const registryModule = new URL(`./sqlite-operations${extname(import.meta.url)}`, import.meta.url).href

export class SqliteRegistry implements Registry {
  readonly #engine: Pick<SqliteEngine, 'run'>
  readonly #journal: SqliteJournal

  constructor (engine: Pick<SqliteEngine, 'run'>, journal: SqliteJournal) {
    this.#engine = engine
    this.#journal = journal
  }

  async register (request: NewModel, options: RegisterOptions): Promise<RegistrationResult> {
    const { model, entry } = prepare(request, options)
    const stored = await this.#engine.run<RegisterOutcome>('register', {
      modelName: model.model_name,
      version: model.version,
      tokenId: model.token_id,
      model: JSON.stringify(model),
      idempotency: options.idempotencyKey === undefined ? null : { key: options.idempotencyKey, fingerprint: fingerprint(request) },
      entry
    } satisfies RegisterArguments)
    if (stored.outcome === 'exists') throw new ModelExists(request.model_name, request.version)
    if (stored.outcome === 'key-reused') throw new IdempotencyKeyReused()
    if (stored.outcome === 'replayed') return this.#result('replayed', JSON.parse(stored.model))
    if (entry !== null) this.#journal.notifyAppended()
    return this.#result('created', model)
  }

  #result (outcome: RegistrationResult['outcome'], model: Model): RegistrationResult {
    const { message_id: messageId } = model
    const { durability } = this.#journal
    return messageId === null
      ? { outcome, model, event: { message_id: null, state: 'skipped', reason: 'below_baseline', durability } }
      : { outcome, model, event: { message_id: messageId, state: 'pending', durability } }
  }

  async list ({ model_name: modelName, token_id: tokenId, limit, cursor }: ModelFilter & Page): Promise<ModelPage> {
    // One row more than asked for tells whether there is a next page.
    const rows = await this.#engine.run<ModelRow[]>('listModels', {
      modelName: modelName ?? null,
      tokenId: tokenId ?? null,
      before: cursor === undefined ? null : decodeCursor(cursor),
      limit: limit + 1
    } satisfies ListArguments)
    const items = rows.slice(0, limit)
    const last = rows.length > limit ? items.at(-1)!.id : null
    return { items: items.map(({ model }) => JSON.parse(model)), next_cursor: last === null ? null : encodeCursor(last) }
  }

  versions (name: string, page: Page): Promise<ModelPage> {
    return this.list({ ...page, model_name: name })
  }

  async find (name: string, version: string): Promise<Model | null> {
    const model = await this.#engine.run<string | null>('findModel', name, version)
    return model === null ? null : JSON.parse(model)
  }
}

/** The stored model and, at or above the baseline, the event that announces it. */
function prepare (request: NewModel, origin: RegisterOptions): { model: Model, entry: RegisterArguments['entry'] } {
  const current = request.current_value ?? request.baseline_value
  const model: Model = {
    ...request,
    model_id: `${request.model_name}/${request.version}/${request.token_id}`,
    current_value: current,
    proposal_identifier: request.proposal_identifier ?? request.token_id,
    status: 'registered',
    below_baseline: current < request.baseline_value,
    created_at: new Date().toISOString(),
    message_id: null
  }
  if (model.below_baseline) return { model, entry: null }
  const message = announcement(model)
  assertModelReady(message)
  const { messageId, body } = buildEnvelope(message, origin)
  model.message_id = messageId
  return { model, entry: { key: model.model_name, body } }
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

function encodeCursor (id: number): string {
  return Buffer.from(`m${id}`).toString('base64url')
}

function decodeCursor (cursor: string): number {
  const [, id] = /^m(\d{1,15})$/.exec(Buffer.from(cursor, 'base64url').toString('latin1')) ?? []
  if (id === undefined) throw new CursorInvalid()
  return Number(id)
}
