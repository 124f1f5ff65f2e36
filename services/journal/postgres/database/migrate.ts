import type { SqlTransaction } from '../../journal.ts'

/**
 * Statements that create or change one room's tables. Forward only: a change is a new migration, never an edit, and one that
 * the version before can live with, because tasks of both run side by side during a deployment.
 */
export interface PostgresMigration {
  name: string
  /** The statements, with every name qualified by the schema given. */
  sql: (schema: string) => string
}

/** With the deadline of any call, and with one that an index on a large table may need. */
interface Transactions { quick: Transact, patient: Transact }

type Transact = <T>(work: (tx: SqlTransaction) => Promise<T>) => Promise<T>

/** Waiting longer for a table than this would make everybody else wait behind us. */
const LOCK_TIMEOUT_MS = 3000

/** Applies what is missing, each in a transaction of its own; several processes may do so at once. */
export async function applyMigrations (schema: string, migrations: PostgresMigration[], transact: Transactions): Promise<void> {
  const applied = await transact.quick((tx) => appliedNames(tx, schema))
  for (const migration of migrations) {
    if (!applied.has(migration.name)) await transact.patient((tx) => applyOne(tx, schema, migration))
  }
}

async function appliedNames (tx: SqlTransaction, schema: string): Promise<Set<string>> {
  // Asks the catalogue itself: to_regclass() may answer from a cache that waiting for the advisory lock does not refresh.
  const { rows: tables } = await tx.query("SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'migrations'", [schema])
  if (tables.length === 0) return new Set()
  const { rows } = await tx.query(`SELECT name FROM ${schema}.migrations`, [])
  return new Set(rows.map(({ name }) => name as string))
}

async function applyOne (tx: SqlTransaction, schema: string, { name, sql }: PostgresMigration): Promise<void> {
  // Ends with the transaction, so a pooler cannot leave it behind.
  await tx.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`breakwater migrations of ${schema}`])
  if ((await appliedNames(tx, schema)).has(name)) return
  await tx.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`, [])
  await createSchema(tx, schema)
  await tx.query(`CREATE TABLE IF NOT EXISTS ${schema}.migrations (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())`, [])
  await tx.query(sql(schema), [])
  await tx.query(`INSERT INTO ${schema}.migrations (name) VALUES ($1)`, [name])
}

/** `IF NOT EXISTS` demands the right to create even where there is nothing to create. */
async function createSchema (tx: SqlTransaction, schema: string): Promise<void> {
  const { rows: found } = await tx.query('SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1', [schema])
  if (found.length === 0) await tx.query(`CREATE SCHEMA ${schema}`, [])
}
