import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { answered, reasonOf } from './client.ts'
import type { QueueClient } from './client.ts'
import { AdministrationTimeout } from '../errors.ts'
import { withFreshAttempts } from './fresh-attempts.ts'
import { sameSlot } from './keys.ts'
import type { DeadLetterPlace, QueueKeys } from './keys.ts'
import type { Letter } from '../letter.ts'
import { Move } from './move.ts'
import { done, result } from '../outcome.ts'
import type { Action, LetterResult } from '../outcome.ts'
import { SETTLE_SCRIPT } from './scripts.ts'

/** Redis looks through the list for each letter, and serves nobody else meanwhile: few at a time. */
const CHUNK_LETTERS = 25
const CHUNK_BYTES = 1024 * 1024
/** Longer than any connection outlives a command that was given up. */
const RECORD_MS = 3_600_000
const ATTEMPTS = 3
const PAUSE_MS = 50

/** Replays and purges letters that lie in Redis: each atomically, however often a request has to be repeated. */
export class Settlement {
  readonly #redis: QueueClient
  readonly #keys: QueueKeys
  readonly #timeoutMs: number
  readonly #cluster: boolean

  constructor (redis: QueueClient, keys: QueueKeys, timeoutMs: number, cluster: boolean) {
    this.#redis = redis
    this.#keys = keys
    this.#timeoutMs = timeoutMs
    this.#cluster = cluster
  }

  /** Oldest first, so that what is replayed keeps its order. After a failure nothing more is tried. */
  async settle (letters: Letter[], action: Action): Promise<LetterResult[]> {
    const results: LetterResult[] = []
    let failure: string | null = null
    for (const chunk of chunks(inOrder(letters))) {
      if (failure === null) {
        try {
          results.push(...await this.#settleChunk(chunk, action))
          continue
        } catch (err) {
          failure = reasonOf(err)
        }
      }
      results.push(...chunk.map(({ id }) => result(id, 'failed', failure)))
    }
    return results
  }

  /** Completes replays that were interrupted between two slots. Returns the ids of their letters. */
  async finishMoves (): Promise<string[]> {
    const ids: string[] = []
    for (const place of this.#keys.places.filter((place) => this.#crosses(place))) {
      ids.push(...await this.#move(place).finishInterrupted())
    }
    return ids
  }

  #crosses ({ list }: DeadLetterPlace): boolean {
    return this.#cluster && !sameSlot(list, this.#keys.queue)
  }

  #move (place: DeadLetterPlace): Move {
    return new Move((script, keys, args) => this.#eval(script, keys, args), this.#redis, this.#keys, place, this.#timeoutMs)
  }

  async #settleChunk (chunk: Letter[], action: Action): Promise<LetterResult[]> {
    const { place } = chunk[0]!.at!
    if (action === 'replay' && this.#crosses(place)) return await this.#move(place).replay(chunk)
    const keys = [place.list, `${place.settled}:${randomUUID()}`, ...action === 'replay' ? [this.#keys.target] : []]
    const args = chunk.flatMap(({ original, at }) => [
      at!.element, at!.copies, at!.nearNewest ? 1 : -1, action === 'replay' ? withFreshAttempts(original) : ''
    ])
    const digits = String(await this.#eval(SETTLE_SCRIPT, keys, [RECORD_MS, this.#keys.transport, ...args]))
    return chunk.map(({ id }, index) => digits[index] === '1' ? done(id, action) : result(id, 'not_found'))
  }

  /** Repeats a script whose outcome is unknown: each of ours does its work once. */
  async #eval (script: string, keys: string[], args: (string | number | Buffer)[]): Promise<unknown> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await answered(this.#redis.eval(script, keys.length, ...keys, ...args), this.#timeoutMs)
      } catch (err) {
        if (attempt === ATTEMPTS || !isAmbiguous(err)) throw err
        await delay(PAUSE_MS)
      }
    }
  }
}

function isAmbiguous (err: unknown): boolean {
  return err instanceof AdministrationTimeout || Object(err).ambiguous === true
}

/** List by list, oldest first. Of the copies of one element, the one that needs most copies goes first. */
function inOrder (letters: Letter[]): Letter[] {
  const sorted = letters.toSorted((a, b) =>
    a.at!.place.list < b.at!.place.list ? -1 : a.at!.place.list > b.at!.place.list ? 1 : a.at!.position - b.at!.position)
  const copies = Map.groupBy(sorted, contentOf)
  for (const group of copies.values()) group.sort((a, b) => b.at!.copies - a.at!.copies)
  return sorted.map((letter) => copies.get(contentOf(letter))!.shift()!)
}

function contentOf ({ at }: Letter): string {
  return `${at!.place.list} ${at!.element.toString('latin1')}`
}

function * chunks (letters: Letter[]): Generator<Letter[]> {
  let chunk: Letter[] = []
  let bytes = 0
  for (const letter of letters) {
    const size = letter.at!.element.length + letter.original.length
    const fits = chunk.length < CHUNK_LETTERS && bytes + size <= CHUNK_BYTES && chunk[0]?.at!.place.list === letter.at!.place.list
    if (chunk.length > 0 && !fits) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(letter)
    bytes += size
  }
  if (chunk.length > 0) yield chunk
}
