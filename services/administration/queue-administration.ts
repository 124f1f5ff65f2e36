import type { Logger } from '../observability/logger.ts'
import { silentLogger } from '../observability/logger.ts'
import { reasonOf } from './consumer-side/client.ts'
import type { QueueClient } from './consumer-side/client.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { DeadLetterNotFound, DeadLettersUnavailable } from './errors.ts'
import { matcher } from './filter.ts'
import type { LetterFilter } from './filter.ts'
import { findElements } from './consumer-side/find-elements.ts'
import { JournalSource } from './journal-source.ts'
import type { DeadLetterJournal } from './journal-source.ts'
import { queueKeys } from './consumer-side/keys.ts'
import type { QueueKeys, QueueTransport } from './consumer-side/keys.ts'
import { parseLetterId } from './letter.ts'
import type { Letter, LetterId } from './letter.ts'
import { countCopies, numberCopies } from './consumer-side/number-copies.ts'
import type { Action, LetterResult } from './outcome.ts'
import { readOverview } from './overview.ts'
import type { Overview } from './overview.ts'
import { detail, summary } from './present.ts'
import type { LetterDetail, LetterSummary } from './present.ts'
import { settleIds, settleLetters } from './settle.ts'
import { Settlement } from './consumer-side/settlement.ts'
import { walk } from './walk.ts'
import type { Unavailable, WalkOptions } from './walk.ts'

export interface QueueAdministrationOptions {
  queueName: string
  /** Null: only the consumer side can be seen. */
  journal: DeadLetterJournal | null
  /** Null: Redis is disabled, only the publish side can be seen. */
  redis: QueueClient | null
  /** Whether the server is a cluster, where one script must stay in one slot. Default: whether the client is one. */
  cluster?: boolean
  /** Where replayed messages go. Default `list`. */
  transport?: QueueTransport
  /** Deadline of each command and each query. Default 2000. */
  timeoutMs?: number
  logger?: Logger
}

export interface ListQuery extends LetterFilter { limit?: number | undefined, cursor?: string | undefined }

export interface LetterPage {
  items: LetterSummary[]
  /** Null: there is nothing more. A page can be short, or empty, and have one: a call looks at a bounded number of letters. */
  next_cursor: string | null
  /** Sides that could not be read. */
  unavailable: Unavailable[]
}

/** Which letters. With `filter` and `all`, `cursor` continues after the batch before. */
export type Selection = { ids: string[] } | { filter: LetterFilter, cursor?: string | undefined } | { all: true, cursor?: string | undefined }

export interface Settled {
  results: LetterResult[]
  /** There may be more letters that match: repeat the request with `cursor` set to `next_cursor`. */
  remaining: boolean
  next_cursor: string | null
  unavailable: Unavailable[]
}

const DEFAULT_PAGE = 50
const MAX_SCANNED = 2000
/** Letters of one replay or purge. */
export const MAX_BATCH = 1000
const MAX_BATCH_BYTES = 16 * 1024 * 1024

/** The messages of a queue that could not be handled, of both sides: publish (in the journal) and consume (in Redis). */
export class QueueAdministration {
  readonly #queueName: string
  readonly #keys: QueueKeys
  readonly #sources: WalkOptions
  readonly #settlement: Settlement | null
  readonly #logger: Logger

  constructor (options: QueueAdministrationOptions) {
    const { queueName, journal, redis, cluster = redis?.isCluster ?? false, transport, timeoutMs = 2000, logger = silentLogger } = options
    this.#queueName = queueName
    this.#keys = queueKeys(queueName, transport)
    this.#sources = { journal, redis, places: this.#keys.places, timeoutMs }
    this.#settlement = redis === null ? null : new Settlement(redis, this.#keys, timeoutMs, cluster)
    this.#logger = logger
  }

