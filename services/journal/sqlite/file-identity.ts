import { closeSync, fsyncSync, openSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'

/**
 * Notices that a database file is no longer at its path. SQLite would go on writing to a file without a name, and acknowledge what
 * nobody finds again after a restart.
 */
export class FileIdentity {
  readonly #path: string
  readonly #identity: string | null
  readonly #log: string | null

  constructor (path: string) {
    this.#path = path
    this.#identity = identityOf(path)
    this.#log = identityOf(`${path}-wal`)
  }

  state (): 'same' | 'deleted' | 'replaced' {
    const identity = identityOf(this.#path)
    if (identity === this.#identity) return 'same'
    return identity === null ? 'deleted' : 'replaced'
  }

  /** The former file's log beside a new file would be applied to it, and SQLite leaves it there when its file has moved. */
  removeFormerLog (): void {
    if (identityOf(`${this.#path}-wal`) !== this.#log) return
    for (const suffix of ['-wal', '-shm']) rmSync(`${this.#path}${suffix}`, { force: true })
  }
}

/** Null where there is no file, as for a database in memory. */
function identityOf (path: string): string | null {
  const stat = path === ':memory:' ? undefined : statSync(path, { throwIfNoEntry: false })
  return stat === undefined ? null : `${stat.dev}:${stat.ino}`
}

/** Writes what an open handle holds to a new file, on the disk before it returns. */
export function saveAside (database: DatabaseSync, copy: string): string {
  rmSync(copy, { force: true })
  database.prepare('VACUUM INTO ?').run(copy)
  for (const path of [copy, dirname(copy)]) sync(path)
  return copy
}

function sync (path: string): void {
  const descriptor = openSync(path, 'r')
  fsyncSync(descriptor)
  closeSync(descriptor)
}
