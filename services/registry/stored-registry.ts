import type { Durability } from '../journal/journal.ts'
import { IdempotencyKeyReused, ModelExists } from './errors.ts'
import { decodeCursor, encodeCursor, prepare } from './registration.ts'
import type { ListArguments, ModelRow, RegisterArguments, RegisterOutcome } from './registration.ts'
import type {
  Model, ModelFilter, ModelPage, NewModel, Page, RegisterOptions, RegistrationResult, Registry
} from './registry.ts'

/** What an engine does for the registry; all else is the same on every engine. */
export interface RegistryEngine {
  readonly durability: Durability
  /** Registration, key and event in one transaction, durable when it resolves. */
  register (registration: RegisterArguments): Promise<RegisterOutcome>
  /** Newest first. */
  list (query: ListArguments): Promise<ModelRow[]>
  /** The stored JSON. */
  find (name: string, version: string): Promise<string | null>
}

/** The registry on whatever engine stores it. */
export class StoredRegistry implements Registry {
  readonly #engine: RegistryEngine

  constructor (engine: RegistryEngine) {
    this.#engine = engine
  }

  async register (request: NewModel, options: RegisterOptions): Promise<RegistrationResult> {
    const { model, stored } = prepare(request, options)
    const result = await this.#engine.register(stored)
    if (result.outcome === 'exists') throw new ModelExists(request.model_name, request.version)
    if (result.outcome === 'key-reused') throw new IdempotencyKeyReused()
    if (result.outcome === 'replayed') return this.#result('replayed', JSON.parse(result.model))
    return this.#result('created', model)
  }

  #result (outcome: RegistrationResult['outcome'], model: Model): RegistrationResult {
    const { message_id: messageId } = model
    const { durability } = this.#engine
    return messageId === null
      ? { outcome, model, event: { message_id: null, state: 'skipped', reason: 'below_baseline', durability } }
      : { outcome, model, event: { message_id: messageId, state: 'pending', durability } }
  }

  async list ({ model_name: modelName, token_id: tokenId, limit, cursor }: ModelFilter & Page): Promise<ModelPage> {
    // One row more than asked for tells whether there is a next page.
    const rows = await this.#engine.list({
      modelName: modelName ?? null,
      tokenId: tokenId ?? null,
      before: cursor === undefined ? null : decodeCursor(cursor),
      limit: limit + 1
    })
    const items = rows.slice(0, limit)
    const last = rows.length > limit ? items.at(-1)!.id : null
    return { items: items.map(({ model }) => JSON.parse(model)), next_cursor: last === null ? null : encodeCursor(last) }
  }

  versions (name: string, page: Page): Promise<ModelPage> {
    return this.list({ ...page, model_name: name })
  }

  async find (name: string, version: string): Promise<Model | null> {
    const model = await this.#engine.find(name, version)
    return model === null ? null : JSON.parse(model)
  }
}
