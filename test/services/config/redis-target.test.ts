import t from 'tap'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import type { RedisResolution } from '../../../services/config/redis/redis-target.ts'

interface Parts { port?: string, token?: string, user?: string, db?: string, tls?: string, cluster?: string, required?: string, host?: string }
type Row = [env: Record<string, string>, expected: string, ...codes: string[]]

const names = { host: 'HOST', port: 'PORT', token: 'AUTH_TOKEN', user: 'USERNAME', db: 'DB', tls: 'TLS_ENABLED', cluster: 'CLUSTER', required: 'REQUIRED' }

function parts (values: Parts): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [`REDIS_${names[key as keyof Parts]}`, value]))
}
function url (text: string, values: Parts = {}): Record<string, string> {
  return { REDIS_URL: text, ...parts(values) }
}
function host (text: string, values: Parts = {}): Record<string, string> {
  return { REDIS_HOST: text, ...parts(values) }
}

function sentinels (list: string, values: Parts = {}): Record<string, string> {
  return { REDIS_SENTINELS: list, REDIS_SENTINEL_MASTER: 'main', ...parts(values) }
}

/** `scheme|host or path|port|tls or plain|db|user|token` */
function show ({ state, target }: RedisResolution): string {
  if (target === null) return state
  const { scheme, host, path, port, tls, db, username, password } = target
  return [scheme, host ?? path ?? '-', port ?? '-', tls ? 'tls' : 'plain', db, username ?? '-', password?.reveal() ?? '-'].join('|')
}

function check (title: string, rows: Row[]): void {
  t.test(title, async t => {
    for (const [env, expected, ...codes] of rows) {
      const resolution = resolveRedisTarget(env)
      const { errors, warnings } = resolution
      const found = [...errors, ...warnings].map(({ code }) => code.replace('FST_BRK_CONFIG_', ''))
      t.same([show(resolution), ...found], [expected, ...codes], JSON.stringify(env))
    }
    rowCount += rows.length
  })
}
let rowCount = 0

