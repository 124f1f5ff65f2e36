export type Attributes = Record<string, string | number | boolean | undefined>

export interface SpanStart {
  name: string
  kind: 'producer' | 'client' | 'consumer'
  attributes: Attributes
  /** W3C `traceparent` of the span that this one continues. Without one, or with a text that is none, it begins a trace. */
  parent?: string | undefined
  /** `traceparent` of other spans that it has to do with. */
  links?: readonly string[]
}

export interface TracingSpan {
  /** W3C `traceparent` that leads here, whether the span is recorded or not. */
  readonly traceparent: string
  set (attributes: Attributes): void
  /** Calls `work`; this is the active span meanwhile, where the process has a context manager of OpenTelemetry. */
  run<T> (work: () => T): T
  /** With what went wrong, if anything did. Only the first call counts. */
  end (error?: unknown): void
}

/** What the services need of a tracing system. Where tracing is off there is none, and nothing is wrapped: that is what costs nothing. */
export interface Tracing {
  start (span: SpanStart): TracingSpan
}
