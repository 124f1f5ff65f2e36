import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from './redis-server.ts'

type Attributes = Record<string, string | number | boolean | null>

export interface CollectedSpan {
  traceId: string
  spanId: string
  /** Empty for the first of a trace. */
  parentSpanId: string
  name: string
  kind: 'internal' | 'server' | 'client' | 'producer' | 'consumer' | 'unspecified'
  attributes: Attributes
  links: { traceId: string, spanId: string }[]
  status: 'unset' | 'ok' | 'error'
  statusMessage: string
  traceState: string
  resource: Attributes
}

/** Takes OTLP over HTTP, as a collector of OpenTelemetry does. */
export interface OtlpCollector {
  /** For OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly endpoint: string
  readonly spans: CollectedSpan[]
  readonly headers: IncomingHttpHeaders[]
  /** Exports that began to arrive. */
  readonly exports: number
  /** A status to answer with, 200 at first; null: connections are accepted, nothing is answered. */
  status: number | null
  named (name: string): CollectedSpan[]
  close (): void
}

export async function startCollector (t: Teardown): Promise<OtlpCollector> {
  const collector = new Collector()
  const server = createServer((request, response) => { void collector.take(request, response) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  collector.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  collector.close = () => {
    server.close()
    server.closeAllConnections()
  }
  t.teardown(() => collector.close())
  return collector
}

class Collector implements OtlpCollector {
  endpoint = ''
  readonly spans: CollectedSpan[] = []
  readonly headers: IncomingHttpHeaders[] = []
  status: number | null = 200
  exports = 0
  close = () => {}

  named (name: string): CollectedSpan[] {
    return this.spans.filter((span) => span.name === name)
  }

  async take (request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.exports++
    this.headers.push(request.headers)
    const body = Buffer.concat(await request.toArray())
    const known = request.url === '/v1/traces' && request.headers['content-type'] === 'application/x-protobuf'
    if (this.status === 200 && known) this.spans.push(...readExport(body))
    if (this.status !== null) response.writeHead(known ? this.status : 404).end()
  }
}

/**
 * The few messages of the protocol that tests look at.
 * @see https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
 */
function readExport (bytes: Buffer): CollectedSpan[] {
  return messages(bytes, 1).flatMap((resourceSpans) => {
    const resource = readAttributes(messages(resourceSpans, 1).flatMap((found) => messages(found, 1)))
    return messages(resourceSpans, 2).flatMap((scopeSpans) => messages(scopeSpans, 2)).map((span) => readSpan(span, resource))
  })
}

function readSpan (span: Buffer, resource: Attributes): CollectedSpan {
  const status = fields(messages(span, 15)[0] ?? Buffer.alloc(0))
  return {
    traceId: hex(span, 1),
    spanId: hex(span, 2),
    traceState: text(span, 3),
    parentSpanId: hex(span, 4),
    name: text(span, 5),
    kind: (['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const)[number(fields(span), 6)]!,
    attributes: readAttributes(messages(span, 9)),
    links: messages(span, 13).map((link) => ({ traceId: hex(link, 1), spanId: hex(link, 2) })),
    status: (['unset', 'ok', 'error'] as const)[number(status, 3)]!,
    statusMessage: status.flatMap(([field, value]) => field === 2 ? [String(value)] : []).join(''),
    resource
  }
}

function readAttributes (pairs: Buffer[]): Attributes {
  return Object.fromEntries(pairs.map((pair) => [text(pair, 1), readValue(messages(pair, 2)[0] ?? Buffer.alloc(0))]))
}

function readValue (value: Buffer): Attributes[string] {
  const [[field, content] = [0, 0]] = fields(value)
  if (field === 1) return String(content)
  if (field === 2) return content === 1
  if (field === 3) return Number(content)
  return field === 4 ? (content as Buffer).readDoubleLE() : null
}

type Field = [field: number, value: number | Buffer]

const messages = (bytes: Buffer, field: number) => fields(bytes).flatMap(([found, value]) => found === field ? [value as Buffer] : [])
const hex = (bytes: Buffer, field: number) => messages(bytes, field)[0]?.toString('hex') ?? ''
const text = (bytes: Buffer, field: number) => messages(bytes, field)[0]?.toString() ?? ''
const number = (found: Field[], field: number) => Number(found.find(([name]) => name === field)?.[1] ?? 0)

/** @see https://protobuf.dev/programming-guides/encoding/ */
function fields (bytes: Buffer): Field[] {
  const found: Field[] = []
  for (let at = 0; at < bytes.length;) {
    const tag = readVarint(bytes, at)
    const type = tag.value % 8
    let value: number | Buffer
    if (type === 0) ({ value, next: at } = readVarint(bytes, tag.next))
    else {
      const length = type === 2 ? readVarint(bytes, tag.next) : { value: type === 1 ? 8 : 4, next: tag.next }
      at = length.next + length.value
      value = bytes.subarray(length.next, at)
    }
    found.push([Math.floor(tag.value / 8), value])
  }
  return found
}

function readVarint (bytes: Buffer, from: number): { value: number, next: number } {
  let value = 0
  for (let at = from, unit = 1; ; at++, unit *= 128) {
    const byte = bytes[at]!
    value += (byte % 128) * unit
    if (byte < 128) return { value, next: at + 1 }
  }
}
