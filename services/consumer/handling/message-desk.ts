import { isUtf8 } from 'node:buffer'
import type { Logger } from '../../observability/logger.ts'
import { deadLetter } from '../../queue/dead-letter.ts'
import { EnvelopeMalformed } from '../../queue/errors.ts'
import { readEnvelope } from '../../queue/read-envelope.ts'
import type { ReceivedMessage } from '../../queue/read-envelope.ts'
import type { Availability } from '../availability.ts'
import type { ConsumerSettings } from '../options.ts'
import { KeyLanes } from './key-lanes.ts'
import { judge } from './retry-policy.ts'
import type { ConsumerCounters } from '../stats.ts'
import { within } from './work.ts'
import type { Outcome, Work } from './work.ts'

export interface DeskOptions {
  settings: ConsumerSettings
  counters: ConsumerCounters
  availability: Availability
  stopping: () => boolean
  /** When to give up telling the source (monotonic ms). */
  giveUpAt: () => number
}

/** A promise in an object, because an async function would wait for a bare one. */
interface Lane {
  /** What the next message of the key has to wait for. */
  free: Promise<unknown> | null
}

const FREE: Lane = { free: null }

/** Deals with messages in hand: their turn, the handler, and what the source is told. */
export class MessageDesk {
  readonly #options: DeskOptions
  readonly #settings: ConsumerSettings
  readonly #lanes = new KeyLanes()

  constructor (options: DeskOptions) {
    this.#options = options
    this.#settings = options.settings
  }

  /** Resolves when the message is dealt with, or is to be handed back because the consumer stops. Never rejects. */
  async process (work: Work): Promise<void> {
    const message = this.#read(work)
    if (message instanceof Error) {
      await this.#bury(work, message, this.#settings.logger)
      return
    }
    const logger = withMessage(this.#settings.logger, message)
    const leave = await this.#lanes.enter(this.#laneOf(message))
    let lane = FREE
    try {
      if (!this.#options.stopping() && !work.takenAway) lane = await this.#deal(work, message, logger)
    } finally {
      if (lane.free === null) leave()
      else void lane.free.then(leave)
    }
  }

  #read ({ delivery }: Work): ReceivedMessage | Error {
    // Decoding would replace what is wrong, and the next attempt would be another message.
    if (!isUtf8(delivery.body)) return new EnvelopeMalformed('it is not UTF-8')
    try {
      return readEnvelope(delivery.body.toString())
    } catch (err) {
      return err as Error
    }
  }

  /** Without a key its id is one: the same message twice is not handled twice at the same time. */
  #laneOf (message: ReceivedMessage): string {
    try {
      const key = this.#settings.keyOf?.(message) ?? null
      if (key !== null) return `key ${key}`
    } catch (err) {
      this.#settings.logger.warn({ err, messageId: message.message_id }, 'keyOf threw, the message is handled without a key')
    }
    return `id ${message.message_id}`
  }

