import { Type } from '@sinclair/typebox'
import type { SchemaOptions, Static, TSchema } from '@sinclair/typebox'

/** What every variable says about itself; `.env.example` and the tables of docs/configuration.md are made of it. */
export interface About extends SchemaOptions {
  description: string
  section: SectionName
  examples: [string]
  default?: unknown
  /** Of the number, as shown to people. */
  unit?: string
  /** The value is or contains a credential: never shown. */
  secret?: boolean
  /** Taken as it is, with white space at its ends. */
  literal?: boolean
}

export const sections = {
  process: 'Process',
  redis: 'Redis',
  database: 'Database',
  publisher: 'Publisher',
  access: 'Access',
  observability: 'Metrics',
  tracing: 'Traces'
} as const
export type SectionName = keyof typeof sections

/** The longest delay that timers know in milliseconds (anything above fires at once), and Redis' largest database number. */
const LARGEST_INT32 = 2 ** 31 - 1

const text = (about: About) => Type.String({ minLength: 1, ...about })
const flag = (about: About) => Type.Boolean(about)
const integer = (minimum: number, maximum: number, about: About) => Type.Integer({ minimum, maximum, ...about })
const timer = (minimum: number, about: About) => integer(minimum, LARGEST_INT32, { unit: 'ms', ...about })
const choice = <const T extends string[]>(values: T, about: About) => Type.Union(values.map(value => Type.Literal(value as T[number])), about)
const optional = <T extends TSchema>(schema: T) => Type.Optional(schema)

