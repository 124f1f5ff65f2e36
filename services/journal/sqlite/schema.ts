import type { DatabaseSync } from 'node:sqlite'

/**
 * A statement list that creates one room's tables. Forward only: a change is a new migration, never an edit,
 * so that an old and a new process can have the same file open.
 */
export interface Migration { name: string, sql: string }

export const journalMigrations: Migration[] = [{
  name: 'journal-1',
  sql: `
    -- seq and term_id stay NULL until the relay that holds the lease numbers the row.
    CREATE TABLE journal (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      key TEXT NOT NULL,
      body TEXT NOT NULL,
      size_bytes INTEGER NOT NULL,
      created_at INTEGER NOT NULL,
      term_id INTEGER,
      seq INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX journal_position ON journal (term_id, seq) WHERE seq IS NOT NULL;

    -- The chain of terms. Published messages are a prefix of each term, so a cursor replaces a flag on every row.
    CREATE TABLE terms (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      term TEXT NOT NULL UNIQUE,
      created_at INTEGER NOT NULL,
      assigned_seq INTEGER NOT NULL DEFAULT 0,
      published_seq INTEGER NOT NULL DEFAULT 0,
      retired INTEGER NOT NULL DEFAULT 0
    ) STRICT;

    CREATE TABLE lease (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      term TEXT,
      owner TEXT,
      expires_at INTEGER NOT NULL
    ) STRICT;
    INSERT INTO lease (id, term, owner, expires_at) VALUES (1, NULL, NULL, 0);

    -- Counting a million rows on every request would be the backlog's revenge: the sums are kept.
    CREATE TABLE journal_totals (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      pending_rows INTEGER NOT NULL,
      pending_bytes INTEGER NOT NULL,
      total_rows INTEGER NOT NULL,
      total_bytes INTEGER NOT NULL,
      last_numbered_id INTEGER NOT NULL
    ) STRICT;
    INSERT INTO journal_totals VALUES (1, 0, 0, 0, 0, 0);
  `
}]

/** Every commit reaches the disk before it returns (`synchronous=FULL`). */
const PRAGMAS = `
  PRAGMA busy_timeout = 5000;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  PRAGMA foreign_keys = ON;
  PRAGMA cache_size = -16000;
`

/** Prepares a fresh or older database for this version. Safe to run from several processes at once. */
export function migrate (database: DatabaseSync, migrations: Migration[]): void {
  applyPragmas(database)
  database.exec('BEGIN IMMEDIATE')
  try {
    database.exec('CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT')
    const applied = database.prepare('SELECT 1 FROM migrations WHERE name = ?')
    const record = database.prepare('INSERT INTO migrations VALUES (?, ?)')
    for (const { name, sql } of migrations) {
      if (applied.get(name) !== undefined) continue
      database.exec(sql)
      record.run(name, Date.now())
    }
    database.exec('COMMIT')
  } catch (err) {
    database.exec('ROLLBACK')
    throw err
  }
}

const SQLITE_BUSY = 5
const PATIENCE_MS = 5000
const PAUSE_MS = 10

/** The switch to write-ahead logging does not wait for other processes as everything else does: it is refused at once. */
function applyPragmas (database: DatabaseSync): void {
  const giveUpAt = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return database.exec(PRAGMAS)
    } catch (err) {
      if ((err as { errcode?: number }).errcode !== SQLITE_BUSY || performance.now() > giveUpAt) throw err
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS)
    }
  }
}