check('R1.2 forms of REDIS_URL', [
  [url('redis://localhost'), 'redis|localhost|6379|plain|0|-|-'],
  [url('redis://localhost:7000'), 'redis|localhost|7000|plain|0|-|-'],
  [url('redis://localhost:7000/'), 'redis|localhost|7000|plain|0|-|-'],
  [url('redis://localhost/3'), 'redis|localhost|6379|plain|3|-|-'],
  [url('redis://localhost:7000/15'), 'redis|localhost|7000|plain|15|-|-'],
  [url('redis://localhost?db=4'), 'redis|localhost|6379|plain|4|-|-'],
  [url('redis://localhost/4?db=4'), 'redis|localhost|6379|plain|4|-|-'],
  [url('redis://localhost:'), 'redis|localhost|6379|plain|0|-|-'],
  [url('REDIS://localhost'), 'redis|localhost|6379|plain|0|-|-'],
  [url('  redis://localhost:7000\n'), 'redis|localhost|7000|plain|0|-|-'],
  [url('rediss://cache.example.com', { token: 't' }), 'rediss|cache.example.com|6379|tls|0|-|t'],
  [url('rediss://app:t@cache.example.com:6380/2'), 'rediss|cache.example.com|6380|tls|2|app|t'],
  [url('rediss://:t@cache.example.com'), 'rediss|cache.example.com|6379|tls|0|-|t'],
  [url('rediss://app@cache.example.com', { token: 't' }), 'rediss|cache.example.com|6379|tls|0|app|t'],
  [url('rediss://app:@cache.example.com', { token: 't' }), 'rediss|cache.example.com|6379|tls|0|app|t'],
  [url('rediss://@cache.example.com', { token: 't' }), 'rediss|cache.example.com|6379|tls|0|-|t'],
  [url('localhost'), 'redis|localhost|6379|plain|0|-|-'],
  [url('localhost:7000'), 'redis|localhost|7000|plain|0|-|-'],
  [url('localhost/5'), 'redis|localhost|6379|plain|5|-|-'],
  [url('redis:7000', { token: 't' }), 'redis|redis|7000|plain|0|-|t'],
  [url(':t@cache.example.com:7000/2'), 'redis|cache.example.com|7000|plain|2|-|t'],
  [url('app:t@cache.example.com'), 'redis|cache.example.com|6379|plain|0|app|t'],
  [url('my_redis-1.internal.', { token: 't' }), 'redis|my_redis-1.internal.|6379|plain|0|-|t'],
  [url('127.0.0.1'), 'redis|127.0.0.1|6379|plain|0|-|-'],
  [url('127.0.0.1:7000'), 'redis|127.0.0.1|7000|plain|0|-|-'],
  [url('redis://10.0.0.5:7000', { token: 't' }), 'redis|10.0.0.5|7000|plain|0|-|t'],
  [url('::1'), 'redis|::1|6379|plain|0|-|-'],
  [url('[::1]'), 'redis|::1|6379|plain|0|-|-'],
  [url('[::1]:7000'), 'redis|::1|7000|plain|0|-|-'],
  [url('[::1]:7000/2'), 'redis|::1|7000|plain|2|-|-'],
  [url('redis://[::1]'), 'redis|::1|6379|plain|0|-|-'],
  [url('redis://::1'), 'redis|::1|6379|plain|0|-|-'],
  [url('rediss://app:t@[2001:db8::5]:7000/1'), 'rediss|2001:db8::5|7000|tls|1|app|t'],
  [url('rediss://app:t@2001:db8::5'), 'rediss|2001:db8::5|6379|tls|0|app|t'],
  [url('2001:db8:0:0:0:0:0:5:7000', { token: 't' }), 'redis|2001:db8:0:0:0:0:0:5|7000|plain|0|-|t'],
  [url('redis://:t@[fe80::1%25eth0]:7000'), 'redis|fe80::1%eth0|7000|plain|0|-|t'],
  [url('2001:db8::5:6379', { token: 't' }), 'redis|2001:db8::5:6379|6379|plain|0|-|t', 'IPV6_PORT'],
  [url('unix:///run/redis.sock'), 'unix|/run/redis.sock|-|plain|0|-|-'],
  [url('unix:///run/redis.sock?db=2'), 'unix|/run/redis.sock|-|plain|2|-|-'],
  [url('unix://:t@/run/redis.sock'), 'unix|/run/redis.sock|-|plain|0|-|t'],
  [url('unix://app:t@/run/redis.sock?db=1'), 'unix|/run/redis.sock|-|plain|1|app|t'],
  [url('unix:///run/redis@main/my%20redis.sock'), 'unix|/run/redis@main/my redis.sock|-|plain|0|-|-'],
  [url('unix:///run/100%.sock'), 'unix|/run/100%.sock|-|plain|0|-|-'],
  [url('unix:///run/redis.sock', { token: 't', db: '3', user: 'app', port: '7000' }), 'unix|/run/redis.sock|-|plain|3|app|t']
])