/** Every environment variable, its rule, its default and its documentation. */
export const environmentSchema = Type.Object({
  PORT: integer(0, 65535, { section: 'process', default: 3000, examples: ['3000'], description: 'Port to listen on. 0: the operating system chooses a free one.' }),
  HOST: text({ section: 'process', default: '127.0.0.1', examples: ['127.0.0.1'], description: 'Address to listen on. `0.0.0.0` in a container.' }),
  LOG_LEVEL: choice(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'],
    { section: 'process', default: 'info', examples: ['info'], description: 'Lowest level that is logged.' }),
  DRAIN_MS: timer(0, { section: 'process', default: 5000, examples: ['5000'], description: 'How long readiness answers 503 before the server closes, so that load balancers stop sending.' }),
  REQUEST_TIMEOUT_MS: timer(100, { section: 'process', default: 10_000, examples: ['10000'], description: 'How long a request may take to arrive, headers and body; then 408.' }),
  HANDLER_TIMEOUT_MS: timer(0, { section: 'process', default: 20_000, examples: ['20000'], description: 'How long an answer may take, from the end of the headers; then 503. 0: for ever.' }),

  REDIS_URL: optional(text({ section: 'redis', secret: true, examples: ['rediss://cache.example.com:6379/0'], description: 'Where Redis is, in one of the forms of docs/configuration.md. Wins over the parts (`REDIS_HOST`, …) for everything it states.' })),
  REDIS_HOST: optional(text({ section: 'redis', examples: ['cache.example.com'], description: 'Host name or IP address, when there is no `REDIS_URL`.' })),
  REDIS_PORT: integer(1, 65535, { section: 'redis', default: 6379, examples: ['6379'], description: 'Port, where `REDIS_URL` states none.' }),
  REDIS_AUTH_TOKEN: optional(text({ section: 'redis', secret: true, literal: true, examples: ['change-me'], description: 'Token (password), raw or percent-encoded, where `REDIS_URL` states none.' })),
  REDIS_AUTH_SECRET_ARN: optional(text({ section: 'redis', examples: ['arn:aws:secretsmanager:eu-central-1:123456789012:secret:redis-a1b2c3'], description: 'Secret of AWS Secrets Manager (ARN or name) that holds the token, instead of `REDIS_AUTH_TOKEN`. See docs/configuration.md#credentials-from-aws.' })),
  REDIS_AUTH_SECRET_KEY: optional(text({ section: 'redis', examples: ['token'], description: 'Field of a JSON secret that holds the token; a field `username` beside it names the user. Default: the secret is the token.' })),
  REDIS_IAM_CACHE_NAME: optional(text({ section: 'redis', examples: ['models-cache'], description: 'ElastiCache with IAM authentication: the id of the replication group, or the name of the serverless cache. Needs TLS, `REDIS_USERNAME` and `AWS_REGION`.' })),
  REDIS_IAM_SERVERLESS: flag({ section: 'redis', default: false, examples: ['false'], description: 'The cache of `REDIS_IAM_CACHE_NAME` is serverless.' }),
  REDIS_USERNAME: optional(text({ section: 'redis', examples: ['breakwater'], description: 'ACL user, where `REDIS_URL` states none.' })),
  REDIS_DB: integer(0, LARGEST_INT32, { section: 'redis', default: 0, examples: ['0'], description: 'Database number, where `REDIS_URL` states none.' }),
  REDIS_TLS_ENABLED: flag({ section: 'redis', default: false, examples: ['true'], description: 'TLS, where `REDIS_URL` has no scheme.' }),
  REDIS_TLS_CA_FILE: optional(text({ section: 'redis', examples: ['/etc/ssl/redis-ca.pem'], description: 'Certificate authority (PEM file) to trust instead of the well-known ones.' })),
  REDIS_CLUSTER: flag({ section: 'redis', default: false, examples: ['false'], description: 'The address is one of a Redis Cluster, or its configuration endpoint. A cluster has database 0 only.' }),
  REDIS_SENTINELS: optional(text({ section: 'redis', examples: ['10.0.0.5:26379,10.0.0.6:26379,10.0.0.7:26379'], description: 'Sentinels that know where Redis is, as `host:port`, separated by commas or white space, where there is no `REDIS_URL`. Without a port: 26379.' })),
  REDIS_SENTINEL_MASTER: text({ section: 'redis', default: 'mymaster', examples: ['mymaster'], description: 'The name under which the sentinels watch the primary.' }),
  REDIS_SENTINEL_USERNAME: optional(text({ section: 'redis', examples: ['breakwater'], description: 'ACL user at the sentinels.' })),
  REDIS_SENTINEL_PASSWORD: optional(text({ section: 'redis', secret: true, literal: true, examples: ['change-me'], description: 'Password at the sentinels, taken as it is. That of Redis itself is `REDIS_AUTH_TOKEN`.' })),
  REDIS_REQUIRED: flag({ section: 'redis', default: false, examples: ['false'], description: 'Exit with 1 at startup when the Redis configuration is missing or invalid, instead of running degraded.' }),
  REDIS_BOOT_BUDGET_MS: timer(0, { section: 'redis', default: 1000, examples: ['1000'], description: 'How long startup waits for Redis. 0: not at all.' }),
  REDIS_COMMAND_TIMEOUT_MS: timer(1, { section: 'redis', default: 500, examples: ['500'], description: 'Deadline of every command.' }),
  REDIS_CONNECT_TIMEOUT_MS: timer(1, { section: 'redis', default: 1000, examples: ['1000'], description: 'Deadline of every attempt to connect.' }),
  REDIS_RETRIES: integer(0, 100, { section: 'redis', default: 2, examples: ['2'], description: 'How often a command that failed is tried again, within its deadline. 0: never. See docs/redis-client.md#retries.' }),

  DATABASE_URL: text({ section: 'database', secret: true, default: 'sqlite:./data/breakwater.db', examples: ['sqlite:./data/breakwater.db'], description: 'Registrations and journal: `sqlite:<file>`, `sqlite::memory:`, or `postgres://…` for several tasks.' }),
  DATABASE_POOL_MAX: integer(2, 1000, { section: 'database', default: 10, examples: ['10'], description: 'Connections of one process to PostgreSQL.' }),
  ALLOW_NODE_DURABILITY: flag({ section: 'database', default: false, examples: ['false'], description: 'Accept on ECS a database whose file dies with the task, or is on a volume that does not.' }),

  QUEUE_NAME: Type.String({ pattern: '^[^\\s{}]+$', section: 'publisher', default: 'hokusai:model_ready_queue', examples: ['hokusai:model_ready_queue'], description: 'Redis list that messages go to. No spaces or braces: the name is a hash tag.' } satisfies About & { pattern: string }),
  JOURNAL_RETENTION_MS: integer(0, Number.MAX_SAFE_INTEGER, { unit: 'ms', section: 'publisher', default: 900_000, examples: ['900000'], description: 'How long published messages are kept to repair a queue that forgot them.' }),
  JOURNAL_MAX_ROWS: integer(1, Number.MAX_SAFE_INTEGER, { unit: 'messages', section: 'publisher', default: 1_000_000, examples: ['1000000'], description: 'High-water mark of unpublished messages; above it, publishing answers 503.' }),
  JOURNAL_MAX_BYTES: integer(1, Number.MAX_SAFE_INTEGER, { unit: 'bytes', section: 'publisher', default: 2 ** 30, examples: ['1073741824'], description: 'High-water mark of the size of unpublished messages.' }),
  JOURNAL_MAX_AGE_MS: integer(0, Number.MAX_SAFE_INTEGER, { unit: 'ms', section: 'publisher', default: 0, examples: ['0'], description: 'New messages are refused while the oldest one waits longer than this. 0: no such limit.' }),
  JOURNAL_HIGH_PERCENT: integer(1, 100, { unit: '%', section: 'publisher', default: 80, examples: ['80'], description: 'Share of a `JOURNAL_MAX_…` limit from which health is degraded.' }),
  PUBLISHER: choice(['journal', 'journal,log', 'queue', 'queue,journal', 'queue,log', 'queue,journal,log', 'log'],
    { section: 'publisher', default: 'journal', examples: ['journal'], description: 'Where `publish()` puts a message: the first that takes it. See docs/publishing.md.' }),
  PUBLISHER_LOG_ACKNOWLEDGES: flag({ section: 'publisher', default: false, examples: ['false'], description: 'A message that only reached the log counts as accepted.' }),
  PUBLISH_MIN_REPLICAS: integer(0, 100, { section: 'publisher', default: 0, examples: ['1'], description: 'A message counts as published once so many replicas have it.' }),
  PUBLISH_REPLICA_TIMEOUT_MS: timer(1, { section: 'publisher', default: 1000, examples: ['1000'], description: 'How long a batch waits for its replicas before it is sent again.' }),
  QUEUE_TRANSPORT: choice(['list', 'stream'],
    { section: 'publisher', default: 'list', examples: ['list'], description: '`list`: the queue of PROTOCOL.md. `stream`: a Redis stream with consumer groups.' }),
  QUEUE_STREAM_MAX_LENGTH: integer(0, Number.MAX_SAFE_INTEGER, { unit: 'messages', section: 'publisher', default: 0, examples: ['0'], description: 'Longest stream: entries that every group has done with are trimmed beyond it, unread ones never. 0: no limit.' }),
  REDIS_EMPTY_POLICY: choice(['replay', 'ignore'],
    { section: 'publisher', default: 'replay', examples: ['replay'], description: 'When Redis came back empty: `replay` sends retained messages again, `ignore` does not.' }),

  API_KEYS: optional(text({ section: 'access', secret: true, examples: ['deploy:write:0000000000000000000000000000000000000000000000000000000000000000'], description: 'Keys that open the API, as `name:scope:sha256`, separated by commas or white space. Without any, the service listens on this machine only.' })),
  AUTH_DISABLED: flag({ section: 'access', default: false, examples: ['false'], description: 'Requests need no key, whoever can reach the service.' }),
  RATE_LIMIT_MAX: integer(0, LARGEST_INT32, { unit: 'requests', section: 'access', default: 0, examples: ['1000'], description: 'Requests of one caller (its key, else its address) in one window; above it 429. 0: no limit.' }),
  RATE_LIMIT_WINDOW_MS: timer(1000, { section: 'access', default: 60_000, examples: ['60000'], description: 'Length of a window of `RATE_LIMIT_MAX`.' }),
  TRUST_PROXY: text({ section: 'access', default: 'false', examples: ['1'], description: 'Whose `x-forwarded-for` is believed: `false` nobody\'s, a number of proxies in front of the service, their addresses or ranges, `true` everybody\'s.' }),
  CORS_ORIGINS: optional(text({ section: 'access', examples: ['https://console.example.com'], description: 'Origins whose pages may call the API, separated by commas or white space. Default: none.' })),

  METRICS: choice(['prometheus', 'emf', 'none'],
    { section: 'observability', default: 'prometheus', examples: ['prometheus'], description: '`prometheus`: for scraping at `/metrics`. `emf`: log lines from which CloudWatch makes metrics. `none`: neither.' }),

  TRACING: choice(['none', 'otlp'],
    { section: 'tracing', default: 'none', examples: ['otlp'], description: '`otlp`: traces go to a collector of OpenTelemetry, and the variables below are read. See docs/tracing.md.' }),
  OTEL_EXPORTER_OTLP_ENDPOINT: text({ section: 'tracing', default: 'http://localhost:4318', examples: ['http://collector.internal:4318'], description: 'Where the collector takes OTLP over HTTP, without `/v1/traces`.' }),
  OTEL_EXPORTER_OTLP_HEADERS: optional(text({ section: 'tracing', secret: true, examples: ['x-api-key=change-me'], description: 'Headers for the collector, as `name=value`, separated by commas, values percent-encoded.' })),
  OTEL_SERVICE_NAME: text({ section: 'tracing', default: 'breakwater', examples: ['model-registry'], description: 'Name of the service in traces.' }),
  OTEL_RESOURCE_ATTRIBUTES: optional(text({ section: 'tracing', examples: ['deployment.environment.name=production'], description: 'More about the service, as `name=value`, separated by commas.' })),
  OTEL_TRACES_SAMPLER_ARG: text({ section: 'tracing', default: '1', examples: ['0.1'], description: 'Share, from 0 to 1, of the traces that begin here that is recorded; a request that brings a trace brings the decision.' })
})

export type Environment = Static<typeof environmentSchema>
export type VariableName = keyof Environment

export const variableNames = Object.keys(environmentSchema.properties) as VariableName[]

export function about (name: VariableName): About {
  return environmentSchema.properties[name] as unknown as About
}
