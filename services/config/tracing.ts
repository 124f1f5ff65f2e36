import { quote } from './masking.ts'
import type { Problems } from './problems.ts'
import type { Environment, VariableName } from './schema.ts'
import { Secret } from './secret.ts'

/** How traces are recorded and where they go. */
export interface TracingConfig {
  /** The complete URL: the endpoint with `/v1/traces`. */
  readonly url: string
  readonly headers: readonly { readonly name: string, readonly value: Secret }[]
  readonly serviceName: string
  readonly resourceAttributes: Readonly<Record<string, string>>
  /** Share of the traces that begin here that is recorded, 0 to 1. */
  readonly ratio: number
}

type Report = (variable: VariableName, message: string, remedy?: string) => void

const HEADER_NAME = /^[!#$%&'*+.^_`|~\w-]+$/
/** What HTTP allows in a header: no line breaks above all. */
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/**
 * Null where tracing is off; then the variables of OpenTelemetry are not looked at, because they may be meant for another program.
 * @see https://opentelemetry.io/docs/specs/otel/protocol/exporter/
 */
export function readTracing (values: Environment, problems: Problems): TracingConfig | null {
  if (values.TRACING === 'none') return null
  const report: Report = (variable, message, remedy) => problems.add('FST_BRK_CONFIG_TRACING', variable, message, remedy)
  const pairs = readPairs('OTEL_EXPORTER_OTLP_HEADERS', values.OTEL_EXPORTER_OTLP_HEADERS, report, (name, value) => HEADER_NAME.test(name) && HEADER_VALUE.test(value))
  return {
    url: readEndpoint(values.OTEL_EXPORTER_OTLP_ENDPOINT, report),
    headers: pairs.map(([name, value]) => ({ name, value: new Secret(value) })),
    serviceName: values.OTEL_SERVICE_NAME,
    resourceAttributes: Object.fromEntries(readPairs('OTEL_RESOURCE_ATTRIBUTES', values.OTEL_RESOURCE_ATTRIBUTES, report)),
    ratio: readRatio(values.OTEL_TRACES_SAMPLER_ARG, report)
  }
}

function readEndpoint (text: string, report: Report): string {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    report('OTEL_EXPORTER_OTLP_ENDPOINT', `OTEL_EXPORTER_OTLP_ENDPOINT is ${quote(text)}, which is no URL of a collector.`)
    return ''
  }
  if (url.username !== '' || url.password !== '') {
    report('OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT has credentials in it.', 'Put them into OTEL_EXPORTER_OTLP_HEADERS, for example authorization=Basic%20….')
    return ''
  }
  return `${url.href.replace(/\/$/, '')}/v1/traces`
}

/** `name=value,name=value`, values percent-encoded. What is wrong is named by its place, never shown. */
function readPairs (variable: VariableName, text: string | undefined, report: Report, accepts: (name: string, value: string) => boolean = () => true): [string, string][] {
  const entries = text?.split(',').map((entry) => entry.trim()) ?? []
  return entries.flatMap((entry, index) => {
    if (entry === '') return []
    const [, name = '', encoded = ''] = /^([^=]*)=(.*)$/s.exec(entry) ?? []
    const value = decode(encoded.trim())
    if (name.trim() !== '' && value !== null && accepts(name.trim(), value)) return [[name.trim(), value]]
    report(variable, `Entry ${index + 1} of ${variable} is not of the form name=value.`)
    return []
  })
}

function decode (text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

function readRatio (text: string, report: Report): number {
  if (/^(0|1|[01]?\.\d+)$/.test(text) && Number(text) <= 1) return Number(text)
  report('OTEL_TRACES_SAMPLER_ARG', `OTEL_TRACES_SAMPLER_ARG is ${quote(text)}; it must be a number from 0 to 1.`)
  return 1
}
