import t from 'tap'
import { describeRedis, startupLine } from '../../../services/config/describe.ts'
import { ConfigError, assertUsable, fatalProblems, loadConfig } from '../../../services/config/load.ts'

function codes (env: Record<string, string>): string[] {
  return loadConfig(env).errors.map(({ code, variable }) => `${variable} ${code.replace('FST_BRK_CONFIG_', '')}`)
}

t.test('an empty environment gives the documented defaults', async t => {
  const { config, errors, warnings } = loadConfig({})
  t.same([errors, warnings], [[], []])
  t.same(config.process, { port: 3000, host: '127.0.0.1', logLevel: 'info', drainMs: 5000, requestTimeoutMs: 10_000, handlerTimeoutMs: 20_000 })
  t.same(config.redis, {
    resolution: { state: 'disabled', target: null, errors: [], warnings: [] },
    required: false,
    bootBudgetMs: 1000,
    commandTimeoutMs: 500,
    connectTimeoutMs: 1000,
    retries: 2,
    tlsCaFile: null
  })
  const { connection, ...database } = config.database
  t.same(database, { kind: 'sqlite', url: 'sqlite:./data/breakwater.db', path: './data/breakwater.db', allowNodeDurability: false, poolMax: 10 })
  t.equal(connection.reveal(), 'sqlite:./data/breakwater.db')
  t.same(config.publisher, {
    queueName: 'hokusai:model_ready_queue',
    retentionMs: 900_000,
    maxRows: 1_000_000,
    maxBytes: 1_073_741_824,
    maxAgeMs: null,
    highRatio: 0.8,
    emptyRedisPolicy: 'replay',
    chain: ['journal'],
    logAcknowledges: false,
    minReplicas: 0,
    replicaTimeoutMs: 1000,
    transport: 'list',
    streamMaxLength: null
  })
  t.same(config.access, { keys: [], rateLimitMax: 0, rateLimitWindowMs: 60_000, corsOrigins: [], trustProxy: false })
  t.same(config.metrics, { mode: 'prometheus' })
  t.equal(config.tracing, null)
})