check('R1.2 tokens survive, percent-encoded or raw', [
  [url('redis://:a%40b%3Ac%2Fd%23e%25f%20g@localhost'), 'redis|localhost|6379|plain|0|-|a@b:c/d#e%f g'],
  [url('redis://:a@b@localhost'), 'redis|localhost|6379|plain|0|-|a@b'],
  [url('redis://:a:b@localhost'), 'redis|localhost|6379|plain|0|-|a:b'],
  [url('redis://app:a/b@localhost:7000/1'), 'redis|localhost|7000|plain|1|app|a/b'],
  [url('redis://app:12/34@localhost'), 'redis|localhost|6379|plain|0|app|12/34'],
  [url('redis://:a#b@localhost'), 'redis|localhost|6379|plain|0|-|a#b'],
  [url('redis://:a?b@localhost'), 'redis|localhost|6379|plain|0|-|a?b'],
  [url('redis://:a b@localhost'), 'redis|localhost|6379|plain|0|-|a b'],
  [url('redis://:a%b@localhost'), 'redis|localhost|6379|plain|0|-|a%b', 'TOKEN_LITERAL'],
  [url('redis://:50%25@localhost'), 'redis|localhost|6379|plain|0|-|50%'],
  [url('redis://us%40er:t@localhost'), 'redis|localhost|6379|plain|0|us@er|t'],
  [url('a/b:c@localhost'), 'redis|localhost|6379|plain|0|a/b|c'],
  [url('unix://:a/b@c@/run/redis.sock'), 'unix|/run/redis.sock|-|plain|0|-|a/b@c'],
  [url('redis://user:p@ss?x@localhost'), 'invalid', 'URL_AMBIGUOUS'],
  [url('redis://user:123?x@localhost'), 'invalid', 'URL_AMBIGUOUS'],
  [host('localhost', { token: 'plain' }), 'redis|localhost|6379|plain|0|-|plain'],
  [host('localhost', { token: 'a@b:c/d#e f' }), 'redis|localhost|6379|plain|0|-|a@b:c/d#e f'],
  [host('localhost', { token: 'a%40b' }), 'redis|localhost|6379|plain|0|-|a@b', 'TOKEN_DECODED'],
  [host('localhost', { token: 'a%40b%3ac%2Fd%23e%25f%20g' }), 'redis|localhost|6379|plain|0|-|a@b:c/d#e%f g', 'TOKEN_DECODED'],
  [host('localhost', { token: 'a%40b@c' }), 'redis|localhost|6379|plain|0|-|a%40b@c'],
  [host('localhost', { token: '100%' }), 'redis|localhost|6379|plain|0|-|100%'],
  [host('localhost', { token: 'a%zz' }), 'redis|localhost|6379|plain|0|-|a%zz'],
  [host('localhost', { token: 'a%ff' }), 'redis|localhost|6379|plain|0|-|a%ff'],
  [host('localhost', { token: 'a+b=' }), 'redis|localhost|6379|plain|0|-|a+b='],
  [host('localhost', { token: 't\n' }), 'redis|localhost|6379|plain|0|-|t'],
  [host('localhost', { token: ' t' }), 'redis|localhost|6379|plain|0|-| t', 'TOKEN_SPACES']
])

check('R1.1 REDIS_URL wins for everything it states, the parts fill in the rest', [
  [url('redis://localhost:7000/2', { host: 'other', port: '7001', db: '5' }), 'redis|localhost|7000|plain|2|-|-'],
  [url('redis://localhost/0', { db: '5' }), 'redis|localhost|6379|plain|0|-|-'],
  [url('redis://localhost', { port: '7001', db: '5' }), 'redis|localhost|7001|plain|5|-|-'],
  [url('redis://a:b@localhost', { user: 'c', token: 'd' }), 'redis|localhost|6379|plain|0|a|b'],
  [url('redis://:b@localhost', { user: 'c' }), 'redis|localhost|6379|plain|0|c|b'],
  [url('redis://localhost', { user: 'c', token: 'd' }), 'redis|localhost|6379|plain|0|c|d'],
  [url('localhost', { host: 'b a d', tls: 'off' }), 'redis|localhost|6379|plain|0|-|-'],
  [url('localhost', { tls: 'true', port: '7001' }), 'rediss|localhost|7001|tls|0|-|-'],
  [url('localhost:7000', { tls: 'YES' }), 'rediss|localhost|7000|tls|0|-|-'],
  [url('::1', { tls: 'on', port: '7001' }), 'rediss|::1|7001|tls|0|-|-'],
  [host('localhost'), 'redis|localhost|6379|plain|0|-|-'],
  [host('localhost', { port: '7001', tls: '1' }), 'rediss|localhost|7001|tls|0|-|-'],
  [host('localhost', { tls: 'False' }), 'redis|localhost|6379|plain|0|-|-'],
  [host('localhost', { tls: 'no' }), 'redis|localhost|6379|plain|0|-|-'],
  [host('localhost', { tls: '0', db: '7', user: 'u', token: 't' }), 'redis|localhost|6379|plain|7|u|t'],
  [host('::1'), 'redis|::1|6379|plain|0|-|-'],
  [host('[::1]', { port: '1' }), 'redis|::1|1|plain|0|-|-'],
  [host('10.0.0.5', { port: '65535', token: 't' }), 'redis|10.0.0.5|65535|plain|0|-|t']
])

