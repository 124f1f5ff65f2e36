import { Availability } from './availability.ts'
import { LeaseKeeper } from './handling/lease-keeper.ts'
import { MessageDesk } from './handling/message-desk.ts'
import { parseConsumerOptions } from './options.ts'
import type { ConsumerOptions, ConsumerSettings } from './options.ts'
import { Recoverer } from './handling/recoverer.ts'
import type { Delivery } from './source.ts'
import { newCounters } from './stats.ts'
import type { ConsumerStats } from './stats.ts'
import { Work, within } from './handling/work.ts'

export type { ConsumerOptions, Handler, HandlerContext } from './options.ts'
export type { ConsumerCounters, ConsumerStats } from './stats.ts'

export interface RunLimits {
  /** Return after so many messages, dead letters included. */
  count?: number | undefined
  /** Return as soon as the queue is empty. Messages that wait for their next attempt are not waited for. */
  untilEmpty?: boolean | undefined
}

/** How long `stop()` waits for the answer to the last take, on top of the time for which that may wait for messages. */
const LAST_TAKE_MS = 250

/**
 * Takes messages from a source and hands them to a handler, each at least once: a message leaves the source only when it was handled, lies in
 * the dead letters, or waits for its next attempt. Works through any outage of the source.
 */
export class Consumer {
  readonly #settings: ConsumerSettings
  readonly #availability: Availability
  readonly #leases: LeaseKeeper
  readonly #desk: MessageDesk
  readonly #counters = newCounters()
  /** In the order of the queue. */
  readonly #hand = new Set<Work>()
  readonly #stopping = new AbortController()
  readonly #tooLate = Promise.withResolvers<null>()
  #running: Promise<void> | null = null
  #giveUpAt = Infinity
  #changed = Promise.withResolvers<void>()

  /** @throws FST_BRK_CONSUMER_OPTION */
  constructor (options: ConsumerOptions) {
    const settings = parseConsumerOptions(options)
    const { source, visibilityMs, logger, random } = settings
    this.#settings = settings
    this.#availability = new Availability(logger, random)
    this.#leases = new LeaseKeeper(source, visibilityMs, (err) => this.#availability.failed(err))
    this.#desk = new MessageDesk({
      settings,
      counters: this.#counters,
      availability: this.#availability,
      stopping: () => this.#stopping.signal.aborted,
      giveUpAt: () => this.#giveUpAt
    })
  }

  get stats (): ConsumerStats {
    return { ...this.#counters, running: this.#running !== null, inHand: this.#hand.size, available: this.#availability.available }
  }

  /** Works until `stop()` or a limit, and then drains. Never rejects. What was stopped stays stopped. */
  run (limits: RunLimits = {}): Promise<void> {
    this.#running ??= this.#run(limits).finally(() => { this.#running = null })
    return this.#running
  }

  /**
   * Takes nothing new, waits up to `stopTimeoutMs` for running handlers, and hands what is unfinished or was not begun back to the
   * source, in one step and in its old order. Never rejects.
   */
  async stop (): Promise<void> {
    const { clock, stopTimeoutMs, waitMs, source } = this.#settings
    this.#giveUpAt = Math.min(this.#giveUpAt, clock() + stopTimeoutMs)
    this.#stopping.abort()
    this.#tellChange()
    source.interrupt?.()
    const timer = setTimeout(() => this.#tooLate.resolve(null), LAST_TAKE_MS + (source.interrupt === undefined ? waitMs : 0))
    await this.#running
    clearTimeout(timer)
  }

  async #run (limits: RunLimits): Promise<void> {
    const recoverer = this.#makeRecoverer()
    recoverer.start()
    await this.#takeUntil(limits)
    recoverer.stop()
    await this.#finish()
    await this.#handBack()
  }

  #makeRecoverer (): Recoverer {
    const { source, visibilityMs, logger, random } = this.#settings
    return new Recoverer({
      source,
      everyMs: visibilityMs / 3,
      available: () => this.#availability.available,
      onRecovered: ({ abandoned }) => {
        this.#counters.recovered += abandoned
        if (abandoned > 0) logger.info({ abandoned }, 'messages of dead consumers are back in the queue')
      },
      onError: (err) => this.#availability.failed(err),
      random
    })
  }

  async #takeUntil ({ count = Infinity, untilEmpty = false }: RunLimits): Promise<void> {
    const { concurrency, waitMs } = this.#settings
    for (let taken = 0; taken < count && !this.#stopping.signal.aborted;) {
      const free = Math.min(concurrency - this.#hand.size, count - taken)
      const deliveries = free > 0 ? await this.#take(free, untilEmpty ? 0 : waitMs) : []
      for (const delivery of deliveries ?? []) this.#accept(delivery)
      taken += deliveries?.length ?? 0
      const idle = deliveries !== null && deliveries.length === 0
      if (idle && untilEmpty && this.#hand.size === 0) return
      if (idle && (untilEmpty || free <= 0)) await this.#changed.promise
    }
  }

  /** Null where the source did not answer. */
  async #take (max: number, waitMs: number): Promise<Delivery[] | null> {
    const { source } = this.#settings
    const taking = source.take(max, waitMs)
    try {
      const taken = await Promise.race([taking, this.#tooLate.promise])
      if (taken === null) this.#returnLate(taking)
      else this.#availability.succeeded()
      return taken
    } catch (err) {
      this.#availability.failed(err)
      await this.#availability.pause(this.#stopping.signal)
      return null
    }
  }

  #returnLate (taking: Promise<Delivery[]>): void {
    taking.then((late) => this.#settings.source.handBack(late)).catch((err) => this.#settings.logger.debug({ err }, 'last take was not answered'))
  }

  #accept (delivery: Delivery): void {
    const work = new Work(delivery)
    this.#counters.taken++
    this.#hand.add(work)
    this.#leases.keep(work)
    void this.#desk.process(work).then(() => {
      // What was not begun stays in hand, to be handed back.
      if (work.stage !== 'waiting' || work.takenAway) this.#release(work)
    })
  }

  #release (work: Work): void {
    this.#hand.delete(work)
    this.#leases.drop(work)
    this.#tellChange()
  }

  #tellChange (): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  /** Waits for what is in hand, or, once it stops, for what was begun. */
  async #finish (): Promise<void> {
    for (;;) {
      const stopping = this.#stopping.signal.aborted
      const awaited = [...this.#hand].some(({ stage }) => !stopping || stage !== 'waiting')
      const leftMs = this.#giveUpAt - this.#settings.clock()
      if (!awaited || leftMs <= 0) return
      await within(this.#changed.promise, leftMs)
    }
  }

  async #handBack (): Promise<void> {
    // A message that is done with is not handed back, even if the source could not be told: its lease keeps it for now.
    const unfinished = [...this.#hand].filter(({ stage }) => stage !== 'settling')
    for (const work of unfinished) work.takeAway('the consumer stops')
    try {
      if (unfinished.length > 0) this.#counters.handedBack += await this.#settings.source.handBack(unfinished.map(({ delivery }) => delivery))
    } catch (err) {
      this.#settings.logger.warn({ err, messages: unfinished.length }, 'unfinished messages could not be handed back, they come again when their leases run out')
    }
    for (const work of this.#hand) this.#release(work)
  }
}