t.test('every variable is read', async t => {
  const { config, errors, warnings } = loadConfig({
    PORT: '0',
    HOST: '::',
    LOG_LEVEL: 'DEBUG',
    DRAIN_MS: '0',
    REQUEST_TIMEOUT_MS: '100',
    HANDLER_TIMEOUT_MS: '0',
    REDIS_URL: 'rediss://app:t@cache.example.com:6380/0',
    REDIS_TLS_CA_FILE: ' /etc/ca.pem ',
    REDIS_REQUIRED: 'Yes',
    REDIS_BOOT_BUDGET_MS: '0',
    REDIS_COMMAND_TIMEOUT_MS: '1',
    REDIS_CONNECT_TIMEOUT_MS: '2147483647',
    REDIS_RETRIES: '0',
    DATABASE_URL: 'sqlite::memory:',
    ALLOW_NODE_DURABILITY: 'on',
    QUEUE_NAME: 'q',
    JOURNAL_RETENTION_MS: '0',
    JOURNAL_MAX_ROWS: '1',
    JOURNAL_MAX_BYTES: '0002',
    JOURNAL_MAX_AGE_MS: '5',
    JOURNAL_HIGH_PERCENT: '50',
    REDIS_EMPTY_POLICY: 'ignore',
    PUBLISHER: 'queue,journal,log',
    PUBLISHER_LOG_ACKNOWLEDGES: 'yes',
    PUBLISH_MIN_REPLICAS: '2',
    PUBLISH_REPLICA_TIMEOUT_MS: '7',
    QUEUE_TRANSPORT: 'stream',
    QUEUE_STREAM_MAX_LENGTH: '9',
    DATABASE_POOL_MAX: '3',
    AUTH_DISABLED: 'true',
    RATE_LIMIT_MAX: '11',
    RATE_LIMIT_WINDOW_MS: '1000',
    CORS_ORIGINS: 'https://a, https://b',
    TRUST_PROXY: '10.0.0.0/16, fd00::5 uniquelocal',
    METRICS: 'emf',
    TRACING: 'OTLP',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'https://collector.example.com/otlp/',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Basic%20YQ%3D%3D, x-team=a=b,',
    OTEL_SERVICE_NAME: 'registry',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=te%20st',
    OTEL_TRACES_SAMPLER_ARG: '.25'
  })
  t.same([errors, warnings], [[], []])
  t.same(config.process, { port: 0, host: '::', logLevel: 'debug', drainMs: 0, requestTimeoutMs: 100, handlerTimeoutMs: 0 })
  t.match(config.redis, { required: true, bootBudgetMs: 0, commandTimeoutMs: 1, connectTimeoutMs: 2147483647, retries: 0, tlsCaFile: '/etc/ca.pem' })
  t.match(config.database, { kind: 'sqlite', path: ':memory:', allowNodeDurability: true, poolMax: 3 })
  t.same(config.publisher, {
    queueName: 'q',
    retentionMs: 0,
    maxRows: 1,
    maxBytes: 2,
    maxAgeMs: 5,
    highRatio: 0.5,
    emptyRedisPolicy: 'ignore',
    chain: ['queue', 'journal', 'log'],
    logAcknowledges: true,
    minReplicas: 2,
    replicaTimeoutMs: 7,
    transport: 'stream',
    streamMaxLength: 9
  })
  t.same(config.access, {
    keys: [], rateLimitMax: 11, rateLimitWindowMs: 1000, corsOrigins: ['https://a', 'https://b'], trustProxy: ['10.0.0.0/16', 'fd00::5', 'uniquelocal']
  })
  t.same(config.metrics, { mode: 'emf' })
  const { headers, ...tracing } = config.tracing!
  t.same(tracing, { url: 'https://collector.example.com/otlp/v1/traces', serviceName: 'registry', resourceAttributes: { 'deployment.environment.name': 'te st' }, ratio: 0.25 })
  t.same(headers.map(({ name, value }) => [name, value.reveal()]), [['authorization', 'Basic YQ=='], ['x-team', 'a=b']])
})

t.test('R1.4 bad values are errors that name the variable', async t => {
  const rows: [variable: string, code: string, ...values: string[]][] = [
    ['PORT', 'PORT', 'abc', '-1', '65536', '80.5', '+80', '8e1', '"80"'],
    ['HOST', 'HOST', 'a b', 'a..b', '1.2.3'],
    ['LOG_LEVEL', 'CHOICE', 'verbose', 'infos'],
    ['DRAIN_MS', 'INTEGER', '-1', '5s', '2147483648'],
    ['REQUEST_TIMEOUT_MS', 'INTEGER', '0', '99', '10s'],
    ['HANDLER_TIMEOUT_MS', 'INTEGER', '-1', '2147483648'],
    ['TRUST_PROXY', 'TRUST_PROXY', 'maybe', '-1', '17', '1.5', '10.0.0.300', '10.0.0.0/33', '10.0.0.0/0', '10.0.0.0/8/8', '10.0.0.0/', 'fd00::/129', 'fe80::1%eth0', 'private', ','],
    ['REDIS_BOOT_BUDGET_MS', 'INTEGER', '-1', '1.5'],
    ['REDIS_COMMAND_TIMEOUT_MS', 'INTEGER', '-1', '0', '500ms'],
    ['REDIS_CONNECT_TIMEOUT_MS', 'INTEGER', '-1', '0', 'Infinity'],
    ['REDIS_RETRIES', 'INTEGER', '-1', '101', 'many'],
    ['REDIS_REQUIRED', 'BOOLEAN', 'treu', 'y'],
    ['REDIS_EMPTY_POLICY', 'CHOICE', 'drop'],
    ['ALLOW_NODE_DURABILITY', 'BOOLEAN', '2'],
    ['QUEUE_NAME', 'TEXT', 'a b', '{a}'],
    ['JOURNAL_RETENTION_MS', 'INTEGER', '-1', '15m'],
    ['JOURNAL_MAX_ROWS', 'INTEGER', '0', '9007199254740993'],
    ['JOURNAL_MAX_BYTES', 'INTEGER', '0', '1GiB'],
    ['DATABASE_URL', 'DATABASE_URL', 'sqlite:', 'mysql://h/d', './data.db', 'postgres://', 'postgres:///d']
  ]
  for (const [variable, code, ...values] of rows) {
    for (const value of values) t.same(codes({ [variable]: value }), [`${variable} ${code}`], `${variable}=${value}`)
  }
})

