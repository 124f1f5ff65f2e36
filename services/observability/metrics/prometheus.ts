import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from '@prometheus-io/client'
import type { MetricDefinition } from './catalogue.ts'
import { metricCatalogue } from './catalogue.ts'
import type { MetricSources } from './sources.ts'

/** From a health probe to a request that waited for a slow disk. */
const DURATION_BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/**
 * What is seen of a `Registry` of @prometheus-io/client. Written down here because that package is an optional peer, and a declaration that
 * names it would not compile where it is not installed.
 */
export interface MetricsRegistry {
  readonly contentType: string
  /** The text that a scrape gets. */
  metrics (): Promise<string>
  registerMetric (metric: never): void
}

export interface RequestObservation { method: string, route: string, statusCode: number, seconds: number }

/** The Prometheus side: a registry that reads the sources when it is scraped, so that nothing is counted twice. */
export class PrometheusMetrics {
  readonly registry: MetricsRegistry
  readonly #requests: Histogram<'method' | 'route' | 'status'>

  /** The registry may be one that the host application scrapes already; each app needs one of its own. */
  constructor (sources: MetricSources, given: MetricsRegistry = new Registry()) {
    const registry = given as Registry
    this.registry = registry
    for (const definition of metricCatalogue) register(definition, sources, registry)
    this.#requests = new Histogram({
      name: 'http_request_duration_seconds',
      help: 'Time from the request to the end of the response.',
      labelNames: ['method', 'route', 'status'],
      buckets: DURATION_BUCKETS_SECONDS,
      registers: [registry]
    })
    collectDefaultMetrics({ register: registry })
  }

  /** `route` is the pattern, never the address; the status is its class, so that the number of series stays small. */
  observeRequest ({ method, route, statusCode, seconds }: RequestObservation): void {
    this.#requests.observe({ method, route, status: `${Math.floor(statusCode / 100)}xx` }, seconds)
  }

  /** The text that a scrape gets. */
  async render (): Promise<string> {
    return await this.registry.metrics()
  }
}

function register ({ type, name, help, labels, read }: MetricDefinition, sources: MetricSources, registry: Registry): void {
  const options = { name, help, labelNames: [...labels], registers: [registry] }
  if (type === 'gauge') {
    const gauge: Gauge<string> = new Gauge<string>({
      ...options,
      collect: () => refill(gauge, labels, () => { for (const { value, labels = {} } of read(sources)) gauge.set(labels, value) })
    })
  } else {
    const counter: Counter<string> = new Counter<string>({
      ...options,
      collect: () => refill(counter, labels, () => { for (const { value, labels = {} } of read(sources)) counter.inc(labels, value) })
    })
  }
}

/** What is not known any more must not be shown. Without labels a reset leaves a zero, which would be a claim. */
function refill (metric: Gauge<string> | Counter<string>, labels: readonly string[], fill: () => void): void {
  metric.reset()
  if (labels.length === 0) metric.remove()
  fill()
}
