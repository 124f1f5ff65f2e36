import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { metricCatalogue } from '../../../services/observability/metrics/catalogue.ts'
import { EmbeddedMetricFormat } from '../../../services/observability/metrics/embedded-metric-format.ts'
import { PrometheusMetrics } from '../../../services/observability/metrics/prometheus.ts'
import type { MetricSources } from '../../../services/observability/metrics/sources.ts'
import { emfProblems } from './emf-validator.ts'

function sources (): MetricSources & { relayFigures: { published: number } } {
  const relayFigures = { leader: true, published: 5, rewound: 3, lost: 0, emptied: 0, buried: 1, lastError: null }
  return {
    relayFigures,
    redis: {
      default: {
        state: () => ({ healthy: true, breaker: 'closed', writes: 'open' }),
        figures: () => ({
          commands: 9, failures: { timeout: 2, transport: 0 }, timeouts: 2, rejected: 1, retries: 3, reconnects: 0, latencyMs: { p50: 0.5, p99: 2 }
        }),
        transitions: () => ({ open: 1, closed: 1 })
      }
    },
    journal: () => ({ pendingRows: 4, pendingBytes: 4096, retainedRows: 7, oldestPendingAgeMs: 1500, deadRows: 1, pressure: 'none' }),
    relay: () => relayFigures,
    queue: () => ({ waiting: 10, processing: 2, delayed: 1, dead: 3 }),
    health: () => ({ status: 'degraded', checks: { redis: { status: 'failed' }, database: { status: 'ok' } } })
  }
}
const nothing: MetricSources = { redis: {}, journal: null, relay: null, queue: null, health: null }

t.test('R10.1 every metric of the catalogue has a sample, with the labels that it declares', async t => {
  for (const { name, labels, read } of metricCatalogue) {
    const samples = read(sources())
    t.ok(samples.length > 0, name)
    for (const sample of samples) t.strictSame(Object.keys(sample.labels ?? {}), [...labels], name)
    t.strictSame(read(nothing), [], `${name} says nothing where there is no source`)
  }
})

t.test('R10.1 a scrape shows them, and two registries do not meet (I10)', async t => {
  const given = sources()
  const [metrics, other] = [new PrometheusMetrics(given), new PrometheusMetrics(nothing)]
  const text = await metrics.render()
  for (const { name } of metricCatalogue) t.match(text, new RegExp(`^${name}(\\{.*\\})? [\\d.]+$`, 'm'), name)
  t.match(text, /^breakwater_relay_repaired_messages_total 3$/m)
  t.match(text, /^breakwater_journal_oldest_pending_age_seconds 1\.5$/m)
  t.match(text, /^breakwater_redis_command_failures_total\{client="default",kind="timeout"\} 2$/m)
  t.match(text, /^breakwater_health_status\{status="degraded"\} 1$/m)
  t.match(text, /^process_cpu_seconds_total /m, 'the process itself')
  given.relayFigures.published = 8
  t.match(await metrics.render(), /^breakwater_relay_published_messages_total 8$/m, 'read at each scrape, not added up')
  t.notMatch(await other.render(), /^breakwater_relay_published_messages_total \d/m)
})

t.test('R10.1 requests by route pattern and status class', async t => {
  const metrics = new PrometheusMetrics(nothing)
  metrics.observeRequest({ method: 'GET', route: '/models/:name', statusCode: 404, seconds: 0.004 })
  t.match(await metrics.render(), /^http_request_duration_seconds_bucket\{le="0\.005",method="GET",route="\/models\/:name",status="4xx"\} 1$/m)
})

t.test('R10.1 CloudWatch: each line is a valid document, counters are what was added', async t => {
  const given = sources()
  const format = new EmbeddedMetricFormat(given, { service: 'breakwater' })
  const lines = format.lines(1_700_000_000_000)
  for (const line of lines) {
    t.strictSame(emfProblems(JSON.stringify(line)), [], String(Object.keys(line).at(-1)))
    t.equal(line._aws.Timestamp, 1_700_000_000_000)
  }
  const named = new Set(lines.flatMap(line => line._aws.CloudWatchMetrics[0]!.Metrics.map(({ Name }) => Name)))
  t.strictSame([...named].sort(), metricCatalogue.map(({ name }) => name).sort())
  const published = () => format.lines().find(line => 'breakwater_relay_published_messages_total' in line)!.breakwater_relay_published_messages_total
  t.equal(published(), 0, 'nothing since the first lines')
  given.relayFigures.published += 4
  t.equal(published(), 4)
})

