import type { DatabaseSync } from 'node:sqlite'
import type { Operations } from './operations.ts'

export interface Request { operation: string, args: unknown[] }

/** A result, or an error in a form that crosses a thread boundary with its code. */
export type Outcome =
  | { ok: true, value: unknown }
  | { ok: false, code: string | null, message: string }

/**
 * Group commit: all requests in one transaction and one fsync. Each succeeds or is undone alone; when the commit itself fails,
 * none of them happened.
 */
export function executeGroup (database: DatabaseSync, operations: Operations, requests: Request[]): Outcome[] {
  try {
    return inTransaction(database, () => requests.map((request) => execute(operations, request)))
  } catch {
    // Savepoints cost as much as a small request, so they are used only where one has failed: the group starts over with them.
    return executeOneByOne(database, operations, requests)
  }
}

function executeOneByOne (database: DatabaseSync, operations: Operations, requests: Request[]): Outcome[] {
  try {
    return inTransaction(database, () => requests.map((request) => executeAlone(database, operations, request)))
  } catch (err) {
    const failed = failure(err)
    return requests.map(() => failed)
  }
}

function inTransaction<T> (database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    const result = work()
    database.exec('COMMIT')
    return result
  } catch (err) {
    // Some failures (disk full, I/O) make SQLite roll back by itself.
    if (database.isTransaction) database.exec('ROLLBACK')
    throw err
  }
}

function execute (operations: Operations, { operation, args }: Request): Outcome {
  return { ok: true, value: operations[operation]!(...args) }
}

function executeAlone (database: DatabaseSync, operations: Operations, request: Request): Outcome {
  database.exec('SAVEPOINT request')
  try {
    const outcome = execute(operations, request)
    database.exec('RELEASE request')
    return outcome
  } catch (err) {
    if (!database.isTransaction) throw err
    database.exec('ROLLBACK TO request; RELEASE request')
    return failure(err)
  }
}

function failure (err: unknown): Outcome {
  const { code = null, message } = err as Error & { code?: string }
  return { ok: false, code, message }
}
