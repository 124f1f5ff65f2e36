import { StoreUnavailable } from '../journal/errors.ts'
import type { JournalLimits, JournalStats } from '../journal/journal.ts'
import { PostgresDatabase } from '../journal/postgres/database.ts'
import { PostgresJournal } from '../journal/postgres/journal.ts'
import { journalMigrations } from '../journal/postgres/schema.ts'
import type { Logger } from '../observability/logger.ts'
import { PostgresRegistry } from './postgres-registry.ts'
import { registryMigrations } from './postgres-schema.ts'
import type { Store } from './store.ts'

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:5432/database`. */
  connection: string | { reveal (): string }
  /** Default `breakwater`. */
  schema?: string | undefined
  /** Default 10. */
  poolMax?: number | undefined
  /** How long each call may take. Default 5000 ms. */
  deadlineMs?: number | undefined
  limits: JournalLimits
  logger: Logger
}

/** Reaches the disk, and the synchronous standby where there is one, as an accepted message does, and leaves no row to clean up. */
const PROBE = "SELECT pg_logical_emit_message(true, 'breakwater', 'probe')"

/**
 * Opens a store that any number of processes share, creating and migrating its tables as needed.
 * @throws FST_BRK_STORE_UNAVAILABLE, naming host and port, when the database cannot be used
 */
export async function openPostgresStore ({ limits, logger, ...options }: PostgresStoreOptions): Promise<Store> {
  const database = new PostgresDatabase({ ...given(options), migrations: [...journalMigrations, ...registryMigrations], logger })
  const journal = new PostgresJournal({ database, limits, logger })
  let stats: JournalStats
  async function check (): Promise<void> {
    [stats] = await Promise.all([journal.stats(), database.query(PROBE)])
  }
  async function close (): Promise<void> {
    journal.close()
    await database.close()
  }
  try {
    await check()
  } catch (err) {
    await close()
    throw located(err as Error, options.connection)
  }
  return { durability: journal.durability, journal, registry: new PostgresRegistry(database, journal), stats: () => stats, check, close }
}

function given<T extends object> (options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never
}

/** At the start whoever reads the error wants to know which database it was. */
function located (err: Error, connection: PostgresStoreOptions['connection']): Error {
  if (!(err instanceof StoreUnavailable)) return err
  const url = typeof connection === 'string' ? connection : connection.reveal()
  const { hostname = 'unknown', port = '' } = URL.parse(url) ?? {}
  const [, reason = err.message] = /not available: (.*?)\. Retry/.exec(err.message) ?? []
  return new StoreUnavailable(`PostgreSQL at ${hostname}:${port === '' ? 5432 : port}: ${reason}`)
}
