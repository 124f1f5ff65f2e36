import http from 'node:http'
import https from 'node:https'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-node'
import type { Logger } from '../logger.ts'
import type { ExportOptions } from './open-tracing.ts'

type Done = Parameters<SpanExporter['export']>[1]
type Result = Parameters<Done>[0]

/**
 * Deadline of one export. It is shorter than the exporter's first pause before a retry (800 ms), so there are none: their timers would keep a
 * process alive that has closed everything, and the next batch is a better retry.
 */
export const EXPORT_TIMEOUT_MS = 750

/** OpenTelemetry's exporter, with one line in the log when the collector is lost and one when it is back, and an end that ends everything. */
export class OtlpExporter implements SpanExporter {
  readonly #exporter: OTLPTraceExporter
  readonly #logger: Logger
  readonly #agent: http.Agent
  readonly #url: string
  #failing = false
  #abandoned = false

  constructor ({ url, headers = [], logger }: Pick<ExportOptions, 'url' | 'headers' | 'logger'>) {
    this.#url = url
    this.#logger = logger
    this.#agent = new (url.startsWith('https:') ? https : http).Agent({ keepAlive: true })
    this.#exporter = new OTLPTraceExporter({
      url,
      headers: Object.fromEntries(headers.map(({ name, value }) => [name, value.reveal()])),
      timeoutMillis: EXPORT_TIMEOUT_MS,
      httpAgentOptions: () => this.#agent
    })
  }

  export (spans: ReadableSpan[], done: Done): void {
    this.#exporter.export(spans, (result) => {
      this.#note(result)
      done(result)
    })
  }

  /** Only the message of an error: the answer of a collector could repeat what it was sent. */
  #note ({ code, error }: Result): void {
    const failed = code !== 0
    if (failed === this.#failing || this.#abandoned) return
    this.#failing = failed
    const { host } = new URL(this.#url)
    if (failed) this.#logger.warn({ collector: host, reason: error?.message }, 'traces cannot be exported, they are dropped')
    else this.#logger.info({ collector: host }, 'traces are exported again')
  }

  async forceFlush (): Promise<void> {
    await this.#exporter.forceFlush()
  }

  async shutdown (): Promise<void> {
    await this.#exporter.shutdown()
  }

  /** Cuts off what still travels. */
  abandon (): void {
    this.#abandoned = true
    this.#agent.createConnection = () => { throw new Error('tracing is closed') }
    this.#agent.destroy()
  }
}
