import type { DatabaseSync } from 'node:sqlite'
import type { Operations, Unwritten } from './operations.ts'

export interface Request { operation: string, args: unknown[] }

/** A result, or an error in a form that crosses a thread boundary with its code. */
export type Outcome =
  | { ok: true, value: unknown }
  | { ok: false, code: string | null, message: string }

/** What a group is executed on. */
export interface Executor { database: DatabaseSync, operations: Operations, unwritten: Unwritten }

/** What crosses to the thread: for each request its operation, the number of its arguments, and these. A flat list is the cheapest to copy. */
export type PackedRequests = unknown[]
/** What comes back; null where every request succeeded and none returned anything, as appends do. */
export type PackedOutcomes = Outcome[] | null

export function packRequests (requests: Request[]): PackedRequests {
  const packed: PackedRequests = []
  for (const { operation, args } of requests) {
    packed.push(operation, args.length)
    for (const arg of args) packed.push(arg)
  }
  return packed
}

export function unpackRequests (packed: PackedRequests): Request[] {
  const requests: Request[] = []
  for (let index = 0; index < packed.length;) {
    const start = index + 2
    const end = start + (packed[index + 1] as number)
    requests.push({ operation: packed[index] as string, args: packed.slice(start, end) })
    index = end
  }
  return requests
}

export function packOutcomes (outcomes: Outcome[]): PackedOutcomes {
  return outcomes.every((outcome) => outcome.ok && outcome.value === undefined) ? null : outcomes
}

/**
 * Group commit: all requests in one transaction and one fsync. Each succeeds or is undone alone; when the commit itself fails,
 * none of them happened.
 */
export function executeGroup (executor: Executor, requests: Request[]): Outcome[] {
  try {
    return inTransaction(executor, () => requests.map((request) => execute(executor, request)))
  } catch {
    // Savepoints cost as much as a small request, so they are used only where one has failed: the group starts over with them.
    return executeOneByOne(executor, requests)
  }
}

function executeOneByOne (executor: Executor, requests: Request[]): Outcome[] {
  try {
    return inTransaction(executor, () => requests.map((request) => executeAlone(executor, request)))
  } catch (err) {
    const failed = failure(err)
    return requests.map(() => failed)
  }
}

function inTransaction<T> ({ database, unwritten }: Executor, work: () => T): T {
  database.exec('BEGIN IMMEDIATE')
  try {
    unwritten.begin()
    const result = work()
    unwritten.write()
    database.exec('COMMIT')
    return result
  } catch (err) {
    // Some failures (disk full, I/O) make SQLite roll back by itself.
    if (database.isTransaction) database.exec('ROLLBACK')
    throw err
  }
}

function execute ({ operations }: Executor, { operation, args }: Request): Outcome {
  return { ok: true, value: operations[operation]!(...args) }
}

function executeAlone (executor: Executor, request: Request): Outcome {
  const { database, unwritten } = executor
  database.exec('SAVEPOINT request')
  const undo = unwritten.mark()
  try {
    const outcome = execute(executor, request)
    unwritten.write()
    database.exec('RELEASE request')
    return outcome
  } catch (err) {
    if (!database.isTransaction) throw err
    undo()
    database.exec('ROLLBACK TO request; RELEASE request')
    return failure(err)
  }
}

/** An error in a form that crosses a thread boundary. */
export function failure (err: unknown): Outcome {
  const { code = null, message } = err as Error & { code?: string }
  return { ok: false, code, message }
}
