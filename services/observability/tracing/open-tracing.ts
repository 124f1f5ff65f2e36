import { loadPeer } from '../../peers/load-peer.ts'
import type { Logger } from '../logger.ts'
import type { Tracing } from './tracing.ts'

/** What this needs of OpenTelemetry's `TracerProvider`. */
export interface TracerSource { getTracer (name: string, version?: string): any }

export interface ExportOptions {
  /** Where traces go, by OTLP over HTTP in its protobuf form: the complete URL. */
  url: string
  /** Sent with every export, for example a key; read once. */
  headers?: readonly { readonly name: string, readonly value: { reveal (): string } }[] | undefined
  serviceName: string
  /** More about the service, such as `deployment.environment.name`. */
  resourceAttributes?: Readonly<Record<string, string>> | undefined
  /** Share of the traces that begin here that is recorded, 0 to 1; for others whoever began them decides. Default 1. */
  ratio?: number | undefined
  logger: Logger
}

/** Tracing of one application: nothing of it is process-wide. */
export interface TracingSession {
  readonly tracing: Tracing
  /** For instrumentation of others. */
  readonly provider: TracerSource
  /** A span that instrumentation starts within `proceed`, as its server span, continues the trace of these headers. */
  continueTrace (headers: TraceHeaders, proceed: () => void): void
  /** Of a span that instrumentation started; undefined for none. */
  traceparentOf (span: object | null): string | undefined
  /** Sends what is left, within 300 ms, and drops the rest. Never rejects. */
  close (): Promise<void>
}

export interface TraceHeaders { traceparent?: string | undefined, tracestate?: string | undefined }

const FEATURE = 'Tracing'

/**
 * Starts to record and to export. OpenTelemetry is loaded here, and nowhere else.
 * @throws {PeerMissing} FST_BRK_PEER_MISSING
 */
export async function openTracing (options: ExportOptions): Promise<TracingSession> {
  await loadPeer('@opentelemetry/api', FEATURE, () => import('@opentelemetry/api'))
  await loadPeer('@opentelemetry/resources', FEATURE, () => import('@opentelemetry/resources'))
  await loadPeer('@opentelemetry/sdk-trace-node', FEATURE, () => import('@opentelemetry/sdk-trace-node'))
  await loadPeer('@opentelemetry/exporter-trace-otlp-proto', FEATURE, () => import('@opentelemetry/exporter-trace-otlp-proto'))
  const { ExportingSession } = await import('./exporting-session.ts')
  return new ExportingSession(options)
}

/** The same on an application's own provider, which samples, exports and is closed as it likes. @throws {PeerMissing} FST_BRK_PEER_MISSING */
export async function useTracerProvider (provider: TracerSource): Promise<TracingSession> {
  await loadPeer('@opentelemetry/api', FEATURE, () => import('@opentelemetry/api'))
  const { OpenTelemetrySession } = await import('./open-telemetry.ts')
  return new OpenTelemetrySession(provider)
}
