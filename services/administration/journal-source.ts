import type { Journal } from '../journal/journal.ts'
import { answered } from './consumer-side/client.ts'
import { journalLetter } from './letter.ts'
import type { Letter } from './letter.ts'
import type { LetterSource } from './consumer-side/list-source.ts'

const PAGE_ROWS = 50

export type DeadLetterJournal = Pick<Journal, 'deadLetters' | 'replayDeadLetters' | 'purgeDeadLetters' | 'stats'>

/** The dead letters of the publish side, read in bounded pages. */
export class JournalSource implements LetterSource {
  readonly #journal: DeadLetterJournal
  readonly #timeoutMs: number
  #state: string | null
  #read: string | null
  #buffer: Letter[] = []

  constructor (journal: DeadLetterJournal, state: string | null, timeoutMs: number) {
    this.#journal = journal
    this.#state = this.#read = state
    this.#timeoutMs = timeoutMs
  }

  /** The last id taken; empty: at the end; null: not begun. */
  get state (): string | null { return this.#state }

  get time (): number | null { return this.#buffer[0]?.failedAt ?? null }

  async peek (): Promise<Letter | null> {
    if (this.#buffer.length === 0 && this.#read !== '') {
      const rows = await answered(this.#journal.deadLetters({ limit: PAGE_ROWS, before: this.#read }), this.#timeoutMs)
      this.#buffer = rows.map(journalLetter)
      this.#read = rows.length < PAGE_ROWS ? '' : rows.at(-1)!.id
    }
    if (this.#buffer.length === 0) this.#state = ''
    return this.#buffer[0] ?? null
  }

  take (): void {
    this.#state = this.#buffer.shift()!.id.slice(2)
    if (this.#buffer.length === 0 && this.#read === '') this.#state = ''
  }
}