t.test('R10.2 what is wrong with tracing is said when it is on, and nobody\'s business when it is off', async t => {
  const wrong: [variable: string, ...values: string[]][] = [
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'localhost:4318', 'grpc://localhost:4317', 'http://h?x=1', 'http://user:t0ken@h', 'x'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 't0ken', '=t0ken', 'a b=t0ken', 'a=%t0ken', 'a=%0At0ken', 'ok=1,t0ken'],
    ['OTEL_RESOURCE_ATTRIBUTES', 'production', 'a=%'],
    ['OTEL_TRACES_SAMPLER_ARG', '2', '-1', '10%', '1.5', 'endpoint=http://h']
  ]
  for (const [variable, ...values] of wrong) {
    for (const value of values) {
      t.same(codes({ [variable]: value, TRACING: 'otlp' }), [`${variable} TRACING`], `${variable}=${value}`)
      t.same(codes({ [variable]: value }), [], `${variable}=${value}, off`)
      t.notMatch(JSON.stringify(loadConfig({ [variable]: value, TRACING: 'otlp' })), /t0ken/)
    }
  }
  t.same(codes({ TRACING: 'jaeger' }), ['TRACING CHOICE'])
  t.match(loadConfig({ TRACING: 'otlp' }).config.tracing, { url: 'http://localhost:4318/v1/traces', headers: [], serviceName: 'breakwater', resourceAttributes: {}, ratio: 1 })
})