  async #deal (work: Work, message: ReceivedMessage, logger: Logger): Promise<Lane> {
    work.stage = 'running'
    const seen = await this.#seen(work, message)
    if (seen === true) return await this.#acknowledge(work, 'duplicates')
    if (seen === null || work.takenAway) {
      work.stage = 'waiting'
      return FREE
    }
    return await this.#conclude(work, message, await this.#attempt(work, message, logger), logger)
  }

  /** Null: nobody can tell. */
  async #seen (work: Work, { message_id: id }: ReceivedMessage): Promise<boolean | null> {
    const { deduplication } = this.#settings
    if (deduplication === null) return false
    return (await this.#tell(work, () => deduplication.seen(id))).answer
  }

  async #attempt (work: Work, message: ReceivedMessage, logger: Logger): Promise<Outcome> {
    const { handler, timeoutOf, graceMs } = this.#settings
    const context = { signal: work.signal, attempt: message.retry_count + 1, body: work.delivery.body.toString(), logger }
    try {
      return await work.attempt(() => handler(message, context), timeoutOf(message), graceMs)
    } catch (error) {
      return { kind: 'failed', error }
    }
  }

  async #conclude (work: Work, message: ReceivedMessage, outcome: Outcome, logger: Logger): Promise<Lane> {
    const { deduplication, visibilityMs } = this.#settings
    const { counters } = this.#options
    if (outcome.kind === 'taken away') {
      if (work.lost) counters.leasesLost++
      return { free: within(outcome.ended, visibilityMs) }
    }
    if (outcome.kind === 'ignored') {
      counters.ignored++
      logger.error({ err: work.signal.reason }, 'handler ignores its signal, its message is left to the lease')
      return { free: within(outcome.ended, visibilityMs) }
    }
    work.stage = 'settling'
    if (outcome.kind === 'failed') return await this.#failed(work, message, outcome.error, logger)
    if (deduplication === null) return await this.#acknowledge(work, 'handled')
    const { answer } = await this.#tell(work, async () => {
      await deduplication.remember(message.message_id)
      return true
    })
    if (answer !== null) return await this.#acknowledge(work, 'handled')
    this.#gaveUp(work)
    return FREE
  }

  async #acknowledge (work: Work, counter: 'handled' | 'duplicates'): Promise<Lane> {
    work.stage = 'settling'
    const { source } = this.#settings
    return await this.#settle(work, counter, () => source.acknowledge(work.delivery))
  }

  async #failed (work: Work, message: ReceivedMessage, error: unknown, logger: Logger): Promise<Lane> {
    const verdict = judge(message, work.delivery.body, error, this.#settings)
    if (!verdict.again) {
      await this.#bury(work, error, logger)
      return FREE
    }
    const { body, delayMs, counted } = verdict
    const details = { attempt: message.retry_count + 1, delayMs: Math.round(delayMs) }
    if (counted) logger.debug({ err: error, ...details }, 'attempt failed, message comes again')
    return await this.#settle(work, counted ? 'retried' : 'postponed', () => this.#settings.source.retry(work.delivery, body, delayMs))
  }

  async #bury (work: Work, reason: unknown, logger: Logger): Promise<void> {
    work.stage = 'settling'
    const { source, queue } = this.#settings
    logger.warn({ err: reason }, 'message could not be handled, it becomes a dead letter')
    const letter = deadLetter(work.delivery.body, reason, queue)
    await this.#settle(work, 'deadLettered', () => source.bury(work.delivery, letter))
  }

  async #settle (work: Work, counter: keyof ConsumerCounters, tell: () => Promise<boolean>): Promise<Lane> {
    const { answer, repeated } = await this.#tell(work, tell)
    if (answer === null) this.#gaveUp(work)
    // The first time may have worked, and its answer was lost.
    if (answer === true || (answer === false && repeated)) this.#options.counters[counter]++
    else if (answer === false) this.#options.counters.leasesLost++
    return FREE
  }

  #gaveUp (work: Work): void {
    if (!work.takenAway) this.#settings.logger.warn({}, 'stopped during an outage: a message that is done with stays in processing')
  }

  /** Asks until it is answered, the message is taken away, or the consumer gives up; null then. */
  async #tell<T> (work: Work, ask: () => Promise<T>): Promise<{ answer: T | null, repeated: boolean }> {
    const { availability, giveUpAt } = this.#options
    for (let repeated = false; ; repeated = true) {
      try {
        return { answer: await ask(), repeated }
      } catch (err) {
        availability.failed(err)
      }
      if (work.takenAway || this.#settings.clock() >= giveUpAt()) return { answer: null, repeated }
      await availability.pause()
    }
  }
}

function withMessage (logger: Logger, { message_id: messageId, message_type: messageType }: ReceivedMessage): Logger {
  const at = (level: keyof Logger) => (details: object, text: string) => logger[level]({ messageId, messageType, ...details }, text)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}
