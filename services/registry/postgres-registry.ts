import { JournalFull } from '../journal/errors.ts'
import type { Durability } from '../journal/journal.ts'
import { StatementRejected } from '../journal/postgres/database.ts'
import type { PostgresDatabase } from '../journal/postgres/database.ts'
import type { PostgresJournal } from '../journal/postgres/journal.ts'
import { KEY_TAKEN } from './postgres-schema.ts'
import { PostgresStatements } from './postgres-statements.ts'
import type { Statement } from './postgres-statements.ts'
import type { ListArguments, ModelRow, RegisterArguments, RegisterOutcome } from './registration.ts'
import { StoredRegistry } from './stored-registry.ts'
import type { RegistryEngine } from './stored-registry.ts'

/** Each key that has just expired, or whose owner has just been rolled back, costs one. */
const MAX_ATTEMPTS = 3
/** Expired keys go in the background and in bulk: whatever else keeps old rows alive makes finding them slow. */
const SWEEP_INTERVAL_MS = 10_000
const SWEEP_LIMIT = 5000

interface KnownKey { fingerprint?: string | null, model?: string | null }
interface RegisterRow extends KnownKey { created: boolean }

/** The registry on PostgreSQL. */
export class PostgresRegistry extends StoredRegistry {
  constructor (database: PostgresDatabase, journal: PostgresJournal) {
    super(new PostgresRegistryEngine(database, journal))
  }
}

/** Nothing was stored, so the journal must not count its entry. */
class NothingAppended extends Error {}

/** One statement for each registration: it is its own transaction, so a pooler may give each a connection of its own. */
class PostgresRegistryEngine implements RegistryEngine {
  readonly #database: PostgresDatabase
  readonly #journal: PostgresJournal
  readonly #statements: PostgresStatements
  #sweptAt = -Infinity

  constructor (database: PostgresDatabase, journal: PostgresJournal) {
    this.#database = database
    this.#journal = journal
    this.#statements = new PostgresStatements(database.schema)
  }

  get durability (): Durability { return this.#journal.durability }

  async register (registration: RegisterArguments): Promise<RegisterOutcome> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#attempt(registration)
      } catch (err) {
        if (err instanceof JournalFull) return await this.#answerWithoutRoom(registration, err)
        if (!isKeyTaken(err) || attempt === MAX_ATTEMPTS) throw err
        // Whoever holds the key has committed since our statement began, or holds it longer than a day.
        const known = await this.#answerTo(registration)
        if (known !== null) return known
        await this.#query(this.#statements.forgetKey(registration.idempotency!.key))
      }
    }
  }

  async #attempt (registration: RegisterArguments): Promise<RegisterOutcome> {
    const { entry } = registration
    if (entry === null) return await this.#store(registration)
    let outcome: RegisterOutcome | null = null
    const insert = async () => {
      outcome = await this.#store(registration)
      if (outcome.outcome !== 'created') throw new NothingAppended()
    }
    try {
      await this.#journal.admit([entry], insert)
      this.#journal.notifyAppended()
    } catch (err) {
      if (!(err instanceof NothingAppended)) throw err
    }
    return outcome!
  }

  async #store (registration: RegisterArguments): Promise<RegisterOutcome> {
    const [row] = await this.#query<RegisterRow>(this.#statements.register(registration))
    const { created, ...known } = row!
    if (registration.idempotency !== null) this.#sweepKeys()
    if (created) return { outcome: 'created' }
    return outcomeOf(registration, known) ?? await this.#answerTo(registration) ?? { outcome: 'exists' }
  }

  #sweepKeys (): void {
    const now = performance.now()
    if (now - this.#sweptAt < SWEEP_INTERVAL_MS) return
    this.#sweptAt = now
    // The next sweep finds what this one could not delete.
    this.#query(this.#statements.forgetKeys(SWEEP_LIMIT)).catch(() => {})
  }

  /** What the key was answered before; null where it is free. A statement of its own sees what was committed meanwhile. */
  async #answerTo ({ idempotency }: RegisterArguments): Promise<RegisterOutcome | null> {
    if (idempotency === null) return null
    const [known = {}] = await this.#query<KnownKey>(this.#statements.findKey(idempotency.key))
    return outcomeOf({ idempotency }, known)
  }

  /** What would store nothing in any case needs no room. */
  async #answerWithoutRoom (registration: RegisterArguments, full: Error): Promise<RegisterOutcome> {
    const known = await this.#answerTo(registration)
    if (known !== null) return known
    if (await this.find(registration.modelName, registration.version) !== null) return { outcome: 'exists' }
    throw full
  }

  async list (query: ListArguments): Promise<ModelRow[]> {
    const rows = await this.#query<ModelRow>(this.#statements.list(query))
    return rows.map(({ id, model }) => ({ id: Number(id), model }))
  }

  async find (name: string, version: string): Promise<string | null> {
    const [row] = await this.#query<{ model: string }>(this.#statements.find(name, version))
    return row?.model ?? null
  }

  #query<T> ({ text, values }: Statement): Promise<T[]> {
    return this.#database.query<T>(text, values)
  }
}

function outcomeOf ({ idempotency }: Pick<RegisterArguments, 'idempotency'>, { fingerprint, model }: KnownKey): RegisterOutcome | null {
  if (fingerprint === null || fingerprint === undefined) return null
  return fingerprint === idempotency!.fingerprint ? { outcome: 'replayed', model: model! } : { outcome: 'key-reused' }
}

function isKeyTaken (err: unknown): boolean {
  return err instanceof StatementRejected && err.constraint === KEY_TAKEN
}
