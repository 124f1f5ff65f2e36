import type { StoreModule } from '../journal/sqlite/database.ts'
import type { OperationContext, Operations } from '../journal/sqlite/operations.ts'
import { IDEMPOTENCY_TTL_MS } from './registration.ts'
import type { ListArguments, ModelRow, RegisterArguments, RegisterOutcome } from './registration.ts'

const migrations = [{
  name: 'registry-1',
  sql: `
    CREATE TABLE models (
      id INTEGER PRIMARY KEY AUTOINCREMENT,
      model_name TEXT NOT NULL,
      version TEXT NOT NULL,
      token_id TEXT NOT NULL,
      model TEXT NOT NULL,
      UNIQUE (model_name, version)
    ) STRICT;
    CREATE INDEX models_token ON models (token_id);

    CREATE TABLE idempotency_keys (
      key TEXT PRIMARY KEY,
      fingerprint TEXT NOT NULL,
      model_id INTEGER NOT NULL REFERENCES models (id),
      created_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
  `
}]

/** Registrations in SQL. `register` appends its event to the journal within the same transaction (R6.1). */
function createOperations ({ database, append, now }: OperationContext): Operations {
  const insert = database.prepare(`INSERT INTO models (model_name, version, token_id, model) VALUES (?, ?, ?, ?)
    ON CONFLICT (model_name, version) DO NOTHING`)
  const findKey = database.prepare(`SELECT k.fingerprint, m.model FROM idempotency_keys k JOIN models m ON m.id = k.model_id
    WHERE k.key = ? AND k.created_at > ?`)
  const insertKey = database.prepare('INSERT OR REPLACE INTO idempotency_keys VALUES (?, ?, ?, ?)')
  const expireKeys = database.prepare(`DELETE FROM idempotency_keys WHERE key IN
    (SELECT key FROM idempotency_keys WHERE created_at <= ? ORDER BY created_at LIMIT 10)`)
  const find = database.prepare('SELECT model FROM models WHERE model_name = ? AND version = ?')
  const list = database.prepare(`SELECT id, model FROM models WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR token_id = ?2)
    ORDER BY id DESC LIMIT ?3`)
  const listByName = database.prepare(`SELECT id, model FROM models WHERE model_name = ?4 AND (?1 IS NULL OR id < ?1)
    AND (?2 IS NULL OR token_id = ?2) ORDER BY id DESC LIMIT ?3`)

  return {
    register ({ modelName, version, tokenId, model, idempotency, entry }: RegisterArguments): RegisterOutcome {
      const expired = now() - IDEMPOTENCY_TTL_MS
      if (idempotency !== null) {
        const known = findKey.get(idempotency.key, expired) as { fingerprint: string, model: string } | undefined
        if (known?.fingerprint === idempotency.fingerprint) return { outcome: 'replayed', model: known.model }
        if (known !== undefined) return { outcome: 'key-reused' }
      }
      const inserted = insert.run(modelName, version, tokenId, model)
      if (inserted.changes === 0) return { outcome: 'exists' }
      if (idempotency !== null) {
        insertKey.run(idempotency.key, idempotency.fingerprint, inserted.lastInsertRowid, now())
        expireKeys.run(expired)
      }
      if (entry !== null) append.append([entry.key, entry.body])
      return { outcome: 'created' }
    },

    findModel: (name: string, version: string): string | null =>
      (find.get(name, version) as { model: string } | undefined)?.model ?? null,

    listModels: ({ modelName, tokenId, before, limit }: ListArguments): ModelRow[] =>
      (modelName === null ? list.all(before, tokenId, limit) : listByName.all(before, tokenId, limit, modelName)) as unknown as ModelRow[]
  }
}

export const storeModule: StoreModule = { migrations, createOperations }
