import { clock } from '../journal/postgres/schema.ts'
import { IDEMPOTENCY_TTL_MS } from './registration.ts'
import type { ListArguments, RegisterArguments } from './registration.ts'

export interface Statement { text: string, values: unknown[] }

const EXPIRED = `now() - interval '${IDEMPOTENCY_TTL_MS} ms'`

/** The registry's SQL, with every name qualified: a search path would be the session's, and the session is the pooler's. */
export class PostgresStatements {
  readonly #schema: string

  constructor (schema: string) {
    this.#schema = schema
  }

  /**
   * Registration, key and event in one statement, which is one transaction: a third of the price of a round trip for each. Returns one row:
   * whether it was created, and what the key was answered before.
   *
   * A key that is taken meanwhile is an error, and undoes everything. A version that is taken is none: then there is nothing to undo.
   */
  register ({ modelName, version, tokenId, model, idempotency, entry }: RegisterArguments): Statement {
    const values: unknown[] = [modelName, version, tokenId, model]
    const parts = [idempotency === null ? this.#create() : this.#createUnlessKnown()]
    if (idempotency !== null) {
      values.push(idempotency.key, idempotency.fingerprint)
      parts.push(`kept AS (INSERT INTO ${this.#schema}.idempotency_keys (key, fingerprint, model_id) SELECT $5, $6, id FROM created)`)
    }
    if (entry !== null) parts.push(this.#journal(values.length))
    if (entry !== null) values.push(entry.key, Buffer.from(entry.body))
    const known = idempotency === null ? '' : ', (SELECT fingerprint FROM known), (SELECT model FROM known)'
    return { text: `WITH ${parts.join(', ')} SELECT EXISTS (SELECT FROM created) AS created${known}`, values }
  }

  #create (condition = ''): string {
    return `created AS (INSERT INTO ${this.#schema}.models (model_name, version, token_id, model)
      SELECT $1, $2, $3, $4 ${condition} ON CONFLICT (model_name, version) DO NOTHING RETURNING id)`
  }

  #createUnlessKnown (): string {
    return `known AS (${this.#knownKey('$5')}), ${this.#create('WHERE NOT EXISTS (SELECT FROM known)')}`
  }

  #journal (before: number): string {
    const [key, body] = [`$${before + 1}::text`, `$${before + 2}::bytea`]
    return `journaled AS (INSERT INTO ${this.#schema}.journal (created_at, size_bytes, key, body)
      SELECT ${clock('NULL')}, octet_length(${body}), ${key}, ${body} FROM created)`
  }

  #knownKey (key: string): string {
    return `SELECT k.fingerprint, m.model FROM ${this.#schema}.idempotency_keys k JOIN ${this.#schema}.models m ON m.id = k.model_id
      WHERE k.key = ${key} AND k.created_at > ${EXPIRED}`
  }

  /** What a key was answered before. */
  findKey (key: string): Statement {
    return { text: this.#knownKey('$1'), values: [key] }
  }

  /** Deletes a key that is older than a day. */
  forgetKey (key: string): Statement {
    return { text: `DELETE FROM ${this.#schema}.idempotency_keys WHERE key = $1 AND created_at <= ${EXPIRED}`, values: [key] }
  }

  /** Deletes the oldest of such keys, `limit` at most. Locked ones are somebody else's. */
  forgetKeys (limit: number): Statement {
    const keys = `${this.#schema}.idempotency_keys`
    // By their place in the table, because a plan made from old statistics might look for keys by reading all of it.
    return {
      text: `DELETE FROM ${keys} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM ${keys} WHERE created_at <= ${EXPIRED} ORDER BY created_at LIMIT $1 FOR UPDATE SKIP LOCKED))`,
      values: [limit]
    }
  }

  find (name: string, version: string): Statement {
    return { text: `SELECT model FROM ${this.#schema}.models WHERE model_name = $1 AND version = $2`, values: [name, version] }
  }

  list ({ modelName, tokenId, before, limit }: ListArguments): Statement {
    const filters = Object.entries({ 'model_name = ': modelName, 'token_id = ': tokenId, 'id < ': before }).filter(([, value]) => value !== null)
    const conditions = filters.map(([comparison], index) => `${comparison}$${index + 2}`)
    return {
      text: `SELECT id, model FROM ${this.#schema}.models ${conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`} ORDER BY id DESC LIMIT $1`,
      values: [limit, ...filters.map(([, value]) => value)]
    }
  }
}
