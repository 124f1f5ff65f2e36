import { setTimeout as delay } from 'node:timers/promises'
import { ask, jsonOf } from '../request.ts'
import { describe, failed, keyHeader, passed, warned } from './check.ts'
import type { Check, Target } from './check.ts'
import type { QueueView } from './queue-view.ts'
import type { Registered } from './registration.ts'

/** `redis`: seen in Redis itself. `api`: what GET /queue tells. `auto`: Redis where it can be reached, else the API. */
export type Evidence = 'auto' | 'redis' | 'api'

export interface EventWatchOptions {
  target: Target
  /** Null: Redis cannot be asked from here. */
  view: QueueView | null
  evidence: Evidence
  timeoutMs: number
  intervalMs: number
}

type Journal = { state: 'gone' | 'pending' | 'dead' } | { state: 'unknown', reason: string }

/** The server rounds ages, and several tasks have several clocks. */
const CLOCK_SLACK_MS = 1000
/** The journal counts a message as published a moment after the queue has it: time to see it there. */
const PREFERENCE_MS = 2000
const PLACES = { pubsub: 'heard on the channel of the queue', queue: 'seen in the queue', processing: 'seen in processing: a consumer has it' }

/** Whether the event of a registration came out, without disturbing those who wait for it. */
export class EventWatch {
  readonly #options: EventWatchOptions

  constructor (options: EventWatchOptions) {
    this.#options = options
  }

  /** Never rejects. */
  async see (registered: Registered, name = 'event'): Promise<Check> {
    const { timeoutMs, intervalMs, target: { signal }, view } = this.#options
    const startedAt = performance.now()
    let goneAt: number | null = null
    let journal: Journal = { state: 'unknown', reason: 'not asked' }
    for (;;) {
      const place = await view?.find(registered) ?? null
      const elapsed = performance.now() - startedAt
      if (place === 'dead letters') return warned(name, `${registered.messageId} was delivered, and a consumer made it a dead letter`, elapsed)
      if (place !== null) return passed(name, `${registered.messageId} ${PLACES[place]}`, elapsed)
      if (this.#options.evidence !== 'redis') journal = await this.#askJournal(registered)
      if (journal.state === 'dead') return failed(name, `${registered.messageId} is a dead letter of the journal: breakwater queue list --side publish`, elapsed)
      if (journal.state === 'gone') goneAt ??= elapsed
      if (goneAt !== null && (view === null || elapsed - goneAt > PREFERENCE_MS)) return passed(name, `${registered.messageId} left the journal for the queue, and is no dead letter`, elapsed)
      if (elapsed > timeoutMs || signal.aborted) return failed(name, `${registered.messageId} not seen within ${timeoutMs / 1000} s${explain(journal)}`, elapsed)
      await delay(intervalMs, undefined, { signal }).catch(() => {})
    }
  }

  async #askJournal ({ messageId, answeredAt }: Registered): Promise<Journal> {
    const askedAt = performance.now()
    const overview = await this.#get('/queue')
    if (typeof overview === 'string') return { state: 'unknown', reason: overview }
    const { pending_rows: rows, oldest_pending_age_ms: oldest } = (overview.journal ?? {}) as { pending_rows?: number, oldest_pending_age_ms?: number }
    if (rows === undefined || oldest === undefined) return { state: 'unknown', reason: 'GET /queue knows no journal' }
    // What waits is taken in order: when everything that waits is younger, ours has gone.
    const gone = rows === 0 || oldest + CLOCK_SLACK_MS < askedAt - answeredAt
    if (!gone) return { state: 'pending' }
    const letters = await this.#get(`/queue/dead-letters?side=publish&message_id=${encodeURIComponent(messageId)}`)
    if (typeof letters === 'string') return { state: 'unknown', reason: letters }
    return { state: Array.isArray(letters.items) && letters.items.length > 0 ? 'dead' : 'gone' }
  }

  /** The document, or why there is none. */
  async #get (path: string): Promise<Record<string, unknown> | string> {
    const { url, apiKey, timeoutMs, signal } = this.#options.target
    try {
      const reply = await ask({ url: `${url}${path}`, headers: keyHeader(apiKey), timeoutMs, signal })
      const document = jsonOf(reply.body)
      return reply.status === 200 && document !== null ? document : `GET ${path.split('?')[0]}: ${describe(reply)}`
    } catch (err) {
      return (err as Error).message
    }
  }
}

function explain (journal: Journal): string {
  if (journal.state === 'pending') return '; it waits in the journal, which keeps it until Redis takes it'
  return journal.state === 'unknown' && journal.reason !== 'not asked' ? `; ${journal.reason}` : ''
}
