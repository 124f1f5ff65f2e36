import type { MetricSources, RedisSource } from './sources.ts'

export interface Sample { value: number, labels?: Record<string, string> }

/** One metric, with everything that its readers need: scrapers, CloudWatch and docs/metrics.md. */
export interface MetricDefinition {
  name: string
  type: 'gauge' | 'counter'
  unit: 'messages' | 'bytes' | 'seconds' | 'count' | 'state'
  labels: readonly string[]
  help: string
  /** No samples: the source is not there, or nothing is known. */
  read (sources: MetricSources): Sample[]
}

const BREAKER_STATES = ['closed', 'open', 'half-open', 'isolated']
const HEALTH_STATES = ['healthy', 'degraded', 'unhealthy']

const only = (value: number | null | undefined): Sample[] => value === null || value === undefined ? [] : [{ value }]
const oneOf = (label: string, states: string[], current: string): Sample[] =>
  states.map((state) => ({ value: Number(state === current), labels: { [label]: state } }))
const byKey = (label: string, values: Readonly<Record<string, number>>): Sample[] =>
  Object.entries(values).map(([key, value]) => ({ value, labels: { [label]: key } }))

/** One sample, or several, for each Redis client, told apart by the label `client`. */
function redis (read: (source: RedisSource) => Sample[]): MetricDefinition['read'] {
  return (sources) => Object.entries(sources.redis).flatMap(([client, source]) =>
    read(source).map(({ value, labels }) => ({ value, labels: { client, ...labels } })))
}

function gauge (name: string, unit: MetricDefinition['unit'], labels: string[], help: string, read: MetricDefinition['read']): MetricDefinition {
  return { name: `breakwater_${name}`, type: 'gauge', unit, labels, help, read }
}

function counter (name: string, unit: MetricDefinition['unit'], labels: string[], help: string, read: MetricDefinition['read']): MetricDefinition {
  return { name: `breakwater_${name}_total`, type: 'counter', unit, labels, help, read }
}

/** Every metric of ours. Labels have few values, all known beforehand: no names of models, keys or hosts. */
export const metricCatalogue: readonly MetricDefinition[] = [
  gauge('redis_up', 'state', ['client'], '1 while a command would be sent.',
    redis((source) => only(Number(source.state().healthy)))),
  gauge('redis_breaker_state', 'state', ['client', 'state'], '1 for the state that the circuit breaker is in.',
    redis((source) => oneOf('state', BREAKER_STATES, source.state().breaker))),
  counter('redis_breaker_transitions', 'count', ['client', 'to'], 'Times that the circuit breaker entered the state.',
    redis((source) => byKey('to', source.transitions()))),
  counter('redis_commands', 'count', ['client'], 'Commands that were let through.',
    redis((source) => only(source.figures().commands))),
  counter('redis_command_failures', 'count', ['client', 'kind'], 'Commands that failed, by kind of failure.',
    redis((source) => byKey('kind', source.figures().failures))),
  counter('redis_command_timeouts', 'count', ['client'], 'Commands that were not answered in time.',
    redis((source) => only(source.figures().timeouts))),
  counter('redis_commands_rejected', 'count', ['client'], 'Commands refused without touching a socket.',
    redis((source) => only(source.figures().rejected))),
  counter('redis_retries', 'count', ['client'], 'Commands that were sent again after a failure.',
    redis((source) => only(source.figures().retries))),
  gauge('redis_writes_state', 'state', ['client', 'state'], '1 for the state of the circuit that refuses writes alone.',
    redis((source) => oneOf('state', BREAKER_STATES, source.state().writes))),
  counter('redis_reconnects', 'count', ['client'], 'Connections that came after the first.',
    redis((source) => only(source.figures().reconnects))),
  gauge('redis_command_latency_seconds', 'seconds', ['client', 'quantile'], 'Of the last 512 answered commands.',
    redis((source) => latency(source.figures().latencyMs))),

  gauge('journal_pending_messages', 'messages', [], 'Accepted messages that are not in the queue yet.',
    ({ journal }) => only(journal?.().pendingRows)),
  gauge('journal_pending_bytes', 'bytes', [], 'Size of the pending messages.',
    ({ journal }) => only(journal?.().pendingBytes)),
  gauge('journal_oldest_pending_age_seconds', 'seconds', [], 'Age of the oldest pending message; 0 where there is none.',
    ({ journal }) => only(journal === null ? null : journal().oldestPendingAgeMs / 1000)),
  gauge('journal_retained_messages', 'messages', [], 'Published messages that are kept for repair.',
    ({ journal }) => only(journal?.().retainedRows)),
  gauge('journal_dead_letters', 'messages', [], 'Messages that the queue rejected on their own merits.',
    ({ journal }) => only(journal?.().deadRows)),
  gauge('journal_pressure', 'state', ['level'], '1 for the level that the journal is at; at `full` new messages are refused.',
    ({ journal }) => journal === null ? [] : oneOf('level', ['none', 'high', 'full'], journal().pressure)),

  gauge('relay_leader', 'state', [], '1 in the process that carries messages to the queue.',
    ({ relay }) => only(relayFigure(relay, ({ leader }) => Number(leader)))),
  gauge('relay_failing', 'state', [], '1 while messages do not reach the queue.',
    ({ relay }) => only(relayFigure(relay, ({ lastError }) => Number(lastError !== null)))),
  counter('relay_published_messages', 'messages', [], 'Messages that this process brought into the queue.',
    ({ relay }) => only(relayFigure(relay, ({ published }) => published))),
  counter('relay_repaired_messages', 'messages', [], 'Published messages that Redis had forgotten and that were sent again.',
    ({ relay }) => only(relayFigure(relay, ({ rewound }) => rewound))),
  counter('relay_lost_messages', 'messages', [], 'Messages that Redis had forgotten when retention had pruned them already.',
    ({ relay }) => only(relayFigure(relay, ({ lost }) => lost))),
  counter('relay_empty_redis', 'count', [], 'Times that Redis came back knowing nothing.',
    ({ relay }) => only(relayFigure(relay, ({ emptied }) => emptied))),
  counter('relay_dead_letters', 'messages', [], 'Messages that this process moved to the dead letters.',
    ({ relay }) => only(relayFigure(relay, ({ buried }) => buried ?? 0))),

  gauge('queue_messages', 'messages', ['place'], 'Messages in the queue: waiting, in processing, delayed, dead.',
    ({ queue }) => byKey('place', { ...queue?.() })),

  gauge('health_status', 'state', ['status'], '1 for the overall state.',
    ({ health }) => health === null ? [] : oneOf('status', HEALTH_STATES, health().status)),
  gauge('health_check_ok', 'state', ['check'], '1 while the check is well or deliberately not in use.',
    ({ health }) => Object.entries(health?.().checks ?? {}).map(([check, { status }]) =>
      ({ value: Number(status === 'ok' || status === 'disabled'), labels: { check } })))
]

function latency (latencyMs: { p50: number, p99: number } | null): Sample[] {
  if (latencyMs === null) return []
  return [
    { value: latencyMs.p50 / 1000, labels: { quantile: '0.5' } },
    { value: latencyMs.p99 / 1000, labels: { quantile: '0.99' } }
  ]
}

function relayFigure (relay: MetricSources['relay'], pick: (figures: NonNullable<ReturnType<NonNullable<MetricSources['relay']>>>) => number): number | null {
  const figures = relay?.() ?? null
  return figures === null ? null : pick(figures)
}