  /** Never rejects, and answers within the deadline. */
  async overview (): Promise<Overview> {
    return await readOverview({ queue: this.#queueName, keys: this.#keys, ...this.#sources })
  }

  /**
   * Newest first. What arrives while pages are read is neither in them nor moves them: no letter is skipped or repeated.
   * @throws FST_BRK_DEAD_LETTER_CURSOR (400), FST_BRK_DEAD_LETTERS_UNAVAILABLE (503) when none of the sides asked for can be read
   */
  async list ({ limit = DEFAULT_PAGE, cursor, ...filter }: ListQuery = {}): Promise<LetterPage> {
    const limits = { side: filter.side, letters: limit, scanned: MAX_SCANNED, bytes: MAX_BATCH_BYTES }
    const { letters, state, unavailable } = await walk(this.#sources, readCursor(cursor), matcher(filter), limits)
    await numberCopies(this.#sources, letters)
    return { items: letters.map(summary), next_cursor: state === null ? null : writeCursor(state), unavailable }
  }

  /** @throws FST_BRK_DEAD_LETTER_NOT_FOUND (404), FST_BRK_DEAD_LETTERS_UNAVAILABLE (503) */
  async find (id: string): Promise<LetterDetail> {
    const wanted = parseLetterId(id)
    if (wanted === null) throw new DeadLetterNotFound()
    let letter: Letter | undefined
    try {
      letter = wanted.side === 'publish' ? await this.#findRow(wanted.base) : await this.#findElement(wanted)
    } catch (err) {
      throw new DeadLettersUnavailable(reasonOf(err))
    }
    if (letter === undefined) throw new DeadLetterNotFound()
    return { ...detail(letter), id }
  }

  /**
   * Puts messages back: those of the publish side into the journal, as its newest; those of the consumer side into the queue. Batches of 1000,
   * the oldest of a batch first. Never rejects for Redis or the database: what failed says so. Safe to repeat after any failure.
   * @throws FST_BRK_DEAD_LETTER_CURSOR (400)
   */
  async replay (selection: Selection): Promise<Settled> {
    return await this.#settle(selection, 'replay')
  }

  /** Deletes letters for good. As {@link QueueAdministration.replay} otherwise. */
  async purge (selection: Selection): Promise<Settled> {
    return await this.#settle(selection, 'purge')
  }

  async #settle (selection: Selection, action: Action): Promise<Settled> {
    const parts = { sources: this.#sources, settlement: this.#settlement, action }
    const settled = 'ids' in selection
      ? { results: await settleIds(parts, selection.ids.slice(0, MAX_BATCH)), state: null, unavailable: [] }
      : await this.#settleWalked(selection, parts)
    const { results, state, unavailable } = settled
    const counts = Object.fromEntries(Object.entries(Object.groupBy(results, ({ outcome }) => outcome)).map(([outcome, some]) => [outcome, some.length]))
    if (results.length > 0) this.#logger.info({ action, queue: this.#queueName, ...counts }, 'dead letters settled')
    return { results, remaining: state !== null, next_cursor: state === null ? null : writeCursor(state), unavailable }
  }

  async #settleWalked (selection: Exclude<Selection, { ids: string[] }>, parts: Parameters<typeof settleLetters>[0]) {
    const filter = 'filter' in selection ? selection.filter : {}
    const from = readCursor(selection.cursor)
    // What Redis refuses now, the walk will hear too.
    if (filter.side !== 'publish') await this.#settlement?.finishMoves().catch(() => {})
    const limits = { side: filter.side, letters: MAX_BATCH, scanned: MAX_SCANNED, bytes: MAX_BATCH_BYTES, removing: true }
    const { letters, state, unavailable } = await walk(this.#sources, from, matcher(filter), limits)
    return { results: await settleLetters(parts, letters), state, unavailable }
  }

  /** The journal lists the rows before an id; the first one before the next id is the one. */
  async #findRow (id: string): Promise<Letter | undefined> {
    const { journal, timeoutMs } = this.#sources
    if (journal === null) throw new Error('there is no journal at hand')
    if (!/^\d{1,18}$/.test(id)) return undefined
    const letter = await new JournalSource(journal, String(BigInt(id) + 1n), timeoutMs).peek()
    return letter?.id === `p-${id}` ? letter : undefined
  }

  async #findElement ({ base, copies }: LetterId): Promise<Letter | undefined> {
    if (this.#sources.redis === null) throw new Error('Redis is disabled')
    const letter = (await findElements(this.#sources, new Set([base]))).letters.get(base)
    if (letter === undefined || copies === 1) return letter
    return await countCopies(this.#sources, letter) < copies ? undefined : letter
  }
}
