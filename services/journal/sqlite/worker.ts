import { parentPort, workerData } from 'node:worker_threads'
import { JournalDatabase } from './database.ts'
import type { DatabaseOptions, StoreModule } from './database.ts'
import { packOutcomes, unpackRequests } from './group.ts'
import type { PackedRequests } from './group.ts'

/** The thread that owns the database: an fsync blocks it, and never the event loop that serves requests. */
async function main (options: DatabaseOptions): Promise<void> {
  const modules = await Promise.all(options.modules.map(async (url) => (await import(url)).storeModule as StoreModule))
  const database = new JournalDatabase(options, modules)
  parentPort!.on('message', (message: PackedRequests | 'close') => {
    if (message === 'close') {
      database.close()
      parentPort!.close()
      return
    }
    parentPort!.postMessage(packOutcomes(database.execute(unpackRequests(message))))
  })
}

if (parentPort !== null) await main(workerData as DatabaseOptions)
