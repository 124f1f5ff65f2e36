/** One thing that is wrong, or looks wrong, in the environment. Safe to log: secrets are masked. */
export interface Problem {
  code: string
  /** The environment variable to change. */
  variable: string
  /** What is wrong and what was seen. */
  message: string
  /** What a correct value looks like, and where that is documented. */
  remedy: string
}

interface Rule {
  level: 'error' | 'warning'
  /** Heading of docs/configuration.md that explains it. */
  anchor: string
  meaning: string
  remedy: string
}

function error (anchor: string, meaning: string, remedy: string): Rule {
  return { level: 'error', anchor, meaning, remedy }
}

function warning (anchor: string, meaning: string, remedy: string): Rule {
  return { level: 'warning', anchor, meaning, remedy }
}

/** Every problem there is. The table of codes in the documentation is generated from it. */
export const rules = {
  FST_BRK_CONFIG_BOOLEAN: error('values', 'A switch is neither on nor off.',
    'Use one of true, false, 1, 0, yes, no, on, off, in upper or lower case.'),
  FST_BRK_CONFIG_INTEGER: error('values', 'A number is not a decimal integer in its range.',
    'Write decimal digits only, without unit, sign, point or exponent, within the range the message names.'),
  FST_BRK_CONFIG_PORT: error('values', 'A port is not a decimal integer in its range.',
    'Write a port such as 6379, from 1 to 65535.'),
  FST_BRK_CONFIG_CHOICE: error('values', 'A value is not one of those that are known.',
    'Use one of the values the message names.'),
  FST_BRK_CONFIG_TEXT: error('values', 'A text has characters that its use does not allow.',
    'Leave out spaces and braces.'),
  FST_BRK_CONFIG_HOST: error('forms-of-redis_url', 'A host is missing or malformed, for example with spaces, an empty label or an incomplete IPv4 address.',
    'Write a host name (cache.example.com), an IPv4 address (10.0.0.5) or an IPv6 address ([fd00::5]), for example REDIS_URL=rediss://cache.example.com:6379.'),
  FST_BRK_CONFIG_SCHEME: error('forms-of-redis_url', 'REDIS_URL has a scheme that is not known.',
    'Use redis:// (plain), rediss:// (TLS) or unix:// (socket), or leave the scheme out.'),
  FST_BRK_CONFIG_URL: error('forms-of-redis_url', 'REDIS_URL has a part that belongs to no known form.',
    'Write REDIS_URL=rediss://user:token@host:6379/0 and percent-encode # as %23 in a token, or put the token into REDIS_AUTH_TOKEN.'),
  FST_BRK_CONFIG_URL_AMBIGUOUS: error('tokens', 'A raw token in REDIS_URL allows two readings with different hosts.',
    'Percent-encode the token in the URL (? is %3F, @ is %40), or put it into REDIS_AUTH_TOKEN.'),
  FST_BRK_CONFIG_SOCKET: error('forms-of-redis_url', 'The path of a unix socket is missing or not absolute.',
    'Write an absolute path after three slashes: REDIS_URL=unix:///run/redis/redis.sock.'),
  FST_BRK_CONFIG_DB: error('values', 'A database number is not an integer from 0 up.',
    'Write the number as REDIS_DB=3, or behind the port as in redis://host:6379/3.'),
  FST_BRK_CONFIG_CLUSTER_DB: error('precedence', 'A cluster has database 0 only.',
    'Leave the database out, or set REDIS_CLUSTER=false when it is a single node.'),
  FST_BRK_CONFIG_CLUSTER_SOCKET: error('topologies', 'A cluster cannot be reached through a unix socket.',
    'Name a node of the cluster or its configuration endpoint, or set REDIS_CLUSTER=false.'),
  FST_BRK_CONFIG_SENTINEL: error('topologies', 'The list of sentinels is malformed, or they are said to watch over a cluster.',
    'Write REDIS_SENTINELS=10.0.0.5:26379,10.0.0.6:26379,10.0.0.7:26379, without REDIS_CLUSTER.'),
  FST_BRK_CONFIG_CREDENTIALS: error('credentials-from-aws', 'Credentials are stated twice, or what fetches them is incomplete.',
    'Set one of REDIS_AUTH_TOKEN, REDIS_AUTH_SECRET_ARN and REDIS_IAM_CACHE_NAME; the last needs rediss://, REDIS_USERNAME and AWS_REGION.'),
  FST_BRK_CONFIG_REQUIRED: error('when-it-is-wrong', 'Redis is required, but nothing says where it is.',
    'Set REDIS_URL (for example rediss://cache.example.com:6379) or REDIS_HOST, or leave REDIS_REQUIRED out.'),
  FST_BRK_CONFIG_DATABASE_URL: error('database', 'DATABASE_URL has none of the known forms.',
    'Write sqlite:./data/breakwater.db, postgres://user:password@host:5432/database, or sqlite::memory: for tests.'),
  FST_BRK_CONFIG_NODE_DURABILITY: error('database', 'The service runs on ECS, where the file of an SQLite database is lost with its task.',
    'Mount a volume that outlives the task and set ALLOW_NODE_DURABILITY=true, which also accepts the loss.'),

  FST_BRK_CONFIG_API_KEYS: error('access', 'API_KEYS has an entry that is no stored key, or the same key twice.',
    'Write name:scope:sha256 for each key, with one of the scopes read, write, admin. `npm run --silent key -- NAME SCOPE` makes a key and its entry.'),
  FST_BRK_CONFIG_AUTH_REQUIRED: error('access', 'The service would listen on an address that others can reach, without any API key.',
    'Set API_KEYS, or HOST=127.0.0.1, or AUTH_DISABLED=true if something in front of the service checks who may call.'),

  FST_BRK_CONFIG_TRUST_PROXY: error('proxies', 'TRUST_PROXY is neither true, false, a number of proxies, nor a list of addresses.',
    'Write the number of proxies in front of the service (1 behind one load balancer), or their addresses and ranges: TRUST_PROXY=10.0.0.0/16,fd00::/8.'),

  FST_BRK_CONFIG_TRACING: error('traces', 'Tracing is on, and a variable of OpenTelemetry has none of its forms.',
    'Write OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318, OTEL_EXPORTER_OTLP_HEADERS=name=value,name=value, OTEL_TRACES_SAMPLER_ARG=0.1, or TRACING=none.'),

  FST_BRK_CONFIG_TRUST_PROXY_ALL: warning('proxies', 'TRUST_PROXY is true: a caller that sends x-forwarded-for chooses the address that limits and logs see.',
    'Write the number of proxies instead: TRUST_PROXY=1 behind one load balancer.'),
  FST_BRK_CONFIG_AUTH_CONFLICT: warning('access', 'API keys are configured and access control is switched off.',
    'Remove AUTH_DISABLED, or API_KEYS.'),
  FST_BRK_CONFIG_TLS_MISMATCH: warning('precedence', 'The scheme of REDIS_URL and REDIS_TLS_ENABLED disagree; the scheme wins.',
    'Make them agree: rediss:// with true, redis:// with false, or leave REDIS_TLS_ENABLED out.'),
  FST_BRK_CONFIG_SENTINEL_UNUSED: warning('topologies', 'Sentinels and an address are both set, or something about Sentinel without any sentinels.',
    'Set REDIS_SENTINELS without REDIS_URL and REDIS_HOST, or remove the variables about Sentinel.'),
  FST_BRK_CONFIG_ELASTICACHE_TLS: warning('precedence', 'An ElastiCache host is used without TLS. With encryption in transit such a connection only times out.',
    'Use rediss:// or REDIS_TLS_ENABLED=true, unless encryption in transit is off for this cache.'),
  FST_BRK_CONFIG_NO_TOKEN: warning('tokens', 'A Redis on another machine is used without a token.',
    'Set REDIS_AUTH_TOKEN, unless that Redis really lets everybody in.'),
  FST_BRK_CONFIG_USER_WITHOUT_TOKEN: warning('tokens', 'A user is set without a token. Often the token stands where the user belongs.',
    'Put a colon before a token without a user (redis://:token@host), or set REDIS_AUTH_TOKEN.'),
  FST_BRK_CONFIG_HOST_MISSING: warning('precedence', 'Parts of an address are set, but no host. Redis is disabled; localhost is never assumed.',
    'Set REDIS_HOST or REDIS_URL, or remove the other variables.'),
  FST_BRK_CONFIG_TOKEN_DECODED: warning('tokens', 'REDIS_AUTH_TOKEN looks percent-encoded and was decoded.',
    'If the % is part of the token itself, write it as %25. If it is not, write the token raw to have no doubt.'),
  FST_BRK_CONFIG_TOKEN_LITERAL: warning('tokens', 'The credentials in REDIS_URL have a % that starts no escape; they were taken literally.',
    'Write % as %25 in a URL, or put the token into REDIS_AUTH_TOKEN.'),
  FST_BRK_CONFIG_TOKEN_SPACES: warning('tokens', 'REDIS_AUTH_TOKEN begins or ends with a space, which was kept.',
    'Remove the space unless it is part of the token.'),
  FST_BRK_CONFIG_QUERY_IGNORED: warning('forms-of-redis_url', 'REDIS_URL has query parameters other than db; they were ignored.',
    'Use the variables of this page instead.'),
  FST_BRK_CONFIG_IPV6_PORT: warning('forms-of-redis_url', 'An IPv6 address without brackets ends in what could be a port; it was read as part of the address.',
    'Put the address into brackets: [fd00::5]:6379.'),
  FST_BRK_CONFIG_UNKNOWN_VARIABLE: warning('values', 'A variable is not known, but a known one has a similar name or the same purpose.',
    'Rename or remove it.')
} as const satisfies Record<string, Rule>

/** For values that still have the marks of a shell or an env file around them. */
export const QUOTATION_REMEDY = 'Remove the quotation marks: this env file or task definition passes them on.'

export type ProblemCode = keyof typeof rules

/** Collects problems, so that all of them are reported at once and not one for each restart. */
export class Problems {
  readonly errors: Problem[] = []
  readonly warnings: Problem[] = []

  add (code: ProblemCode, variable: string, message: string, remedy?: string): void {
    const rule: Rule = rules[code]
    const list = rule.level === 'error' ? this.errors : this.warnings
    list.push({ code, variable, message, remedy: `${remedy ?? rule.remedy} See docs/configuration.md#${rule.anchor}.` })
  }
}
