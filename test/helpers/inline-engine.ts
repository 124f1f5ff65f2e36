import type { JournalLimits } from '../../services/journal/journal.ts'
import { JournalDatabase } from '../../services/journal/sqlite/database.ts'
import type { StoreModule } from '../../services/journal/sqlite/database.ts'
import { revive } from '../../services/journal/sqlite/revive.ts'

/** The engine's `run` on the caller's thread: the same SQL and the same transactions, one request each, on a clock of the test's. */
export class InlineEngine {
  readonly #database: JournalDatabase

  constructor (options: { path?: string, limits?: JournalLimits, now?: () => number, modules?: StoreModule[] } = {}) {
    const { path = ':memory:', limits = { maxRows: 1e6, maxBytes: 1e9 }, now = Date.now, modules = [] } = options
    this.#database = new JournalDatabase({ path, limits, modules: [] }, modules, now)
  }

  async run<T> (operation: string, ...args: unknown[]): Promise<T> {
    const [outcome] = this.#database.execute([{ operation, args: structuredClone(args) }])
    if (!outcome!.ok) throw revive(outcome!)
    return outcome!.value as T
  }

  close (): void {
    this.#database.close()
  }
}
