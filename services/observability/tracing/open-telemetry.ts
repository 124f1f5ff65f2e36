import { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, createTraceState, isSpanContextValid, trace } from '@opentelemetry/api'
import type { Context, Span, SpanContext, SpanOptions, Tracer, TracerProvider } from '@opentelemetry/api'
import type { TraceHeaders, TracerSource, TracingSession } from './open-tracing.ts'
import type { Attributes, SpanStart, Tracing, TracingSpan } from './tracing.ts'

const SCOPE = 'fastify-breakwater'
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-|$)/
const KINDS = { producer: SpanKind.PRODUCER, client: SpanKind.CLIENT, consumer: SpanKind.CONSUMER }

/** Tracing on a provider of OpenTelemetry. Every parent is handed over explicitly, so no process-wide context manager or propagator is needed. */
export class OpenTelemetrySession implements TracingSession {
  readonly tracing: Tracing
  readonly provider: TracerSource
  /** Between a hook of ours and the one after it, which runs in the same turn. */
  #incoming: Context | null = null

  constructor (provider: TracerProvider) {
    this.tracing = new OpenTelemetryTracing(provider.getTracer(SCOPE))
    this.provider = { getTracer: (name, version) => this.#withParents(provider.getTracer(name, version)) }
  }

  continueTrace ({ traceparent, tracestate }: TraceHeaders, proceed: () => void): void {
    const parent = readTraceparent(traceparent)
    this.#incoming = parent === null
      ? null
      : trace.setSpanContext(ROOT_CONTEXT, tracestate === undefined ? parent : { ...parent, traceState: createTraceState(tracestate) })
    try {
      proceed()
    } finally {
      this.#incoming = null
    }
  }

  traceparentOf (span: object | null): string | undefined {
    return span === null ? undefined : writeTraceparent((span as Span).spanContext())
  }

  async close (): Promise<void> {}

  /** @fastify/otel asks the process-wide propagator for the parent of a server span. Where that has none to offer, it is the one of the request. */
  #withParents (tracer: Tracer): Tracer {
    return {
      startSpan: (name: string, options?: SpanOptions, parent?: Context) => {
        const known = parent !== undefined && trace.getSpanContext(parent) !== undefined
        return tracer.startSpan(name, options, known || options?.kind !== SpanKind.SERVER ? parent : this.#incoming ?? parent)
      },
      startActiveSpan: tracer.startActiveSpan.bind(tracer)
    }
  }
}

class OpenTelemetryTracing implements Tracing {
  readonly #tracer: Tracer

  constructor (tracer: Tracer) {
    this.#tracer = tracer
  }

  start ({ name, kind, attributes, parent, links = [] }: SpanStart): TracingSpan {
    const parentContext = readTraceparent(parent)
    // A message that is accepted continues a span of this process; only a consumer's parent is somewhere else.
    const base = parentContext === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...parentContext, isRemote: kind === 'consumer' })
    const span = this.#tracer.startSpan(name, {
      kind: KINDS[kind],
      attributes,
      links: links.flatMap((link) => {
        const linked = readTraceparent(link)
        return linked === null ? [] : [{ context: linked }]
      })
    }, base)
    return new OpenTelemetrySpan(span)
  }
}

class OpenTelemetrySpan implements TracingSpan {
  readonly #span: Span

  constructor (span: Span) {
    this.#span = span
  }

  get traceparent (): string { return writeTraceparent(this.#span.spanContext()) }

  set (attributes: Attributes): void {
    this.#span.setAttributes(attributes)
  }

  run<T> (work: () => T): T {
    return context.with(trace.setSpan(context.active(), this.#span), work)
  }

  end (error?: unknown): void {
    if (error !== undefined) {
      const { code, name, message } = Object(error) as { code?: unknown, name?: unknown, message?: unknown }
      this.#span.setAttribute('error.type', typeof code === 'string' ? code : String(name ?? 'Error'))
      this.#span.setStatus({ code: SpanStatusCode.ERROR, message: String(message ?? error) })
    }
    // A second call would be reported as a mistake, to whoever listens.
    if (this.#span.isRecording()) this.#span.end()
  }
}

/** Of any text: in tags it is whatever somebody wrote there. */
function readTraceparent (text: string | undefined): SpanContext | null {
  const [, traceId = '', spanId = '', flags = ''] = TRACEPARENT.exec(text ?? '') ?? []
  const read = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true }
  return isSpanContextValid(read) ? read : null
}

/** @see https://www.w3.org/TR/trace-context/#traceparent-header */
function writeTraceparent ({ traceId, spanId, traceFlags }: Pick<SpanContext, 'traceId' | 'spanId' | 'traceFlags'>): string {
  return `00-${traceId}-${spanId}-${(traceFlags & 1) === 1 ? '01' : '00'}`
}
