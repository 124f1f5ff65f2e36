import type { PostgresMigration } from '../journal/postgres/database.ts'

/** Names of the constraints that tell what a registration collided with. */
export const KEY_TAKEN = 'idempotency_keys_pkey'

export const registryMigrations: PostgresMigration[] = [{
  name: 'registry-1',
  sql: (schema) => `
    -- Text, not jsonb: what is read is what was stored, to the last digit and in the same order.
    CREATE TABLE ${schema}.models (
      id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      model_name text NOT NULL,
      version text NOT NULL,
      token_id text NOT NULL,
      model text NOT NULL,
      CONSTRAINT models_version UNIQUE (model_name, version)
    );
    CREATE INDEX models_by_name ON ${schema}.models (model_name, id);
    CREATE INDEX models_by_token ON ${schema}.models (token_id, id);

    CREATE TABLE ${schema}.idempotency_keys (
      key text CONSTRAINT ${KEY_TAKEN} PRIMARY KEY,
      fingerprint text NOT NULL,
      model_id bigint NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX idempotency_keys_age ON ${schema}.idempotency_keys (created_at);
  `
}]
