import { setTimeout as delay } from 'node:timers/promises'
import { SqliteEngine } from '../../../services/journal/sqlite/engine.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'

/**
 * A process that appends as fast as it can until it is killed, and tells at once of every outcome: `+ body` or `- body`, where a body ends
 * with a full stop, so that a line cut off by the kill is known.
 * Arguments: database file, prefix of its bodies.
 */
const [path, prefix] = process.argv.slice(2) as [string, string]
const engine = new SqliteEngine({ path, limits: { maxRows: 1e6, maxBytes: 1e9 }, modules: [] })
const journal = new SqliteJournal(engine, 'node')
let count = 0

async function write (): Promise<never> {
  for (;;) {
    const body = `${prefix}-${++count}-${'x'.repeat(500)}.`
    try {
      await journal.append([{ key: prefix, body }])
      process.stdout.write(`+ ${body}\n`)
    } catch {
      process.stdout.write(`- ${body}\n`)
      await delay(5)
    }
  }
}

await Promise.all(Array.from({ length: 8 }, write))
