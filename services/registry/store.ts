import type { Durability, Journal, JournalLimits, JournalStats } from '../journal/journal.ts'
import { SqliteEngine } from '../journal/sqlite/engine.ts'
import { SqliteJournal } from '../journal/sqlite/journal.ts'
import type { Registry } from './registry.ts'
import { SqliteRegistry, registryModule } from './sqlite-registry.ts'

/** Registrations and journal in one database, so that one transaction covers both. */
export interface Store {
  readonly durability: Durability
  readonly registry: Registry
  readonly journal: Journal
  /** What the last {@link Store.check} read; no I/O. */
  stats (): JournalStats
  /** Commits a write, as an accepted message would. @throws FST_BRK_STORE_UNAVAILABLE */
  check (): Promise<void>
  /** Finishes what is in flight and closes the database. Never rejects. */
  close (): Promise<void>
}

export interface SqliteStoreOptions {
  /** File path, or `:memory:` for a store that survives nothing. */
  path: string
  limits: JournalLimits
}

/** Opens the embedded database, creating and migrating it as needed. @throws FST_BRK_STORE_UNAVAILABLE */
export async function openSqliteStore ({ path, limits }: SqliteStoreOptions): Promise<Store> {
  const engine = new SqliteEngine({ path, limits, modules: [registryModule] })
  const durability = path === ':memory:' ? 'none' : 'node'
  const journal = new SqliteJournal(engine, durability)
  let stats: JournalStats
  try {
    stats = await engine.run<JournalStats>('probe')
  } catch (err) {
    await engine.close()
    throw err
  }
  return {
    durability,
    journal,
    registry: new SqliteRegistry(engine, journal),
    stats: () => stats,
    async check () { stats = await engine.run<JournalStats>('probe') },
    close: () => engine.close()
  }
}
