import { answered } from './client.ts'
import type { QueueClient } from './client.ts'
import type { ListState } from '../cursor.ts'
import type { DeadLetterPlace } from './keys.ts'
import { elementLetter } from '../letter.ts'
import type { Letter } from '../letter.ts'

/** Letters from the newest to the oldest. Reading one on does not move the state; taking it does. */
export interface LetterSource {
  peek (): Promise<Letter | null>
  take (): void
  /** What `peek()` goes by to order several sources; epoch ms. */
  readonly time: number | null
}

const FIRST_WINDOW = 50
const MAX_WINDOW = 500
const WINDOW_BYTES = 512 * 1024
/** So many of the letters shown last are remembered, by so many characters of their id. */
const REMEMBERED = 8
const REMEMBERED_CHARACTERS = 10

/**
 * One Redis list, read in bounded windows. Positions count from the oldest letter, so arrivals, which are pushed at the other end, neither
 * skip nor repeat one. A removal of older letters moves the rest towards the oldest: nothing is skipped, and what was shown last is recognised.
 */
export class ListSource implements LetterSource {
  readonly #client: QueueClient
  readonly #place: DeadLetterPlace
  readonly #timeoutMs: number
  #state: ListState | null
  #buffer: Letter[] = []
  /** Next position to read from Redis. */
  #unread = 0
  #length = 0
  #window = FIRST_WINDOW
  #begun = false

  constructor (client: QueueClient, place: DeadLetterPlace, state: ListState | null, timeoutMs: number) {
    this.#client = client
    this.#place = place
    this.#state = state
    this.#timeoutMs = timeoutMs
  }

  get name (): string { return this.#place.list }

  get state (): ListState | null { return this.#state }

  get time (): number | null {
    return this.#buffer[0]?.failedAt ?? this.#state?.time ?? null
  }

  async peek (): Promise<Letter | null> {
    if (!this.#begun) await this.#begin()
    while (this.#buffer.length === 0 && this.#unread > 0) await this.#read()
    if (this.#buffer.length === 0) this.#state = { ...this.#state!, next: 0 }
    return this.#buffer[0] ?? null
  }

  take (): void {
    const letter = this.#buffer.shift()!
    const { shown, time } = this.#state!
    this.#state = {
      next: letter.at!.position - 1,
      shown: [fingerprint(letter), ...shown].slice(0, REMEMBERED),
      time: letter.failedAt ?? time
    }
  }

  /** Where the walk has come to, without a memory of what was shown: for walks that remove what they have seen. */
  forget (): void {
    if (this.#state !== null) this.#state = { ...this.#state, shown: [] }
  }

  async #begin (): Promise<void> {
    this.#length = await answered(this.#client.llen(this.#place.list), this.#timeoutMs)
    const { next = this.#length, shown = [], time = null } = this.#state ?? {}
    this.#unread = Math.min(next, this.#length)
    this.#state = { next: this.#unread, shown, time }
    this.#begun = true
    if (shown.length > 0 && this.#unread > 0) await this.#resume(shown)
  }

  /** Where the letter before the next one is still the last one shown, nothing older was removed. */
  async #resume (shown: string[]): Promise<void> {
    const before = -(this.#unread + 1)
    const [anchor] = await answered(this.#client.lrangeBuffer(this.#place.list, before, before), this.#timeoutMs)
    if (anchor !== undefined && fingerprint(elementLetter(this.#at(anchor, 0))) === shown[0]) return
    await this.#read()
    const last = this.#buffer.findLastIndex((letter) => shown.includes(fingerprint(letter)))
    this.#buffer.splice(0, last + 1)
  }

  async #read (): Promise<void> {
    const newest = this.#unread
    const oldest = Math.max(1, newest - this.#window + 1)
    const elements = await answered(this.#client.lrangeBuffer(this.#place.list, -newest, -oldest), this.#timeoutMs)
    // Where the list has become shorter meanwhile, the oldest of the window is still where it was asked for.
    this.#buffer.push(...elements.map((element, index) => elementLetter(this.#at(element, oldest + elements.length - 1 - index))))
    this.#unread = oldest - 1
    const bytes = elements.reduce((sum, element) => sum + element.length, 0)
    this.#window = Math.max(1, Math.min(MAX_WINDOW, this.#window * 2, Math.floor(WINDOW_BYTES * elements.length / Math.max(1, bytes))))
  }

  #at (element: Buffer, position: number) {
    return { place: this.#place, element, position, nearNewest: position > this.#length / 2, copies: 1 }
  }
}

function fingerprint ({ id }: Letter): string {
  return id.slice(2, 2 + REMEMBERED_CHARACTERS)
}