check('R1.3 blank is unset, and nothing falls back to localhost', [
  [{}, 'disabled'],
  [url(''), 'disabled'],
  [url(' \t\n'), 'disabled'],
  [url('', { host: '', port: '', token: '', user: '', db: '', tls: '' }), 'disabled'],
  [url(' ', { host: ' ', port: ' ', token: ' ', user: ' ', db: ' ', tls: ' ' }), 'disabled'],
  [url('', { host: 'localhost', port: '7001' }), 'redis|localhost|7001|plain|0|-|-'],
  [url('localhost', { port: '', tls: '', token: ' ', db: '' }), 'redis|localhost|6379|plain|0|-|-'],
  [host('localhost', { port: ' ', token: '' }), 'redis|localhost|6379|plain|0|-|-'],
  [parts({ port: '6379' }), 'disabled', 'HOST_MISSING'],
  [parts({ token: 't' }), 'disabled', 'HOST_MISSING'],
  [parts({ port: '6379', token: 't', tls: 'true' }), 'disabled', 'HOST_MISSING'],
  [parts({ tls: 'true', host: '  ' }), 'disabled', 'HOST_MISSING'],
  [parts({ tls: 'false' }), 'disabled'],
  [parts({ required: 'false' }), 'disabled'],
  [parts({ required: 'true' }), 'invalid', 'REQUIRED'],
  [parts({ port: '70000' }), 'invalid', 'PORT'],
  [url('redis://'), 'invalid', 'HOST'],
  [url('redis://:6379'), 'invalid', 'HOST'],
  [url(':6379'), 'invalid', 'HOST'],
  [url('redis:///0'), 'invalid', 'HOST'],
  [url('redis://:t@'), 'invalid', 'HOST'],
  [url('redis://', { host: 'localhost' }), 'invalid', 'HOST']
])

