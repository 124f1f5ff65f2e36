import type { JournalLimits } from '../../services/journal/journal.ts'
import { PostgresDatabase } from '../../services/journal/postgres/database.ts'
import type { PostgresOptions } from '../../services/journal/postgres/database.ts'
import { PostgresJournal } from '../../services/journal/postgres/journal.ts'
import type { PostgresJournalOptions } from '../../services/journal/postgres/journal.ts'
import { journalMigrations } from '../../services/journal/postgres/schema.ts'
import type { Teardown } from './redis-server.ts'

let schemas = 0

/** A journal of the test's own, in a new schema unless one is given. */
export function openPostgresJournal (
  t: Teardown, url: string, options: Partial<PostgresOptions & PostgresJournalOptions> & { limits?: JournalLimits } = {}
): { database: PostgresDatabase, journal: PostgresJournal } {
  const { schema = `test_${++schemas}`, limits = { maxRows: 1e6, maxBytes: 1e9 }, listen = false, now, ...rest } = options
  const database = new PostgresDatabase({ connection: url, schema, migrations: journalMigrations, ...rest })
  const journal = new PostgresJournal({ database, limits, listen, ...now === undefined ? {} : { now } })
  t.teardown(async () => {
    journal.close()
    await database.close()
  })
  return { database, journal }
}

/** As after its migrations, which takes longer. */
export async function emptyPostgresJournal (database: PostgresDatabase): Promise<void> {
  const { schema } = database
  const tables = ['journal', 'journal_terms', 'journal_cursors', 'journal_batches', 'journal_state']
  await database.transaction(async (tx) => {
    const { rows: [last] } = await tx.query(`SELECT coalesce(max(id), 0) AS id FROM ${schema}.journal`, [])
    await Promise.all(tables.map((table) => tx.query(`DELETE FROM ${schema}.${table}`, [])))
    await tx.query(`TRUNCATE ${schema}.journal_dead_letters RESTART IDENTITY`, [])
    await tx.query(`INSERT INTO ${schema}.journal_state VALUES (1, NULL, NULL, 0, $1, '{}')`, [last!.id])
  })
}
