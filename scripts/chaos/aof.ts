import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'

const CHUNK_BYTES = 4 * 1024 * 1024
const CARRIAGE_RETURN = 13

export interface AofFiles { base: string | null, increments: string[] }

/** The files of a Redis ≥ 7 append-only directory, as its manifest lists them. */
export function aofFiles (directory: string): AofFiles {
  const folder = join(directory, 'appendonlydir')
  const lines = readFileSync(join(folder, 'appendonly.aof.manifest'), 'utf8').trim().split('\n')
  const entries = lines.map((line) => line.split(' ')).map((words) => ({ file: join(folder, words[1]!), seq: Number(words[3]), type: words[5] }))
  return {
    base: entries.find(({ type }) => type === 'b')?.file ?? null,
    increments: entries.filter(({ type }) => type === 'i').sort((a, b) => a.seq - b.seq).map(({ file }) => file)
  }
}

/**
 * The commands of an append-only file in the order in which the server executed them, with at most one chunk in memory. A command that
 * a kill cut off, and a transaction without its end, never happened: the server drops them, too.
 */
export function * readCommands (file: string): Generator<Buffer[]> {
  let transaction: Buffer[][] | null = null
  for (const command of readArrays(file)) {
    const name = command[0]!.toString('latin1').toUpperCase()
    if (name === 'MULTI') transaction = []
    else if (name === 'EXEC') {
      yield * joinTransaction(transaction ?? [])
      transaction = null
    } else if (transaction !== null) transaction.push(command)
    else yield command
  }
}

/** A script's writes belong together: an empty command marks where they end. */
function * joinTransaction (commands: Buffer[][]): Generator<Buffer[]> {
  yield * commands
  yield []
}

function * readArrays (file: string): Generator<Buffer[]> {
  const descriptor = openSync(file, 'r')
  try {
    let rest: Buffer = Buffer.alloc(0)
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
      const size = readSync(descriptor, chunk, 0, CHUNK_BYTES, null)
      if (size === 0) return
      const bytes: Buffer = rest.length === 0 ? chunk.subarray(0, size) : Buffer.concat([rest, chunk.subarray(0, size)])
      const cursor = { at: 0 }
      for (let array = readArray(bytes, cursor); array !== null; array = readArray(bytes, cursor)) yield array
      rest = bytes.subarray(cursor.at)
    }
  } finally {
    closeSync(descriptor)
  }
}

/** The next array of bulk strings, or null, and the cursor unmoved, where it is not complete. */
function readArray (bytes: Buffer, cursor: { at: number }): Buffer[] | null {
  const scan = { at: cursor.at }
  const count = readCount(bytes, scan)
  if (count === null) return null
  const parts: Buffer[] = []
  for (let index = 0; index < count; index++) {
    const size = readCount(bytes, scan)
    if (size === null || scan.at + size + 2 > bytes.length) return null
    parts.push(bytes.subarray(scan.at, scan.at + size))
    scan.at += size + 2
  }
  cursor.at = scan.at
  return parts
}

/** The number of a line such as `*3` or `$12`. */
function readCount (bytes: Buffer, scan: { at: number }): number | null {
  const end = bytes.indexOf(CARRIAGE_RETURN, scan.at)
  if (end === -1 || end + 1 >= bytes.length) return null
  const count = Number(bytes.toString('latin1', scan.at + 1, end))
  scan.at = end + 2
  return count
}