check('R1.4 errors, all at once', [
  [host('localhost', { port: '0' }), 'invalid', 'PORT'],
  [host('localhost', { port: '65536' }), 'invalid', 'PORT'],
  [host('localhost', { port: '-1' }), 'invalid', 'PORT'],
  [host('localhost', { port: '6379.0' }), 'invalid', 'PORT'],
  [host('localhost', { port: '0x18eb' }), 'invalid', 'PORT'],
  [host('localhost', { port: '1e3' }), 'invalid', 'PORT'],
  [host('localhost', { port: 'tcp://10.0.0.1:6379' }), 'invalid', 'PORT'],
  [url('redis://localhost:0'), 'invalid', 'PORT'],
  [url('redis://localhost:65536'), 'invalid', 'PORT'],
  [url('redis://localhost:abc'), 'invalid', 'PORT'],
  [url('redis://localhost:-1'), 'invalid', 'PORT'],
  [url('redis://localhost', { port: 'abc' }), 'invalid', 'PORT'],
  [url('localhost:99999/x', { tls: 'maybe', db: '-1' }), 'invalid', 'DB', 'BOOLEAN', 'PORT', 'DB'],
  [host('localhost', { tls: 'enabled' }), 'invalid', 'BOOLEAN'],
  [host('localhost', { tls: '2' }), 'invalid', 'BOOLEAN'],
  [host('localhost', { cluster: 'y' }), 'invalid', 'BOOLEAN'],
  [host('localhost', { required: 'treu' }), 'invalid', 'BOOLEAN'],
  [host('localhost', { db: '1.5' }), 'invalid', 'DB'],
  [host('localhost', { db: 'one' }), 'invalid', 'DB'],
  [url('redis://localhost/-1'), 'invalid', 'DB'],
  [url('redis://localhost/1/2'), 'invalid', 'DB'],
  [url('redis://localhost/9999999999'), 'invalid', 'DB'],
  [url('redis://localhost/1?db=2'), 'invalid', 'DB'],
  [url('unix:///run/redis.sock?db=x'), 'invalid', 'DB'],
  [url('http://localhost'), 'invalid', 'SCHEME'],
  [url('valkeys://localhost'), 'invalid', 'SCHEME'],
  [url('redi://localhost:0'), 'invalid', 'SCHEME', 'PORT'],
  [url('redis//localhost'), 'invalid', 'DB', 'NO_TOKEN'],
  [url('redis://cache example.com'), 'invalid', 'HOST'],
  [url('redis://cache..example.com'), 'invalid', 'HOST'],
  [url('redis://.example.com'), 'invalid', 'HOST'],
  [url('redis://-cache.example.com'), 'invalid', 'HOST'],
  [url('redis://999.1.1.1'), 'invalid', 'HOST'],
  [url('redis://10.0.0'), 'invalid', 'HOST'],
  [url('6379'), 'invalid', 'HOST'],
  [url('redis://[::1'), 'invalid', 'HOST'],
  [url('redis://[cache]'), 'invalid', 'HOST'],
  [url('redis://a:6379,b:6379'), 'invalid', 'HOST'],
  [url('"redis://localhost"'), 'invalid', 'URL'],
  [url("' redis://localhost:0 '"), 'invalid', 'URL', 'PORT'],
  [host('"localhost"'), 'invalid', 'HOST'],
  [url('redis://localhost#0'), 'invalid', 'URL'],
  [url('unix://run/redis.sock'), 'invalid', 'SOCKET'],
  [url('unix:///'), 'invalid', 'SOCKET'],
  [url('unix://'), 'invalid', 'SOCKET'],
  [host('redis://localhost:6379'), 'invalid', 'HOST'],
  [host('localhost:6379'), 'invalid', 'HOST'],
  [host('a b'), 'invalid', 'HOST'],
  [host('localhost', { cluster: 'true', db: '1' }), 'invalid', 'CLUSTER_DB'],
  [url('redis://localhost/1', { cluster: 'on' }), 'invalid', 'CLUSTER_DB'],
  [url('unix:///run/redis.sock', { cluster: 'on' }), 'invalid', 'CLUSTER_SOCKET'],
  [sentinels('a,b', { cluster: 'true' }), 'invalid', 'SENTINEL'],
  [sentinels('a:0'), 'invalid', 'SENTINEL'],
  [sentinels('a:b'), 'invalid', 'SENTINEL'],
  [sentinels('a..b, 10.0.0'), 'invalid', 'SENTINEL', 'SENTINEL'],
  [sentinels('fd00::5'), 'invalid', 'SENTINEL']
])

