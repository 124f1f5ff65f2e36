import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from '../../test/helpers/random.ts'
import type { Ledger } from './ledger.ts'
import { key } from './oracle.ts'
import type { World } from './world.ts'

export interface WritersOptions {
  world: World
  ledger: Ledger
  random: Random
  /** Requests under way at once. Default 6. */
  lanes?: number
  /** Models of each lane, and registrations of each request. Default 50. */
  writersPerLane?: number
  /** Upper bound of registrations per second. Default 4000. */
  perSecond?: number
}

type Answer = { id: string | null } | { code: string }

const REQUEST_TIMEOUT_MS = 8000
const PAUSE_AFTER_FAILURE_MS = 100
/** Refusals that promise that nothing was stored; every other failure leaves it open. */
const REFUSALS = new Set(['FST_BRK_JOURNAL_FULL'])

/**
 * Many writers, each registering one version after the other, so that an order is promised. A lane's request carries the next version
 * of each of its writers, to whichever service comes next: two versions of one model are seldom taken by the same process.
 */
export class Writers {
  readonly #options: Required<WritersOptions>
  readonly #stopping = new AbortController()
  #lanes: Promise<void>[] = []

  constructor (options: WritersOptions) {
    this.#options = { lanes: 6, writersPerLane: 50, perSecond: 4000, ...options }
  }

  start (): void {
    this.#lanes = Array.from({ length: this.#options.lanes }, (_, lane) => this.#run(lane))
  }

  /** Returns when the last answer is in. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#lanes)
  }

  async #run (lane: number): Promise<void> {
    const { lanes, writersPerLane, perSecond, random } = this.#options
    const writers = Array.from({ length: writersPerLane }, (_, index) => lane * writersPerLane + index)
    const pauseMs = 1000 * lanes * writersPerLane / perSecond
    while (!this.#stopping.signal.aborted) {
      const begun = performance.now()
      const answered = await this.post(writers, random.below(1000))
      const restMs = pauseMs - (performance.now() - begun)
      if (!answered) await delay(PAUSE_AFTER_FAILURE_MS)
      else if (restMs > 1) await delay(restMs)
    }
  }

  /** Registers the next version of each writer, and notes what became of them. False: nobody knows. */
  async post (writers: number[], target: number, poison = false): Promise<boolean> {
    const { world, ledger } = this.#options
    const versions = writers.map((writer) => [writer, ledger.next(writer)] as const)
    const answers = await ask(`${world.service(target).url}/batch`, { versions, poison })
    answers?.forEach((answer, index) => {
      const [writer, version] = versions[index]!
      if ('id' in answer && answer.id !== null) ledger.accept(writer, version, answer.id)
      else if ('code' in answer && REFUSALS.has(answer.code)) ledger.refuse(writer, version)
    })
    return answers !== null && answers.every((answer) => 'id' in answer)
  }

  /** A message, one that no Redis takes, and another, of the same model; the key of the second is noted before it is tried. */
  async poison (target: number, noted: Set<string>): Promise<void> {
    const writer = this.#extra
    await this.post([writer], target)
    noted.add(key(writer, this.#options.ledger.lastVersion(writer) + 1))
    await this.post([writer], target, true)
    await this.post([writer], target)
  }

  /** One more event, of a model of its own. False: it was not acknowledged. */
  async fresh (): Promise<boolean> {
    return await this.post([this.#extra + 1], 0)
  }

  /** The first writer that no lane has. */
  get #extra (): number { return this.#options.lanes * this.#options.writersPerLane }
}

async function ask (url: string, body: object): Promise<Answer[] | null> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS)
    })
    return response.ok ? await response.json() as Answer[] : null
  } catch {
    return null
  }
}