t.test('R10.1 CloudWatch: the schema that lines are held against refuses what the specification refuses', async t => {
  const [line] = new EmbeddedMetricFormat(sources(), { service: 'breakwater' }).lines(1_700_000_000_000)
  const broken = (change: (document: any) => void): string => {
    const document = structuredClone(line!)
    change(document)
    return JSON.stringify(document)
  }
  const directive = (document: any) => document._aws.CloudWatchMetrics[0]
  const metric = (document: any) => directive(document).Metrics[0]
  const good: Record<string, (document: any) => void> = {
    'as it is': () => {},
    'a hundred values': (document) => { document[metric(document).Name] = Array(100).fill(1) },
    'high resolution': (document) => { metric(document).StorageResolution = 1 },
    'no unit': (document) => { delete metric(document).Unit },
    'other members of the log line': (document) => { document.msg = 'metrics' }
  }
  for (const [title, change] of Object.entries(good)) t.strictSame(emfProblems(broken(change)), [], title)
  const bad: Record<string, (document: any) => void> = {
    'no metadata': (document) => { delete document._aws },
    'no timestamp': (document) => { delete document._aws.Timestamp },
    'a timestamp in seconds': (document) => { document._aws.Timestamp = 1_700_000_000 },
    'a timestamp with a fraction': (document) => { document._aws.Timestamp += 0.5 },
    'a timestamp as text': (document) => { document._aws.Timestamp = '2026-11-21T10:00:00Z' },
    'directives that are no list': (document) => { document._aws.CloudWatchMetrics = directive(document) },
    'an empty namespace': (document) => { directive(document).Namespace = '' },
    'a namespace that is too long': (document) => { directive(document).Namespace = 'n'.repeat(1025) },
    'a namespace with a space': (document) => { directive(document).Namespace = 'Break water' },
    'dimensions without sets': (document) => { directive(document).Dimensions = ['service'] },
    'no dimension sets': (document) => { directive(document).Dimensions = [] },
    '31 dimensions': (document) => {
      const names = Array.from({ length: 31 }, (_, index) => `d${index}`)
      for (const name of names) document[name] = 'x'
      directive(document).Dimensions = [names]
    },
    'a dimension name that is too long': (document) => {
      directive(document).Dimensions = [['d'.repeat(251)]]
      document['d'.repeat(251)] = 'x'
    },
    'a dimension that is not there': (document) => { directive(document).Dimensions[0].push('nowhere') },
    'a dimension that is a number': (document) => { document.service = 7 },
    'an empty dimension': (document) => { document.service = '' },
    'a metric without a name': (document) => { delete metric(document).Name },
    'a metric name that is too long': (document) => {
      metric(document).Name = 'm'.repeat(1025)
      document['m'.repeat(1025)] = 1
    },
    'a unit that does not exist': (document) => { metric(document).Unit = 'messages' },
    'a resolution that does not exist': (document) => { metric(document).StorageResolution = 30 },
    'a member that the format does not know': (document) => { metric(document).Value = 1 },
    '101 metrics': (document) => {
      const names = Array.from({ length: 101 }, (_, index) => `m${index}`)
      for (const name of names) document[name] = 1
      directive(document).Metrics = names.map((Name) => ({ Name }))
    },
    'a metric that is not there': (document) => { delete document[metric(document).Name] },
    'a metric that is text': (document) => { document[metric(document).Name] = '1' },
    'a metric that is not a number': (document) => { document[metric(document).Name] = NaN },
    '101 values': (document) => { document[metric(document).Name] = Array(101).fill(1) },
    'no values': (document) => { document[metric(document).Name] = [] },
    'a line beyond its limit': (document) => { document.msg = 'x'.repeat(256 * 1024) }
  }
  for (const [title, change] of Object.entries(bad)) t.ok(emfProblems(broken(change)).length > 0, title)
})

t.test('docs/metrics.md names every metric with its type, labels and meaning', async t => {
  const documentation = readFileSync(join(import.meta.dirname, '../../../docs/metrics.md'), 'utf8')
  const rows = documentation.split('\n').filter(line => line.startsWith('| `breakwater_'))
  const expected = metricCatalogue.map(({ name, type, labels, help }) =>
    `| \`${name}\` | ${type} | ${labels.map(label => `\`${label}\``).join(', ') || '–'} | ${help} |`)
  t.strictSame(rows, expected)
})
