import { randomUUID } from 'node:crypto'
import type { SqlTransaction } from '../journal/journal.ts'
import { TransactionMisused } from './errors.ts'

/** The part of a `pg` client that is used. */
export interface PgClient {
  query (text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[] }>
  /** Recent versions have it: `I` idle, `T` in a transaction, `E` in a failed one. */
  getTransactionStatus? (): string | null
}

/** The part of a Kysely transaction that is used; Kysely itself is never imported. */
export interface KyselyTransaction {
  readonly isTransaction: boolean
  withoutPlugins (): { executeQuery (query: never): Promise<{ rows: unknown[] }> }
}

/**
 * A transaction on a `pg` client, after `BEGIN` and before `COMMIT`.
 * @throws FST_BRK_TRANSACTION_MISUSED for a pool, whose queries go to any connection; and from `publish()` where the client knows that no
 *   transaction is open on it
 */
export function fromPg (client: PgClient): SqlTransaction {
  if ('totalCount' in client) throw new TransactionMisused('a pool was given, whose queries go to any of its connections')
  return {
    async query (text, values) {
      if (client.getTransactionStatus?.() === 'I') throw new TransactionMisused('no transaction is open on the client given')
      return await client.query(text, values)
    }
  }
}

/**
 * A transaction of Kysely with the PostgreSQL dialect: what `db.transaction().execute(async (trx) => …)` gives.
 * @throws FST_BRK_TRANSACTION_MISUSED for a `Kysely` that is no transaction
 */
export function fromKysely (transaction: KyselyTransaction): SqlTransaction {
  if (!transaction.isTransaction) throw new TransactionMisused('a Kysely instance was given that is no transaction')
  // A plugin that renames columns would rename those of the journal too.
  const executor = transaction.withoutPlugins()
  return {
    async query (sql, parameters) {
      // The shape of `CompiledQuery.raw`.
      const query = { kind: 'RawNode', sqlFragments: [sql], parameters: [] }
      const { rows } = await executor.executeQuery({ sql, parameters, query, queryId: { queryId: randomUUID() } } as never)
      return { rows: rows as Record<string, unknown>[] }
    }
  }
}
