import { checkAccess, readApiKeys } from './api-keys.ts'
import type { ApiKey } from './api-keys.ts'
import { readDatabaseUrl } from './database.ts'
import type { DatabaseTarget } from './database.ts'
import { readStated, withDefaults } from './environment.ts'
import type { Variables } from './environment.ts'
import { ConfigError } from './errors.ts'
import { hostFault } from './host.ts'
import { quote } from './masking.ts'
import { Problems } from './problems.ts'
import type { Problem } from './problems.ts'
import { resolveRedisTarget } from './redis/redis-target.ts'
import type { RedisResolution } from './redis/redis-target.ts'
import { variableNames } from './schema.ts'
import { readTrustProxy } from './trust-proxy.ts'
import type { TrustProxy } from './trust-proxy.ts'
import type { Environment } from './schema.ts'
import { readTracing } from './tracing.ts'
import type { TracingConfig } from './tracing.ts'

export { ConfigError }

/** The whole configuration; deeply frozen. Numbers ending in `Ms` are milliseconds. */
export interface Config {
  readonly process: {
    readonly port: number
    readonly host: string
    readonly logLevel: string
    readonly drainMs: number
    readonly requestTimeoutMs: number
    /** 0: none. */
    readonly handlerTimeoutMs: number
  }
  readonly redis: {
    readonly resolution: RedisResolution
    readonly required: boolean
    readonly bootBudgetMs: number
    readonly commandTimeoutMs: number
    readonly connectTimeoutMs: number
    readonly retries: number
    readonly tlsCaFile: string | null
  }
  readonly database: Readonly<DatabaseTarget> & { readonly allowNodeDurability: boolean, readonly poolMax: number }
  readonly publisher: {
    readonly queueName: string
    readonly retentionMs: number
    readonly maxRows: number
    readonly maxBytes: number
    /** Null: no such limit. */
    readonly maxAgeMs: number | null
    readonly highRatio: number
    readonly emptyRedisPolicy: 'replay' | 'ignore'
    readonly chain: readonly PublisherName[]
    readonly logAcknowledges: boolean
    readonly minReplicas: number
    readonly replicaTimeoutMs: number
    readonly transport: 'list' | 'stream'
    /** Null: no limit. */
    readonly streamMaxLength: number | null
  }
  readonly access: {
    /** None: every request is let through. */
    readonly keys: ApiKey[]
    /** 0: no limit. */
    readonly rateLimitMax: number
    readonly rateLimitWindowMs: number
    readonly corsOrigins: readonly string[]
    readonly trustProxy: TrustProxy
  }
  readonly metrics: { readonly mode: MetricsMode }
  /** Null: off. */
  readonly tracing: TracingConfig | null
}

/** Where metrics go. */
export type MetricsMode = 'prometheus' | 'emf' | 'none'

/** A way to publish; several are tried in order. */
export type PublisherName = 'queue' | 'journal' | 'log'

export interface LoadedConfig {
  /** Usable only if {@link fatalProblems} is empty: an invalid value reads as its default. */
  readonly config: Config
  readonly errors: readonly Problem[]
  readonly warnings: readonly Problem[]
}

/** Reads everything at once and never throws; see {@link assertUsable}. */
export function loadConfig (env: Variables): LoadedConfig {
  const problems = new Problems()
  const resolution = resolveRedisTarget(env)
  // Problems of Redis variables are in the resolution already.
  const redis = readStated(env, variableNames.filter(isRedis), new Problems())
  const others = readStated(env, variableNames.filter(name => !isRedis(name)), problems)
  const values = withDefaults({ ...redis, ...others })
  const config = assemble(values, resolution, problems)
  checkDurability(config, env, problems)
  return deepFreeze({
    config,
    errors: [...problems.errors, ...resolution.errors],
    warnings: [...problems.warnings, ...resolution.warnings]
  })
}

/**
 * What forbids a start. Without Redis the service runs degraded, so errors about Redis stop it only if REDIS_REQUIRED is true;
 * all others always do, because no default is a safe guess at what was meant.
 */
export function fatalProblems ({ config, errors }: LoadedConfig): readonly Problem[] {
  const { required, resolution } = config.redis
  const fatal = required || errors.length > resolution.errors.length
  return fatal ? errors : []
}

