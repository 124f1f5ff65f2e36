import { metricCatalogue } from './catalogue.ts'
import type { MetricDefinition, Sample } from './catalogue.ts'
import type { MetricSources } from './sources.ts'

const NAMESPACE = 'Breakwater'
const UNITS: Record<MetricDefinition['unit'], string> = {
  messages: 'Count', bytes: 'Bytes', seconds: 'Seconds', count: 'Count', state: 'None'
}

interface Directive {
  Namespace: string
  Dimensions: string[][]
  Metrics: { Name: string, Unit: string }[]
}

/** The root of one log line in CloudWatch's embedded metric format. */
export interface EmbeddedMetrics {
  _aws: { Timestamp: number, CloudWatchMetrics: Directive[] }
  [member: string]: unknown
}

/**
 * Turns the catalogue into log lines from which CloudWatch makes metrics, one for each set of label values. Counters become what was added
 * since the last time, because CloudWatch sums.
 *
 * @see https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 */
export class EmbeddedMetricFormat {
  readonly #sources: MetricSources
  readonly #dimensions: Record<string, string>
  readonly #last = new Map<string, number>()

  /** `dimensions` are on every metric, for example the service's name. */
  constructor (sources: MetricSources, dimensions: Record<string, string>) {
    this.#sources = sources
    this.#dimensions = dimensions
  }

  lines (now = Date.now()): EmbeddedMetrics[] {
    const groups = new Map<string, { labels: Record<string, string>, values: [MetricDefinition, number][] }>()
    for (const definition of metricCatalogue) {
      for (const sample of definition.read(this.#sources)) {
        const { labels = {} } = sample
        const key = JSON.stringify(labels)
        const group = groups.get(key) ?? { labels, values: [] }
        group.values.push([definition, this.#value(definition, sample, key)])
        groups.set(key, group)
      }
    }
    return [...groups.values()].map(({ labels, values }) => this.#line({ ...this.#dimensions, ...labels }, values, now))
  }

  #value (definition: MetricDefinition, { value }: Sample, key: string): number {
    if (definition.type === 'gauge') return value
    const series = `${definition.name} ${key}`
    const added = value - (this.#last.get(series) ?? 0)
    this.#last.set(series, value)
    return added
  }

  #line (dimensions: Record<string, string>, values: [MetricDefinition, number][], now: number): EmbeddedMetrics {
    return {
      _aws: {
        Timestamp: now,
        CloudWatchMetrics: [{
          Namespace: NAMESPACE,
          Dimensions: [Object.keys(dimensions)],
          Metrics: values.map(([{ name, unit }]) => ({ Name: name, Unit: UNITS[unit] }))
        }]
      },
      ...dimensions,
      ...Object.fromEntries(values.map(([{ name }, value]) => [name, value]))
    }
  }
}
