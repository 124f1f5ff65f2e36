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
}, {
  name: 'journal-2',
  sql: `
    -- Ids are dense in the order of commits: one writer at a time, and sqlite_sequence rolls back with its transaction. So a term
    -- owns a range of ids, number = id - base_id, and numbering a message writes no row. A former term whose rows are all pruned gets
    -- a range where no id can be.
    ALTER TABLE terms ADD COLUMN base_id INTEGER NOT NULL DEFAULT 0;
    UPDATE terms SET base_id = coalesce(
      (SELECT journal.id - journal.seq FROM journal WHERE journal.term_id = terms.id AND journal.seq IS NOT NULL LIMIT 1),
      CASE WHEN id = (SELECT max(id) FROM terms WHERE assigned_seq > 0)
        THEN (SELECT last_numbered_id FROM journal_totals) - assigned_seq ELSE -assigned_seq END);
    DROP INDEX journal_position;
    -- Renamed, which rewrites nothing: a process of an earlier version goes on accepting, but must not number beside this one.
    ALTER TABLE journal RENAME COLUMN term_id TO former_term_id;
    ALTER TABLE journal RENAME COLUMN seq TO former_seq;

    CREATE TABLE dead_letters (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      key TEXT NOT NULL,
      size_bytes INTEGER NOT NULL,
      reason TEXT NOT NULL,
      attempts INTEGER NOT NULL,
      accepted_at INTEGER NOT NULL,
      failed_at INTEGER NOT NULL,
      body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX dead_letters_key ON dead_letters (key, id);
    ALTER TABLE journal_totals ADD COLUMN dead_rows INTEGER NOT NULL DEFAULT 0;
  `
}]

/**
 * Every commit reaches the disk before it returns (`synchronous=FULL`). Three messages of 1 KB leave a quarter of a default page empty,
 * seven fill one of 8 KiB; the size counts only for a file that is new.
 */
const PRAGMAS = `
  PRAGMA busy_timeout = 5000;
  PRAGMA page_size = 8192;
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
