import { randomUUID } from 'node:crypto'
import { SpanKind, SpanStatusCode } from '@opentelemetry/api'
import type { SpanStatus } from '@opentelemetry/api'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, NodeTracerProvider, ParentBasedSampler, SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-node'
import type { ReadableSpan, Sampler, SpanProcessor } from '@opentelemetry/sdk-trace-node'
import type { ExportOptions } from './open-tracing.ts'
import { OpenTelemetrySession } from './open-telemetry.ts'
import { EXPORT_TIMEOUT_MS, OtlpExporter } from './otlp-exporter.ts'

/** Spans that wait for export, at most; more are dropped. One takes about a kilobyte. */
const MAX_QUEUE = 2048
const BATCH = 512
const EXPORT_EVERY_MS = 1000
const CLOSE_BUDGET_MS = 300

/** Records on a provider of its own and exports in the background. Nobody waits for that: what does not fit or does not arrive is dropped. */
export class ExportingSession extends OpenTelemetrySession {
  readonly #provider: NodeTracerProvider
  readonly #exporter: OtlpExporter

  constructor (options: ExportOptions) {
    const { serviceName, resourceAttributes = {}, ratio = 1 } = options
    const exporter = new OtlpExporter(options)
    // Every setting is given: what is left out would be read from the environment of the process, which two applications share.
    const provider = new NodeTracerProvider({
      resource: defaultResource().merge(resourceFromAttributes({
        'service.instance.id': randomUUID(), ...resourceAttributes, 'service.name': serviceName
      })),
      sampler: new ParentBasedSampler({ root: new LinkedSampler(new TraceIdRatioBasedSampler(ratio)) }),
      spanProcessors: [
        new ServerStatus(),
        new BatchSpanProcessor(exporter, {
          maxQueueSize: MAX_QUEUE,
          maxExportBatchSize: BATCH,
          scheduledDelayMillis: EXPORT_EVERY_MS,
          exportTimeoutMillis: EXPORT_TIMEOUT_MS + 250
        })
      ]
    })
    // Not register(): that would make it the process's.
    super(provider)
    this.#provider = provider
    this.#exporter = exporter
  }

  override async close (): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => { timer = setTimeout(resolve, CLOSE_BUDGET_MS) })
    await Promise.race([this.#provider.shutdown().catch(() => {}), late])
    clearTimeout(timer)
    this.#exporter.abandon()
  }
}

/** A span without a parent but with links, as the relay's, is recorded: it is only made where a trace that is recorded leads to it. */
class LinkedSampler implements Sampler {
  readonly #others: Sampler

  constructor (others: Sampler) {
    this.#others = others
  }

  shouldSample (...[context, traceId, name, kind, attributes, links]: Parameters<Sampler['shouldSample']>): ReturnType<Sampler['shouldSample']> {
    if (links.length > 0) return { decision: SamplingDecision.RECORD_AND_SAMPLED }
    return this.#others.shouldSample(context, traceId, name, kind, attributes, links)
  }

  toString (): string { return `Linked(${this.#others})` }
}

/**
 * @fastify/otel marks a server span as failed for every error, also where the caller is to blame. Those have to be left unset.
 * @see https://opentelemetry.io/docs/specs/semconv/http/http-spans/#status
 */
class ServerStatus implements SpanProcessor {
  onStart (): void {}

  onEnd (span: ReadableSpan): void {
    const status = Number(span.attributes['http.response.status_code'])
    if (span.kind !== SpanKind.SERVER || !(status < 500)) return
    // setStatus() cannot go back to unset.
    (span as { status: SpanStatus }).status = { code: SpanStatusCode.UNSET }
  }

  async forceFlush (): Promise<void> {}
  async shutdown (): Promise<void> {}
}
