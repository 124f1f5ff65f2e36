import { parseArgs } from 'node:util'
import { Client } from 'pg'
import type { Position } from '../../services/journal/journal.ts'
import { PostgresDatabase } from '../../services/journal/postgres/database.ts'
import { PostgresJournal } from '../../services/journal/postgres/journal.ts'
import { PRUNE, UNNUMBERED } from '../../services/journal/postgres/numbering.ts'
import { journalMigrations } from '../../services/journal/postgres/schema.ts'
import { startPostgres } from '../../test/helpers/postgres-server.ts'
import { Cleanup } from './service.ts'

/**
 * Messages go through the PostgreSQL journal (append, number, publish, prune) while a transaction elsewhere in the database stays
 * open from the beginning to the end, and again without one: the relay's speed must not fall with the rows that it leaves behind.
 */
const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '300000' },
    bytes: { type: 'string', default: '1000' },
    retained: { type: 'string', default: '20000' },
    json: { type: 'boolean', default: false }
  }
})
const ROWS = Number(values.rows)
const RETAINED = Number(values.retained)
const BATCH = 500
const CHUNK = 5000
const SECTIONS = 10
const SCHEMA = 'breakwater'
const LEASE_MS = 60_000

const INSERT = `INSERT INTO ${SCHEMA}.journal (created_at, size_bytes, key, body)
  SELECT 0, octet_length(body), 'model-' || n % 50, body FROM (
    SELECT n, convert_to(rpad('{"message_id":"' || n || '"', ${Number(values.bytes)}, 'x'), 'UTF8') AS body FROM unnest($1::int[]) AS n) AS rows`

interface Section { rows: number, 'relayed/s': number, 'slowest batch ms': number, 'pruned/s': number }

async function measure (longTransaction: boolean): Promise<void> {
  const cleanup = new Cleanup()
  try {
    const server = await startPostgres(cleanup, { settings: { shared_buffers: '512MB', max_wal_size: '4GB', autovacuum_naptime: '1s' } })
    const database = new PostgresDatabase({ connection: server.url, schema: SCHEMA, deadlineMs: 60_000, migrations: journalMigrations })
    const journal = new PostgresJournal({ database, limits: { maxRows: 1e9, maxBytes: 1e13 }, listen: false })
    const other = new Client(server.url)
    await other.connect()
    await database.query('CREATE TABLE public.elsewhere (id int)')
    if (longTransaction) await other.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM public.elsewhere')
    const sections = await relayAll(database, journal)
    const report = await inspect(database)
    await other.end()
    journal.close()
    await database.close()
    print(longTransaction, sections, report)
  } finally {
    await cleanup.run()
  }
}

async function relayAll (database: PostgresDatabase, journal: PostgresJournal): Promise<Section[]> {
  const lease = (await journal.acquireLease('bench', LEASE_MS))!
  const sections: Section[] = []
  let end: Position | null = null
  let inserted = 0
  let pruned = 0
  for (let section = 1; section <= SECTIONS; section++) {
    const target = Math.round(ROWS * section / SECTIONS)
    const times = { relay: 0, slowest: 0, prune: 0, relayed: 0, pruned: 0 }
    while (inserted < target) {
      const count = Math.min(CHUNK, target - inserted)
      await database.query(INSERT, [Array.from({ length: count }, (_, index) => inserted + index)])
      inserted += count
      for (;;) {
        const begin = performance.now()
        const batch = await journal.advance({ lease, leaseUntil: Date.now() + LEASE_MS, published: end, after: end, maxRows: BATCH, maxBytes: 1024 * 1024 })
        const took = performance.now() - begin
        if (batch === null) break
        times.relay += took
        times.slowest = Math.max(times.slowest, took)
        times.relayed += batch.bodies.length
        end = { term: batch.term, seq: batch.last }
      }
      const begin = performance.now()
      while (inserted - pruned > RETAINED) {
        const gone = await journal.prune(lease, { term: lease, seq: inserted - RETAINED }, BATCH)
        if (gone === 0) break
        pruned += gone
        times.pruned += gone
      }
      times.prune += performance.now() - begin
    }
    sections.push({
      rows: inserted,
      'relayed/s': Math.round(times.relayed / times.relay * 1000),
      'slowest batch ms': Math.round(times.slowest),
      'pruned/s': times.pruned === 0 ? 0 : Math.round(times.pruned / times.prune * 1000)
    })
  }
  return sections
}

/** Sizes, dead rows, and the plans of the two statements that rot in other queue tables. */
async function inspect (database: PostgresDatabase) {
  const sizes = await database.query(`SELECT c.relname AS table, pg_table_size(c.oid) / 1048576 AS "table MiB", pg_indexes_size(c.oid) / 1048576 AS "index MiB",
    s.n_live_tup AS live, s.n_dead_tup AS dead, s.autovacuum_count AS vacuums
    FROM pg_class AS c JOIN pg_stat_user_tables AS s ON s.relid = c.oid WHERE s.schemaname = $1 AND c.relname LIKE 'journal%' ORDER BY 1`, [SCHEMA])
  const [{ high }] = await database.query(`SELECT high FROM ${SCHEMA}.journal_state ORDER BY version DESC LIMIT 1`) as [{ high: number }]
  await database.query(INSERT, [Array.from({ length: BATCH }, (_, index) => index)])
  const explain = async (text: string, parameters: unknown[]) =>
    (await database.query(`EXPLAIN (ANALYZE, BUFFERS) ${text.replaceAll('{}', SCHEMA)}`, parameters)).map((row) => row['QUERY PLAN'].replace(/'\{[\d,]+\}'/, "'{…}'")).join('\n')
  return {
    sizes,
    numbering: await explain(UNNUMBERED, [BATCH, 1024 * 1024, high]),
    pruning: await explain(PRUNE, [Array.from({ length: BATCH }, (_, index) => high - RETAINED + 1 + index)])
  }
}

function print (longTransaction: boolean, sections: Section[], report: Awaited<ReturnType<typeof inspect>>): void {
  if (values.json) {
    process.stdout.write(`${JSON.stringify({ longTransaction, sections, ...report })}\n`)
    return
  }
  console.log(`\n${longTransaction ? 'With' : 'Without'} a transaction that stays open elsewhere`)
  console.table(sections)
  console.table(report.sizes)
  console.log(`numbering:\n${report.numbering}\n\npruning:\n${report.pruning}`)
}

await measure(true)
await measure(false)
