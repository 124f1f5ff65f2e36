import { quote } from '../masking.ts'
import { readStated } from '../environment.ts'
import type { Variables } from '../environment.ts'
import { Problems } from '../problems.ts'
import type { Problem } from '../problems.ts'
import { readCredentials, reviewCredentials } from './redis-credentials.ts'
import { readSentinels } from './redis-sentinel.ts'
import { parseRedisHost, parseRedisUrl } from './redis-url.ts'
import type { RedisAddress, RedisScheme } from './redis-url.ts'
import { variableNames } from '../schema.ts'
import type { Environment, VariableName } from '../schema.ts'
import { Secret } from '../secret.ts'
import { readToken } from './token.ts'
import { reportUnknown } from '../unknown-variables.ts'

export type { Problem }
export type RedisAuth = 'none' | 'token' | 'secret' | 'iam'

export interface NodeAddress {
  readonly host: string
  readonly port: number
}

export interface SentinelTarget {
  readonly nodes: readonly NodeAddress[]
  /** The name under which they watch the primary. */
  readonly master: string
  readonly username: string | null
  readonly password: Secret | null
}

/** Where Redis is and how to talk to it; complete and checked. */
export interface RedisTarget {
  scheme: RedisScheme
  host: string | null
  port: number | null
  /** Of a unix socket; host and port are null then. */
  path: string | null
  tls: boolean
  db: number
  username: string | null
  password: Secret | null
  auth: RedisAuth
  /** Of AWS Secrets Manager, where `auth` is `secret`; user and password are fetched from there. */
  secret?: { readonly id: string, readonly field: string | null } | undefined
  /** Of ElastiCache, where `auth` is `iam`; the password is made for each connection. */
  iam?: { readonly cacheName: string, readonly serverless: boolean, readonly region: string } | undefined
  topology: 'single' | 'cluster' | 'sentinel'
  /** Of a cluster: where to ask for the others. Default: host and port. */
  nodes?: readonly NodeAddress[] | undefined
  /** Who knows where the primary is; host, port and path are null then. */
  sentinel?: SentinelTarget | undefined
  /** Field → the environment variable it came from, or `default`. */
  sources: Record<string, string>
}

export interface RedisResolution {
  /** `disabled`: nothing is set, which is fine. `invalid`: see `errors`. Redis is not used in either. */
  state: 'configured' | 'disabled' | 'invalid'
  target: RedisTarget | null
  errors: Problem[]
  warnings: Problem[]
}

const DEFAULT_PORT = 6379
/** Sentinels say where it is; nothing else is stated. */
const NOWHERE: RedisAddress = { scheme: null, host: null, port: null, path: null, db: null, username: null, token: null }
const redisVariables = variableNames.filter(name => name.startsWith('REDIS_'))
/** After these the target is a guess, and warnings about it would mislead. */
const unreadable = new Set(['SCHEME', 'HOST', 'SOCKET', 'URL', 'URL_AMBIGUOUS', 'SENTINEL'].map(name => `FST_BRK_CONFIG_${name}`))
const partsOfAddress = ['REDIS_PORT', 'REDIS_AUTH_TOKEN', 'REDIS_AUTH_SECRET_ARN', 'REDIS_IAM_CACHE_NAME', 'REDIS_USERNAME', 'REDIS_DB', 'REDIS_TLS_ENABLED', 'REDIS_CLUSTER'] as const

/** Everything the environment says about Redis (R1.1–R1.6). Never throws, never guesses a host. */
export function resolveRedisTarget (env: Variables): RedisResolution {
  const problems = new Problems()
  const stated = readStated(env, redisVariables, problems)
  reportUnknown(env, problems)
  const sentinel = readSentinels(stated, problems)
  const address = sentinel === null ? readAddress(stated, problems) : NOWHERE
  if (address === null) reportMissing(stated, problems)
  const merged = address === null ? null : merge(address, sentinel, stated, problems)
  const target = merged === null ? null : readCredentials(merged, stated, env.AWS_REGION ?? env.AWS_DEFAULT_REGION, problems)
  if (target !== null && !problems.errors.some(({ code }) => unreadable.has(code))) review(target, stated, problems)
  const { errors, warnings } = problems
  if (errors.length > 0) return { state: 'invalid', target: null, errors, warnings }
  return { state: target === null ? 'disabled' : 'configured', target, errors, warnings }
}

function readAddress (stated: Partial<Environment>, problems: Problems): RedisAddress | null {
  if (stated.REDIS_URL !== undefined) return parseRedisUrl(stated.REDIS_URL, problems)
  if (stated.REDIS_HOST !== undefined) return parseRedisHost(stated.REDIS_HOST, problems)
  return null
}

