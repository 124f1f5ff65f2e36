import type { Attributes, SpanStart, Tracing, TracingSpan } from './tracing.ts'

/** Where a message comes from, as far as traces are concerned. */
interface Origin { correlationId: string, traceparent?: string | undefined }

/** A message as a consumer has it. */
export interface ProcessedMessage {
  messageId: string
  correlationId?: string | undefined
  traceparent?: string | undefined
  /** 1 for the first. */
  attempt: number
  /** The attempt is over once this is aborted, whatever the handler still does. */
  signal: AbortSignal
  /** Whether what a handler throws is a failure; it may as well only mean "later". */
  isFailure (error: unknown): boolean
}

/** The default of OpenTelemetry's own limit; more links would be dropped there. */
const MAX_LINKS = 128
/** The first one is in the tags: they come before everything in a payload that could hold another. Odd flags: the trace is recorded. */
const RECORDED_ORIGIN = /"traceparent":"(00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f][13579bdf])"/

/**
 * Spans of one queue, by OpenTelemetry's conventions for messaging.
 * @see https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
 */
export class QueueTracing {
  readonly #tracing: Tracing
  readonly #queue: string

  constructor (tracing: Tracing, queue: string) {
    this.#tracing = tracing
    this.#queue = queue
  }

  /** A message is accepted. `accept` gets the origin that the message has to carry: consumers continue this span. */
  async publish<O extends Origin, T> (origin: O, accept: (origin: O) => Promise<T>, describe: (result: T) => Attributes): Promise<T> {
    const span = this.#start('publish', 'create', {
      kind: 'producer',
      parent: origin.traceparent,
      attributes: { 'messaging.message.conversation_id': origin.correlationId }
    })
    return await finish(span, async () => {
      const result = await accept({ ...origin, traceparent: span.traceparent })
      span.set(describe(result))
      return result
    })
  }

  /** A batch goes to the queue, maybe long after its messages were accepted: a trace of its own, with links to theirs. */
  async relay (bodies: readonly string[], send: () => Promise<boolean>): Promise<boolean> {
    const links = recordedOrigins(bodies)
    if (links.length === 0) return await send()
    const span = this.#start('relay', 'send', { kind: 'client', links, attributes: { 'messaging.batch.message_count': bodies.length } })
    return await finish(span, async () => {
      const accepted = await send()
      span.set({ 'breakwater.relay.accepted': accepted })
      return accepted
    })
  }

  /** One attempt to handle a message: in the trace that accepted it, however long ago. */
  async process<T> (message: ProcessedMessage, work: (traceparent: string) => T): Promise<Awaited<T>> {
    const { messageId, correlationId, traceparent, attempt, signal } = message
    const span = this.#start('process', 'process', {
      kind: 'consumer',
      parent: traceparent,
      links: traceparent === undefined ? [] : [traceparent],
      attributes: { 'messaging.message.id': messageId, 'messaging.message.conversation_id': correlationId, 'breakwater.attempt': attempt }
    })
    const giveUp = () => span.end(signal.reason)
    signal.addEventListener('abort', giveUp, { once: true })
    try {
      return await finish(span, () => work(span.traceparent), message.isFailure)
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  #start (operation: string, type: string, { attributes, ...span }: Omit<SpanStart, 'name'>): TracingSpan {
    return this.#tracing.start({
      ...span,
      name: `${operation} ${this.#queue}`,
      attributes: {
        'messaging.system': 'redis',
        'messaging.destination.name': this.#queue,
        'messaging.operation.name': operation,
        'messaging.operation.type': type,
        ...attributes
      }
    })
  }
}

async function finish<T> (span: TracingSpan, work: () => T, isFailure: (error: unknown) => boolean = () => true): Promise<Awaited<T>> {
  try {
    const result = await span.run(work)
    span.end()
    return result
  } catch (err) {
    span.end(isFailure(err) ? err : undefined)
    throw err
  }
}

function recordedOrigins (bodies: readonly string[]): string[] {
  const origins: string[] = []
  for (const body of bodies) {
    if (origins.length === MAX_LINKS) break
    const origin = RECORDED_ORIGIN.exec(body)?.[1]
    if (origin !== undefined) origins.push(origin)
  }
  return origins
}
