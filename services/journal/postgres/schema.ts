import type { PostgresMigration } from './database/migrate.ts'

/** Vacuum by a hundredth of the table, not by a fifth: a queue is mostly rows that are gone. */
const QUEUE = 'autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05'

/**
 * A long transaction elsewhere keeps every dead row of every table, so nothing here is found by walking past dead rows:
 * messages are inserted and deleted, never updated; what changes all the time is a new version of a row under a key that grows,
 * and is found from the end.
 */
export const journalMigrations: PostgresMigration[] = [{
  name: 'journal-1',
  sql: (schema) => `
    -- The identity must not cache: a cached number could be used long after larger ones were seen (see late-commits.ts).
    CREATE TABLE ${schema}.journal (
      id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,
      created_at bigint NOT NULL,
      size_bytes integer NOT NULL,
      key text NOT NULL,
      body bytea NOT NULL
    ) WITH (${QUEUE}, toast.autovacuum_vacuum_scale_factor = 0.01);

    -- The chain of terms.
    CREATE TABLE ${schema}.journal_terms (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      term text NOT NULL UNIQUE,
      created_at bigint NOT NULL,
      retired boolean NOT NULL DEFAULT false
    );

    -- How far each term is numbered, published and pruned: the newest version counts. Bytes are sums from the term's start.
    CREATE TABLE ${schema}.journal_cursors (
      term_id bigint NOT NULL,
      version bigint NOT NULL,
      assigned_seq bigint NOT NULL,
      assigned_bytes bigint NOT NULL,
      published_seq bigint NOT NULL,
      published_bytes bigint NOT NULL,
      pruned_seq bigint NOT NULL,
      pruned_bytes bigint NOT NULL,
      PRIMARY KEY (term_id, version)
    ) WITH (${QUEUE});

    -- Which rows got the numbers first_seq to last_seq of a term: ids in ascending order. bytes_to: sum from the term's start.
    CREATE TABLE ${schema}.journal_batches (
      term_id bigint NOT NULL,
      first_seq bigint NOT NULL,
      last_seq bigint NOT NULL,
      ids int8multirange NOT NULL,
      bytes_to bigint NOT NULL,
      PRIMARY KEY (term_id, first_seq)
    ) WITH (${QUEUE});

    -- The lease, and what is not numbered: every id above high, and those in holes. The newest version counts.
    CREATE TABLE ${schema}.journal_state (
      version bigint PRIMARY KEY,
      lease text,
      owner text,
      expires_at bigint NOT NULL,
      high bigint NOT NULL,
      holes int8multirange NOT NULL
    ) WITH (${QUEUE});
    INSERT INTO ${schema}.journal_state VALUES (1, NULL, NULL, 0, 0, '{}');

    CREATE TABLE ${schema}.journal_dead_letters (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      key text NOT NULL,
      body bytea NOT NULL,
      reason text NOT NULL,
      attempts integer NOT NULL,
      accepted_at bigint NOT NULL,
      failed_at bigint NOT NULL
    );
    CREATE INDEX journal_dead_letters_key ON ${schema}.journal_dead_letters (key, id);
  `
}]

/** The database's clock in epoch ms, which all tasks share; a test may give its own as the parameter. */
export function clock (parameter: string): string {
  return `coalesce(${parameter}::bigint, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)`
}
