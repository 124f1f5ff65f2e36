import type { DatabaseSync } from 'node:sqlite'
import type { Operations } from './operations.ts'

export interface Request { operation: string, args: unknown[] }

/** A result, or an error in a form that crosses a thread boundary with its code. */
export type Outcome =
  | { ok: true, value: unknown }
  | { ok: false, code: string | null, message: string, statusCode: number }

/**
 * Group commit: all requests in one transaction and one fsync. Each runs inside a savepoint, so one that fails is undone alone;
 * when the commit itself fails, none of them happened.
 */
export function executeGroup (database: DatabaseSync, operations: Operations, requests: Request[]): Outcome[] {
  try {
    database.exec('BEGIN IMMEDIATE')
    const outcomes = requests.map((request) => execute(database, operations, request))
    database.exec('COMMIT')
    return outcomes
  } catch (err) {
    if (database.isTransaction) database.exec('ROLLBACK')
    const failed = failure(err)
    return requests.map(() => failed)
  }
}

function execute (database: DatabaseSync, operations: Operations, { operation, args }: Request): Outcome {
  database.exec('SAVEPOINT request')
  try {
    const value = operations[operation]!(...args)
    database.exec('RELEASE request')
    return { ok: true, value }
  } catch (err) {
    // Some failures (disk full, I/O) make SQLite roll back the whole transaction by itself: then nothing can be kept.
    if (!database.isTransaction) throw err
    database.exec('ROLLBACK TO request; RELEASE request')
    return failure(err)
  }
}

function failure (err: unknown): Outcome {
  const { code, message, statusCode } = err as Error & { code?: string, statusCode?: number }
  const coded = code?.startsWith('FST_BRK_') === true
  return { ok: false, code: coded ? code : null, message, statusCode: coded ? statusCode ?? 500 : 503 }
}
