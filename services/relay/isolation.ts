import type { Batch, Position } from '../journal/journal.ts'
import type { MessageRejected } from './errors.ts'

/** Times that a message must be rejected alone. */
const MAX_ATTEMPTS = 3
/** So many batches of a size must pass before twice as large ones are tried. */
const BATCHES_BEFORE_GROWTH = 32
const LARGEST_CAP = 4096

/** `narrowed`: try the smaller batch at once. `retry`: the culprit alone, after a pause. `bury`: it had its chances. */
export type Verdict = 'narrowed' | 'retry' | 'bury'

/**
 * Finds the message because of which the queue rejects a batch: batches are halved until it is alone, so its neighbours go
 * through, in order. Only rejections count; what happens on the way to the queue is nobody's fault.
 */
export class Isolation {
  /** Numbers of one term among which the culprit is. */
  #suspects: { term: string, first: number, last: number } | null = null
  #attempts = 0
  /** No message was to blame alone, all together were too much for something on the way: smaller batches for a while. */
  #cap = Infinity
  #blamedTogether = false
  #largestAccepted = 0
  #acceptedAtCap = 0

  get active (): boolean { return this.#suspects !== null }

  /** How often the last one was rejected alone. */
  get attempts (): number { return this.#attempts }

  /** How many messages the batch after `published` may have. */
  limit (published: Position | null, maxRows: number): number {
    if (this.#suspects === null) return Math.min(maxRows, this.#cap)
    const { term, first, last } = this.#suspects
    const next = published?.term === term ? published.seq + 1 : first
    return Math.min(maxRows, next < first ? first - next : Math.ceil((last - first + 1) / 2))
  }

  accepted ({ term, first, last }: Batch): void {
    if (this.#suspects === null) return this.#grow()
    this.#largestAccepted = Math.max(this.#largestAccepted, last - first + 1)
    if (term === this.#suspects.term && last < this.#suspects.last) {
      this.#suspects.first = Math.max(this.#suspects.first, last + 1)
      return
    }
    if (this.#blamedTogether) this.#cap = this.#largestAccepted
    this.clear()
  }

  rejected ({ term, first, last }: Batch, { index }: MessageRejected): Verdict {
    this.#blamedTogether = first < last && index === null
    if (first < last) {
      this.#attempts = 0
      this.#suspects = index === null ? { term, first, last } : { term, first: first + index, last: first + index }
      return 'narrowed'
    }
    const again = this.#suspects?.term === term && this.#suspects.first === first && this.#suspects.last === first
    this.#attempts = again ? this.#attempts + 1 : 1
    this.#suspects = { term, first, last: first }
    return this.#attempts < MAX_ATTEMPTS ? 'retry' : 'bury'
  }

  clear (): void {
    this.#suspects = null
    this.#attempts = 0
    this.#largestAccepted = 0
    this.#acceptedAtCap = 0
  }

  #grow (): void {
    if (this.#cap === Infinity || ++this.#acceptedAtCap < BATCHES_BEFORE_GROWTH) return
    this.#acceptedAtCap = 0
    this.#cap = this.#cap < LARGEST_CAP ? this.#cap * 2 : Infinity
  }
}