function reportMissing (stated: Partial<Environment>, problems: Problems): void {
  const lonely = partsOfAddress.filter(name => stated[name] !== undefined && stated[name] !== false)
  if (lonely.length > 0) {
    problems.add('FST_BRK_CONFIG_HOST_MISSING', 'REDIS_HOST',
      `${lonely.join(', ')} ${lonely.length === 1 ? 'is' : 'are'} set, but neither REDIS_URL nor REDIS_HOST: Redis is disabled.`)
  }
  if (stated.REDIS_REQUIRED === true) {
    problems.add('FST_BRK_CONFIG_REQUIRED', 'REDIS_REQUIRED', 'REDIS_REQUIRED is true, but REDIS_URL and REDIS_HOST are not set or blank.')
  }
}

/** What the address states wins; the variables fill in the rest. */
function merge (address: RedisAddress, sentinel: SentinelTarget | null, stated: Partial<Environment>, problems: Problems): RedisTarget {
  const origin = sentinel !== null ? 'REDIS_SENTINELS' : stated.REDIS_URL !== undefined ? 'REDIS_URL' : 'REDIS_HOST'
  const sources: Record<string, string> = {}
  const pick = <T>(field: string, own: T | null, name: VariableName, part: T | undefined, fallback: T): T => {
    sources[field] = own !== null ? origin : part !== undefined ? name : 'default'
    return own ?? part ?? fallback
  }
  const socket = address.path !== null
  const tls = pick('tls', address.scheme === null ? null : address.scheme === 'rediss', 'REDIS_TLS_ENABLED', stated.REDIS_TLS_ENABLED, false)
  const scheme = address.scheme ?? (tls ? 'rediss' : 'redis')
  sources.scheme = sources.tls!
  sources[sentinel !== null ? 'sentinels' : socket ? 'path' : 'host'] = origin
  const token = stated.REDIS_AUTH_TOKEN !== undefined && address.token === null ? readToken(stated.REDIS_AUTH_TOKEN, problems) : undefined
  const password = pick('auth', address.token === null ? null : new Secret(address.token), 'REDIS_AUTH_TOKEN', token, null)
  return {
    scheme,
    host: address.host,
    port: socket || sentinel !== null ? null : pick('port', address.port, 'REDIS_PORT', stated.REDIS_PORT, DEFAULT_PORT),
    path: address.path,
    tls,
    db: pick('db', address.db, 'REDIS_DB', stated.REDIS_DB, 0),
    username: pick('username', address.username, 'REDIS_USERNAME', stated.REDIS_USERNAME, null),
    password,
    auth: password === null ? 'none' : 'token',
    topology: sentinel !== null ? from(sources, 'topology', 'REDIS_SENTINELS', 'sentinel') : pick('topology', null, 'REDIS_CLUSTER', stated.REDIS_CLUSTER, false) ? 'cluster' : 'single',
    ...sentinel === null ? {} : { sentinel },
    sources
  }
}

function from<T> (sources: Record<string, string>, field: string, variable: VariableName, value: T): T {
  sources[field] = variable
  return value
}

/** What is legal by itself but does not fit together. */
function review (target: RedisTarget, stated: Partial<Environment>, problems: Problems): void {
  const { host, tls, topology, db, sources } = target
  const wanted = stated.REDIS_TLS_ENABLED
  if (wanted !== undefined && wanted !== tls) {
    problems.add('FST_BRK_CONFIG_TLS_MISMATCH', 'REDIS_TLS_ENABLED',
      `REDIS_URL says ${target.scheme}:// but REDIS_TLS_ENABLED is ${wanted}: the scheme wins, TLS is ${tls ? 'on' : 'off'}.`)
  }
  if (topology === 'cluster' && db > 0) {
    problems.add('FST_BRK_CONFIG_CLUSTER_DB', sources.db!, `${sources.db} selects database ${db}, but REDIS_CLUSTER is true: a cluster has database 0 only.`)
  }
  if (topology === 'cluster' && host === null) {
    problems.add('FST_BRK_CONFIG_CLUSTER_SOCKET', 'REDIS_CLUSTER', 'REDIS_CLUSTER is true, but REDIS_URL is a unix:// address.')
  }
  if (host !== null && !tls && /\.cache\.amazonaws\.com(\.cn)?\.?$/i.test(host)) {
    problems.add('FST_BRK_CONFIG_ELASTICACHE_TLS', sources.host!, `${quote(host)} is an ElastiCache host, but TLS is off.`)
  }
  reviewCredentials(target, problems)
}