/** @throws {ConfigError} FST_BRK_CONFIG_INVALID, with every problem, when the service must not start. */
export function assertUsable (loaded: LoadedConfig): void {
  const problems = fatalProblems(loaded)
  if (problems.length > 0) throw new ConfigError(problems)
}

function isRedis (name: string): boolean {
  return name.startsWith('REDIS_')
}

function assemble (values: Environment, resolution: RedisResolution, problems: Problems): Config {
  const fault = hostFault(values.HOST)
  if (fault !== null) {
    problems.add('FST_BRK_CONFIG_HOST', 'HOST', `HOST is ${quote(values.HOST)}: ${fault}.`, 'Write an address of this machine, such as 127.0.0.1, 0.0.0.0 or ::.')
  }
  return {
    process: {
      port: values.PORT,
      host: values.HOST,
      logLevel: values.LOG_LEVEL,
      drainMs: values.DRAIN_MS,
      requestTimeoutMs: values.REQUEST_TIMEOUT_MS,
      handlerTimeoutMs: values.HANDLER_TIMEOUT_MS
    },
    redis: {
      resolution,
      required: values.REDIS_REQUIRED,
      bootBudgetMs: values.REDIS_BOOT_BUDGET_MS,
      commandTimeoutMs: values.REDIS_COMMAND_TIMEOUT_MS,
      connectTimeoutMs: values.REDIS_CONNECT_TIMEOUT_MS,
      retries: values.REDIS_RETRIES,
      tlsCaFile: values.REDIS_TLS_CA_FILE ?? null
    },
    database: { ...readDatabaseUrl(values.DATABASE_URL, problems), allowNodeDurability: values.ALLOW_NODE_DURABILITY, poolMax: values.DATABASE_POOL_MAX },
    publisher: {
      queueName: values.QUEUE_NAME,
      retentionMs: values.JOURNAL_RETENTION_MS,
      maxRows: values.JOURNAL_MAX_ROWS,
      maxBytes: values.JOURNAL_MAX_BYTES,
      maxAgeMs: values.JOURNAL_MAX_AGE_MS === 0 ? null : values.JOURNAL_MAX_AGE_MS,
      highRatio: values.JOURNAL_HIGH_PERCENT / 100,
      emptyRedisPolicy: values.REDIS_EMPTY_POLICY,
      chain: values.PUBLISHER.split(',') as PublisherName[],
      logAcknowledges: values.PUBLISHER_LOG_ACKNOWLEDGES,
      minReplicas: values.PUBLISH_MIN_REPLICAS,
      replicaTimeoutMs: values.PUBLISH_REPLICA_TIMEOUT_MS,
      transport: values.QUEUE_TRANSPORT,
      streamMaxLength: values.QUEUE_STREAM_MAX_LENGTH === 0 ? null : values.QUEUE_STREAM_MAX_LENGTH
    },
    access: {
      keys: readAccess(values, problems),
      rateLimitMax: values.RATE_LIMIT_MAX,
      rateLimitWindowMs: values.RATE_LIMIT_WINDOW_MS,
      corsOrigins: values.CORS_ORIGINS?.split(/[\s,]+/).filter(origin => origin !== '') ?? [],
      trustProxy: readTrustProxy(values.TRUST_PROXY, problems)
    },
    metrics: { mode: values.METRICS },
    tracing: readTracing(values, problems)
  }
}

function readAccess ({ API_KEYS: text, AUTH_DISABLED: disabled, HOST: host }: Environment, problems: Problems): ApiKey[] {
  const keys = readApiKeys(text, problems)
  checkAccess({ keys, host, disabled }, problems)
  return disabled ? [] : keys
}

/** ECS sets this variable in every container; the disk below it goes with the task. */
function checkDurability ({ database }: Config, env: Variables, problems: Problems): void {
  if (!env.ECS_CONTAINER_METADATA_URI_V4 || database.kind !== 'sqlite' || database.allowNodeDurability) return
  problems.add('FST_BRK_CONFIG_NODE_DURABILITY', 'DATABASE_URL',
    `DATABASE_URL is ${quote(database.url)}, a file inside an ECS task: every message still in it is lost when the task is replaced.`)
}

function deepFreeze<T> (value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) deepFreeze(part)
  return Object.freeze(value)
}
