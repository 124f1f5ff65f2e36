import type { Durability, Journal, JournalLimits, JournalStats } from '../journal/journal.ts'
import { SqliteEngine } from '../journal/sqlite/engine.ts'
import { SqliteJournal } from '../journal/sqlite/journal.ts'
import type { Logger } from '../observability/logger.ts'
import { loadPeer } from '../peers/load-peer.ts'
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

export interface StoreOptions {
  /** As in the configuration. */
  database: {
    kind: 'sqlite' | 'postgres'
    /** File of an SQLite database, or `:memory:`. */
    path: string
    /** URL of a PostgreSQL database; shows itself to nobody by accident. */
    connection: { reveal (): string }
    /** Connections to PostgreSQL. Default 10. */
    poolMax?: number | undefined
    /** Schema of a PostgreSQL database that holds our tables, made if it is not there. Default `breakwater`. */
    schema?: string | undefined
  }
  limits: JournalLimits
  logger: Logger
}

/**
 * Opens the database that the configuration names, creating and migrating its tables as needed.
 * @throws FST_BRK_STORE_UNAVAILABLE after 5 s at the latest: the service cannot promise anything without it, so it does not start;
 *   FST_BRK_PEER_MISSING for PostgreSQL without `pg`
 */
export async function openStore ({ database, limits, logger }: StoreOptions): Promise<Store> {
  if (database.kind === 'sqlite') return await openSqliteStore({ path: database.path, limits })
  // Loaded only where it is used: nobody else waits for the driver.
  const { openPostgresStore } = await loadPeer('pg', 'A database in PostgreSQL', () => import('./postgres-store.ts'))
  return await openPostgresStore({ ...database, limits, logger })
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