t.test('TRUST_PROXY is a switch, a number of proxies, or a list; a digit is a number', async t => {
  const read = (value: string) => loadConfig({ TRUST_PROXY: value }).config.access.trustProxy
  t.same(['false', 'No', '0', '1', '2', '16', '::1', 'on', 'x'].map(read), [false, false, false, 1, 2, 16, ['::1'], true, false])
  const { errors } = loadConfig({ TRUST_PROXY: '10.0.0.1, lb.example.com, user:t0ken@h' })
  t.equal(errors.length, 2, 'each wrong entry')
  t.match(errors[0], { message: 'TRUST_PROXY has "lb.example.com", which is neither an IP address nor a range such as 10.0.0.0/16.', remedy: /TRUST_PROXY=10\.0\.0\.0\/16.*#proxies/ })
  t.notMatch(JSON.stringify(errors), /t0ken/)
  t.match(loadConfig({ TRUST_PROXY: 'true' }).warnings, [{ code: 'FST_BRK_CONFIG_TRUST_PROXY_ALL' }])
})

t.test('R1.6 a message says what was seen, what is right, and where the docs are', async t => {
  const [flag] = loadConfig({ REDIS_TLS_ENABLED: 'maybe' }).errors
  t.same(flag, {
    code: 'FST_BRK_CONFIG_BOOLEAN',
    variable: 'REDIS_TLS_ENABLED',
    message: 'REDIS_TLS_ENABLED is "maybe"; it must be one of true, 1, yes, on, false, 0, no, off.',
    remedy: 'Use one of true, false, 1, 0, yes, no, on, off, in upper or lower case. See docs/configuration.md#values.'
  })
  const [scheme] = loadConfig({ REDIS_URL: 'redos://app:token@cache.example.com' }).errors
  t.equal(scheme!.message, 'REDIS_URL is "redos://***@cache.example.com", whose scheme is not known. Did you mean redis://?')
  t.match(loadConfig({ REDIS_PORT: 'tcp://10.0.0.1:6379' }).errors[0]!.remedy, /enableServiceLinks: false/)
  t.match(loadConfig({ PORT: "'80'" }).errors[0]!.remedy, /^Remove the quotation marks/)
  t.match(loadConfig({ REDIS_HOST: 'h:6379' }).errors[0]!.remedy, /a port into REDIS_PORT/)
  t.match(loadConfig({ REDIS_CLUSTER: '1', REDIS_HOST: 'localhost', REDIS_DB: '2' }).errors[0]!, { variable: 'REDIS_DB', message: /selects database 2/ })
  t.match(loadConfig({ REDIS_PASSWORD: 'x' }).warnings[0]!, { variable: 'REDIS_PASSWORD', remedy: /^Rename it to REDIS_AUTH_TOKEN/ })
})

t.test('R1.6 what stops a start', async t => {
  const bad = { REDIS_URL: 'redis://h:0' }
  t.same(fatalProblems(loadConfig({})), [])
  t.same(fatalProblems(loadConfig(bad)), [], 'Redis alone only degrades')
  t.equal(fatalProblems(loadConfig({ ...bad, REDIS_REQUIRED: 'true' })).length, 1)
  t.equal(fatalProblems(loadConfig({ ...bad, PORT: 'abc' })).length, 2, 'all at once')
  t.doesNotThrow(() => assertUsable(loadConfig(bad)))
  t.throws(() => assertUsable(loadConfig({ REDIS_REQUIRED: 'true' })), { code: 'FST_BRK_CONFIG_INVALID', message: /^The configuration has a problem:\n {2}- REDIS_REQUIRED is true/ })
  try {
    assertUsable(loadConfig({ ...bad, PORT: 'abc', LOG_LEVEL: 'x' }))
    t.fail('it must throw')
  } catch (error) {
    t.ok(error instanceof ConfigError)
    t.match((error as ConfigError).message, /^The configuration has 3 problems:(\n {2}- .* See docs\/configuration.md#[a-z_-]+\. \[FST_BRK_CONFIG_[A-Z]+\]){3}$/)
    t.same((error as ConfigError).problems.map(({ variable }) => variable), ['PORT', 'LOG_LEVEL', 'REDIS_URL'])
  }
})

t.test('R1.8 the configuration is frozen through and through', async t => {
  const loaded = loadConfig({ REDIS_URL: 'redis://:t@localhost', REDIS_TLS_ENABLED: 'true' })
  const open: string[] = []
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) return
    if (!Object.isFrozen(value)) open.push(path)
    for (const [key, part] of Object.entries(value)) visit(part, `${path}.${key}`)
  }
  visit(loaded, 'loaded')
  t.same(open, [])
  t.throws(() => { (loaded.config.process as { port: number }).port = 1 }, TypeError)
})

t.test('R1.7 the description has every field and its source', async t => {
  const { resolution } = loadConfig({ REDIS_URL: 'a%40b:t@[::1]/2', REDIS_TLS_ENABLED: 'on', REDIS_PORT: '7000' }).config.redis
  t.same(describeRedis(resolution), {
    state: 'configured',
    url: 'rediss://a%40b:***@[::1]:7000/2',
    scheme: 'rediss',
    host: '::1',
    port: 7000,
    path: null,
    tls: true,
    db: 2,
    username: 'a@b',
    auth: 'token',
    topology: 'single',
    sources: {
      tls: 'REDIS_TLS_ENABLED',
      scheme: 'REDIS_TLS_ENABLED',
      host: 'REDIS_URL',
      port: 'REDIS_PORT',
      db: 'REDIS_URL',
      username: 'REDIS_URL',
      auth: 'REDIS_URL',
      topology: 'default'
    }
  })
  const socket = loadConfig({ REDIS_URL: 'unix:///run/r.sock', REDIS_USERNAME: 'app', REDIS_CLUSTER: 'no' }).config.redis.resolution
  t.match(describeRedis(socket), { url: 'unix://app@/run/r.sock?db=0', path: '/run/r.sock', auth: 'none', sources: { path: 'REDIS_URL', username: 'REDIS_USERNAME', auth: 'default', topology: 'REDIS_CLUSTER' } })
  t.match(startupLine(socket), { state: 'configured', scheme: 'unix', path: '/run/r.sock', tls: false, db: 0, topology: 'single', auth: 'none' })
  t.match(startupLine(resolution), { host: '::1', port: 7000, tls: true })
  const sentinels = loadConfig({ REDIS_SENTINELS: 'a [fd00::5]:1', REDIS_SENTINEL_MASTER: 'm/1', REDIS_SENTINEL_PASSWORD: 'p', REDIS_AUTH_TOKEN: 't' }).config.redis.resolution
  t.match(describeRedis(sentinels), { url: 'redis+sentinel://:***@a:26379,[fd00::5]:1/m%2F1/0', host: null, port: null, topology: 'sentinel', sources: { sentinels: 'REDIS_SENTINELS', topology: 'REDIS_SENTINELS' } })
  t.match(startupLine(sentinels), { topology: 'sentinel', sentinels: 'a:26379,[fd00::5]:1', master: 'm/1' })
  const parts = loadConfig({ REDIS_HOST: 'localhost', REDIS_DB: '1', REDIS_AUTH_TOKEN: 't' }).config.redis.resolution
  t.match(describeRedis(parts).sources, { host: 'REDIS_HOST', port: 'default', tls: 'default', scheme: 'default', db: 'REDIS_DB', auth: 'REDIS_AUTH_TOKEN' })
  t.match(describeRedis(parts), { url: 'redis://:***@localhost:6379/1' })
  t.match(describeRedis(loadConfig({}).config.redis.resolution), { state: 'disabled', url: null, host: null, port: null, auth: 'none', sources: {} })
  t.same(startupLine(loadConfig({ REDIS_PORT: 'x' }).config.redis.resolution), { state: 'invalid' })
})

t.test('PostgreSQL credentials stay in the secret', async t => {
  const url = 'postgresql://app:p@ss@db:5432/models'
  const { database } = loadConfig({ DATABASE_URL: url }).config
  t.match(database, { kind: 'postgres', path: '' })
  t.notMatch(JSON.stringify(database), /p@ss/)
  t.equal(database.connection.reveal(), url)
  t.equal(loadConfig({ DATABASE_URL: 'sqlite:///var/lib/b.db' }).config.database.path, '/var/lib/b.db')
})

t.test('on ECS a database that dies with its task needs an explicit yes', async t => {
  const ecs = { ECS_CONTAINER_METADATA_URI_V4: 'http://169.254.170.2/v4/x' }
  t.same(codes(ecs), ['DATABASE_URL NODE_DURABILITY'])
  t.same(codes({ ...ecs, DATABASE_URL: 'sqlite::memory:' }), ['DATABASE_URL NODE_DURABILITY'])
  t.same(codes({ ...ecs, ALLOW_NODE_DURABILITY: 'true' }), [])
  t.same(codes({ ECS_CONTAINER_METADATA_URI_V4: '' }), [])
})

t.test('values that are no strings, as a caller from JavaScript may pass', async t => {
  const { config } = loadConfig({ PORT: 8080, REDIS_URL: null, REDIS_ULR: null } as unknown as Record<string, string>)
  t.equal(config.process.port, 8080)
})