check('R1.5 warnings', [
  [url('redis://localhost', { tls: 'true' }), 'redis|localhost|6379|plain|0|-|-', 'TLS_MISMATCH'],
  [url('rediss://localhost', { tls: 'false' }), 'rediss|localhost|6379|tls|0|-|-', 'TLS_MISMATCH'],
  [url('unix:///run/redis.sock', { tls: 'true' }), 'unix|/run/redis.sock|-|plain|0|-|-', 'TLS_MISMATCH'],
  [url('rediss://localhost', { tls: 'true' }), 'rediss|localhost|6379|tls|0|-|-'],
  [url('redis://:t@master.c.abc.use1.cache.amazonaws.com'), 'redis|master.c.abc.use1.cache.amazonaws.com|6379|plain|0|-|t', 'ELASTICACHE_TLS'],
  [host('C.USE1.CACHE.AMAZONAWS.COM', { token: 't' }), 'redis|C.USE1.CACHE.AMAZONAWS.COM|6379|plain|0|-|t', 'ELASTICACHE_TLS'],
  [host('c.cache.amazonaws.com.cn', { token: 't', tls: 'true' }), 'rediss|c.cache.amazonaws.com.cn|6379|tls|0|-|t'],
  [host('c.cache.amazonaws.com'), 'redis|c.cache.amazonaws.com|6379|plain|0|-|-', 'ELASTICACHE_TLS', 'NO_TOKEN'],
  [host('cache.amazonaws.com.example.org', { token: 't' }), 'redis|cache.amazonaws.com.example.org|6379|plain|0|-|t'],
  [host('cache.example.com'), 'redis|cache.example.com|6379|plain|0|-|-', 'NO_TOKEN'],
  [host('10.0.0.5'), 'redis|10.0.0.5|6379|plain|0|-|-', 'NO_TOKEN'],
  [host('2001:db8::5'), 'redis|2001:db8::5|6379|plain|0|-|-', 'NO_TOKEN'],
  [host('127.1.2.3'), 'redis|127.1.2.3|6379|plain|0|-|-'],
  [host('0:0:0:0:0:0:0:1'), 'redis|0:0:0:0:0:0:0:1|6379|plain|0|-|-'],
  [host('::ffff:127.0.0.1'), 'redis|::ffff:127.0.0.1|6379|plain|0|-|-'],
  [host('redis.localhost'), 'redis|redis.localhost|6379|plain|0|-|-'],
  [host('fe80::1%eth0'), 'redis|fe80::1%eth0|6379|plain|0|-|-', 'NO_TOKEN'],
  [url('redis://token@localhost'), 'redis|localhost|6379|plain|0|token|-', 'USER_WITHOUT_TOKEN'],
  [url('redis://localhost?family=6&db=1'), 'redis|localhost|6379|plain|1|-|-', 'QUERY_IGNORED'],
  [host('localhost', { cluster: 'true' }), 'redis|localhost|6379|plain|0|-|-'],
  [{ REDIS_ULR: 'redis://localhost' }, 'disabled', 'UNKNOWN_VARIABLE'],
  [{ REDIS_HOST: 'localhost', REDIS_TLS_ENABLE: 'true' }, 'redis|localhost|6379|plain|0|-|-', 'UNKNOWN_VARIABLE'],
  [{ REDIS_HOST: 'localhost', REDIS_PASSWORD: 't' }, 'redis|localhost|6379|plain|0|-|-', 'UNKNOWN_VARIABLE'],
  [{ REDIS_HOST: 'localhost', REDIS_PASSWORD: 't', REDIS_AUTH_TOKEN: 't' }, 'redis|localhost|6379|plain|0|-|t'],
  [{ redis_host: 'localhost' }, 'disabled', 'UNKNOWN_VARIABLE'],
  [{ REDIS_HOST: 'localhost', REDIS_PORT_6379_TCP: 'x', REDIS_SERVICE_HOST: 'y', REDIS_ULR: ' ' }, 'redis|localhost|6379|plain|0|-|-']
])

check('R3.8 Sentinel', [
  [sentinels('127.0.0.1,127.0.0.2:1 [::1]:2'), 'redis|-|-|plain|0|-|-'],
  [sentinels('localhost', { tls: 'true', token: 't', user: 'app', db: '2', port: '7' }), 'rediss|-|-|tls|2|app|t'],
  [sentinels('a.example.com,localhost'), 'redis|-|-|plain|0|-|-', 'NO_TOKEN'],
  [{ REDIS_SENTINEL_HOSTS: 'a' }, 'disabled', 'UNKNOWN_VARIABLE'],
  [sentinels('localhost', { host: 'c' }), 'redis|-|-|plain|0|-|-', 'SENTINEL_UNUSED'],
  [{ REDIS_SENTINELS: 'localhost' }, 'redis|-|-|plain|0|-|-'],
  [{ REDIS_SENTINEL_MASTER: 'main' }, 'disabled', 'SENTINEL_UNUSED'],
  [{ ...sentinels('a'), REDIS_URL: 'redis://localhost', REDIS_SENTINEL_PASSWORD: 'p' }, 'redis|localhost|6379|plain|0|-|-', 'SENTINEL_UNUSED']
])

