import type { Logger } from '../observability/logger.ts'
import { silentLogger } from '../observability/logger.ts'
import type { ReceivedMessage } from '../queue/read-envelope.ts'
import { functionRule, integerRule, numberRule, parseOptions, stringRule } from '../resilience/options.ts'
import type { OptionRule } from '../resilience/options.ts'
import type { DeduplicationStore } from './deduplication.ts'
import { ConsumerOptionInvalid } from './errors.ts'
import type { Source } from './source.ts'

export interface HandlerContext {
  /** Aborted when the time is up, when somebody else may have the message, and when the consumer stops without having waited long enough. */
  signal: AbortSignal
  /** 1 for the first. Attempts that ended with the consumer's death are not counted here. */
  attempt: number
  /** The exact text of the queue element. */
  body: string
  /** Names the message in every line. */
  logger: Logger
  /** W3C trace context of this attempt, for what the handler calls. Undefined where tracing is off. */
  traceparent?: string | undefined
}

/** Resolves when the message is done with. A rejection is a failed attempt; see `MessageUnrecoverable` and `PostponeMessage` for others. */
export type Handler = (message: ReceivedMessage, context: HandlerContext) => unknown

export interface ConsumerOptions {
  source: Source
  handler: Handler
  /** Messages in hand at the same time, those that wait for their key included. Default 1. */
  concurrency?: number | undefined
  /** Messages of one key are handled one after another, in the order of the queue. Default: `payload.model_name`. Null: any order. */
  keyOf?: ((message: ReceivedMessage) => string | null) | undefined
  /** Time for one attempt. Default 30 000 ms. */
  timeoutMs?: number | ((message: ReceivedMessage) => number) | undefined
  /** How long a handler may go on after its signal before it is given up. Default 1000 ms. */
  graceMs?: number | undefined
  /** Attempts before the message becomes a dead letter. Default: `max_retries` of its envelope, plus 1. */
  maxAttempts?: number | undefined
  /** The pause before the second attempt is random, up to this, and doubles with each further one. Default 1000 ms. */
  backoffBaseMs?: number | undefined
  /** The longest pause; at most 600 000 ms, which is the default. */
  backoffCapMs?: number | undefined
  /** Keeps a message that was acknowledged from being handled again. Default: none. */
  deduplication?: DeduplicationStore | undefined
  /** The source's: leases are renewed and abandoned messages looked for at a third of it. Default: what the source says, else 30 000 ms. */
  visibilityMs?: number | undefined
  /** How long one take waits for a message, so also, for some sources, how long an idle consumer takes to stop. Default 500 ms. */
  waitMs?: number | undefined
  /** Names the queue in dead letters. Default: what the source says. */
  queue?: string | undefined
  /** How long `stop()` waits for handlers, and for Redis to take their results. Default 10 000 ms. */
  stopTimeoutMs?: number | undefined
  logger?: Logger | undefined
  /** Monotonic time in ms. */
  clock?: (() => number) | undefined
  random?: (() => number) | undefined
}

export interface ConsumerSettings {
  source: KnownSource
  handler: Handler
  concurrency: number
  keyOf: (message: ReceivedMessage) => string | null
  timeoutOf: (message: ReceivedMessage) => number
  graceMs: number
  maxAttempts: number | null
  backoffBaseMs: number
  backoffCapMs: number
  deduplication: DeduplicationStore | null
  visibilityMs: number
  waitMs: number
  queue: string
  stopTimeoutMs: number
  logger: Logger
  clock: () => number
  random: () => number
}

/** What a source may have beside its interface. */
interface KnownSource extends Source {
  readonly visibilityMs?: number
  readonly queue?: string
  /** Ends the wait of a take at once, so that an idle consumer need not sit it out. */
  interrupt? (): void
}

const LONGEST_MS = 2 ** 31 - 1
const anything = (rule: string, accepts: (value: unknown) => boolean, fallback?: unknown): OptionRule => ({ fallback, rule, accepts, remedy: '' })
const isObject = (value: unknown) => typeof value === 'object' && value !== null
const ms = (fallback: number | undefined, min: number, max = LONGEST_MS) => numberRule(fallback, min, max, 'Give milliseconds.')

const rules = {
  source: anything('a source of messages', isObject),
  handler: functionRule(undefined, 'It is called with each message.'),
  concurrency: integerRule(1, 1, 1000, 'Start more consumers for more.'),
  keyOf: anything('a function', value => typeof value === 'function', modelName),
  timeoutMs: anything('milliseconds above 0, or a function', value => typeof value === 'function' || (Number(value) > 0 && Number(value) <= LONGEST_MS), 30_000),
  graceMs: ms(1000, 0),
  maxAttempts: integerRule(null as unknown as number, 1, 1_000_000, 'Leave it out to follow the envelope.'),
  backoffBaseMs: ms(1000, 0),
  backoffCapMs: ms(600_000, 0, 600_000),
  deduplication: anything('a deduplication store', isObject, null),
  visibilityMs: ms(undefined, 100),
  waitMs: ms(500, 1),
  queue: stringRule(undefined, 'Give the name of the list or stream.'),
  stopTimeoutMs: ms(10_000, 0),
  logger: anything('a logger', isObject, silentLogger),
  clock: functionRule(() => performance.now(), 'It returns milliseconds that never go back.'),
  random: functionRule(Math.random, 'It returns a number from 0 up to, but not, 1.')
}

/** Defaults filled in. @throws FST_BRK_CONSUMER_OPTION */
export function parseConsumerOptions (options: ConsumerOptions): ConsumerSettings {
  const parsed = parseOptions(rules, options, ConsumerOptionInvalid, ['source', 'handler'])
  const { timeoutMs, source } = parsed as unknown as ConsumerOptions
  // Not of the interface: a source may know them.
  const known = source as KnownSource
  return {
    ...parsed as unknown as ConsumerSettings,
    timeoutOf: typeof timeoutMs === 'function' ? timeoutMs : () => timeoutMs!,
    visibilityMs: options.visibilityMs ?? known.visibilityMs ?? 30_000,
    queue: options.queue ?? known.queue ?? ''
  }
}

function modelName ({ payload }: ReceivedMessage): string | null {
  return typeof payload.model_name === 'string' ? payload.model_name : null
}
