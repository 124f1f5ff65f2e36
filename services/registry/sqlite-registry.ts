import { extname } from 'node:path'
import type { SqliteEngine } from '../journal/sqlite/engine.ts'
import type { SqliteJournal } from '../journal/sqlite/journal.ts'
import type { ListArguments, ModelRow, RegisterArguments, RegisterOutcome } from './registration.ts'
import { StoredRegistry } from './stored-registry.ts'

/** Where the worker thread finds the registry's tables and statements. */
export const registryModule = new URL(`./sqlite-operations${extname(import.meta.url)}`, import.meta.url).href

/** The registry on SQLite: each call is one request to the engine, and shares its transaction with its neighbours. */
export class SqliteRegistry extends StoredRegistry {
  constructor (engine: Pick<SqliteEngine, 'run'>, journal: SqliteJournal) {
    super({
      durability: journal.durability,
      async register (registration: RegisterArguments) {
        const result = await engine.run<RegisterOutcome>('register', registration)
        if (result.outcome === 'created' && registration.entry !== null) journal.notifyAppended()
        return result
      },
      list: (query: ListArguments) => engine.run<ModelRow[]>('listModels', query),
      find: (name, version) => engine.run<string | null>('findModel', name, version)
    })
  }
}