t.test('R3.8 a target behind sentinels is complete, and shows its password to nobody', async t => {
  const { target } = resolveRedisTarget({ ...sentinels(' a , b:1\n[fd00::5]:2 '), REDIS_SENTINEL_USERNAME: 'watcher', REDIS_SENTINEL_PASSWORD: 's3cret-sentinel', REDIS_AUTH_TOKEN: 't' })
  t.match(target, { topology: 'sentinel', sources: { topology: 'REDIS_SENTINELS', sentinels: 'REDIS_SENTINELS', auth: 'REDIS_AUTH_TOKEN' } })
  t.same(target!.sentinel!.nodes, [{ host: 'a', port: 26379 }, { host: 'b', port: 1 }, { host: 'fd00::5', port: 2 }])
  t.match(target!.sentinel, { master: 'main', username: 'watcher' })
  t.equal(target!.sentinel!.password!.reveal(), 's3cret-sentinel')
  t.notMatch(JSON.stringify(target), /s3cret/)
})

t.test('the table has at least 120 combinations', async t => {
  t.ok(rowCount >= 120, `${rowCount} rows`)
})

t.test('R2.1 R2.3 credentials that are fetched: where from, and what does not go together', async t => {
  const resolve = (env: Record<string, string>) => resolveRedisTarget({ REDIS_URL: 'rediss://app@cache.example.com', ...env })
  const secret = resolve({ REDIS_AUTH_SECRET_ARN: 'prod/redis', REDIS_AUTH_SECRET_KEY: 'token' })
  t.match(secret, { warnings: [], target: { auth: 'secret', secret: { id: 'prod/redis', field: 'token' }, password: null, sources: { auth: 'REDIS_AUTH_SECRET_ARN' } } })
  t.match(resolve({ REDIS_AUTH_SECRET_ARN: 'prod/redis' }).target?.secret, { field: null })
  const iam = resolve({ REDIS_IAM_CACHE_NAME: 'Models-Cache', REDIS_IAM_SERVERLESS: 'true', AWS_REGION: 'eu-central-1' })
  t.match(iam, { warnings: [], target: { auth: 'iam', iam: { cacheName: 'models-cache', serverless: true, region: 'eu-central-1' }, username: 'app', sources: { auth: 'REDIS_IAM_CACHE_NAME' } } })
  t.match(resolve({ REDIS_IAM_CACHE_NAME: 'c', AWS_DEFAULT_REGION: 'eu-west-1' }).target?.iam, { region: 'eu-west-1', serverless: false })

  const wrong = (env: Record<string, string>) => {
    const { state, errors } = resolve(env)
    t.equal(state, 'invalid')
    return errors.map(({ code, variable, message }) => t.equal(code, 'FST_BRK_CONFIG_CREDENTIALS') && `${variable}: ${message}`)
  }
  t.match(wrong({ REDIS_AUTH_SECRET_ARN: 'a', REDIS_AUTH_TOKEN: 't0ken' }), [/REDIS_AUTH_TOKEN and REDIS_AUTH_SECRET_ARN each state/])
  t.match(wrong({ REDIS_AUTH_SECRET_ARN: 'a', REDIS_URL: 'rediss://:t0ken@h' }), [/REDIS_URL and REDIS_AUTH_SECRET_ARN each state/])
  t.match(wrong({ REDIS_AUTH_SECRET_ARN: 'a', REDIS_IAM_CACHE_NAME: 'c', AWS_REGION: 'r' }), [/REDIS_AUTH_SECRET_ARN and REDIS_IAM_CACHE_NAME each state/])
  t.match(wrong({ REDIS_IAM_CACHE_NAME: 'c', REDIS_URL: 'redis://localhost' }), [/TLS is off/, /there is no user/, /AWS_REGION is not/])
  t.match(wrong({ REDIS_AUTH_SECRET_KEY: 'k' }), [/REDIS_AUTH_SECRET_ARN is not/])
  t.match(wrong({ REDIS_IAM_SERVERLESS: 'yes' }), [/REDIS_IAM_CACHE_NAME is not/])
  t.match(resolveRedisTarget({ REDIS_AUTH_SECRET_ARN: 'a' }), { state: 'disabled', warnings: [{ code: 'FST_BRK_CONFIG_HOST_MISSING' }] })
})
