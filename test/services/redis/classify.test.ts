import t from 'tap'
import { classify, withoutArguments } from '../../../services/redis/classify.ts'
import { RedisClosed, RedisConnectionFailed, RedisConnectionLost, RedisNotConnected, RedisNotSent, RedisTimeout } from '../../../services/redis/errors.ts'
import { ReconnectBackoff } from '../../../services/redis/connection/reconnect-backoff.ts'
import { Statistics } from '../../../services/redis/command/statistics.ts'

function reply (message: string): Error {
  return Object.assign(new Error(message), { name: 'ReplyError' })
}

t.test('R3.6 the first token of the server\'s message decides', (t) => {
  const cases: [message: string, kind: string, breaker: string, reason: string][] = [
    ['NOAUTH Authentication required.', 'auth', 'fatal', 'NOAUTH'],
    ['WRONGPASS invalid username-password pair or user is disabled.', 'auth', 'fatal', 'WRONGPASS'],
    ['ERR invalid password', 'auth', 'fatal', 'WRONGPASS'],
    ['NOPERM this user has no permissions to run the \'get\' command', 'configuration', 'neutral', 'NOPERM'],
    ['DENIED Redis is running in protected mode', 'configuration', 'fatal', 'DENIED'],
    ['MOVED 3999 127.0.0.1:6381', 'configuration', 'neutral', 'MOVED'],
    ['LOADING Redis is loading the dataset in memory', 'overload', 'fatal', 'LOADING'],
    ['MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to \'no\'.', 'overload', 'failure', 'MASTERDOWN'],
    ['READONLY You can\'t write against a read only replica.', 'overload', 'failure', 'READONLY'],
    ['OOM command not allowed when used memory > \'maxmemory\'.', 'overload', 'failure', 'OOM'],
    ['MISCONF Redis is configured to save RDB snapshots', 'overload', 'failure', 'MISCONF'],
    ['NOREPLICAS Not enough good replicas to write.', 'overload', 'failure', 'NOREPLICAS'],
    ['BUSY Redis is busy running a script.', 'overload', 'failure', 'BUSY'],
    ['CLUSTERDOWN The cluster is down', 'overload', 'failure', 'CLUSTERDOWN'],
    ['TRYAGAIN Multiple keys request during rehashing of slot', 'overload', 'failure', 'TRYAGAIN'],
    ['ERR max number of clients reached', 'overload', 'fatal', 'MAXCLIENTS'],
    ['WRONGTYPE Operation against a key holding the wrong kind of value', 'caller', 'neutral', 'WRONGTYPE'],
    ['ERR unknown command \'nonsense\'', 'caller', 'neutral', 'ERR'],
    ['ERR value is not an integer or out of range', 'caller', 'neutral', 'ERR'],
    ['NOSCRIPT No matching script. Please use EVAL.', 'caller', 'neutral', 'NOSCRIPT'],
    ['EXECABORT Transaction discarded because of previous errors.', 'caller', 'neutral', 'EXECABORT'],
    ['BUSYGROUP Consumer Group name already exists', 'caller', 'neutral', 'BUSYGROUP'],
    ['constructor of a script\'s own making', 'caller', 'neutral', 'ERR']
  ]
  for (const [message, kind, breaker, reason] of cases) {
    t.strictSame(classify(reply(message)), { kind, breaker, reason, notApplied: true, ambiguous: false }, message)
  }
  const inside = classify(reply('OOM command not allowed when used memory > \'maxmemory\'. script: 2c0f, on @user_script:1.'))
  t.match(inside, { kind: 'overload', notApplied: false, ambiguous: true }, 'a script may have written before it failed')
  t.end()
})

t.test('R3.6 errors of sockets, resolvers and TLS', (t) => {
  const cases = {
    ECONNREFUSED: 'transport',
    ECONNRESET: 'transport',
    ENOTFOUND: 'transport',
    EAI_AGAIN: 'transport',
    ENOENT: 'transport',
    EACCES: 'configuration',
    ETIMEDOUT: 'timeout',
    DEPTH_ZERO_SELF_SIGNED_CERT: 'configuration',
    SELF_SIGNED_CERT_IN_CHAIN: 'configuration',
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'configuration',
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'configuration',
    CERT_HAS_EXPIRED: 'configuration',
    ERR_TLS_CERT_ALTNAME_INVALID: 'configuration',
    ERR_SSL_WRONG_VERSION_NUMBER: 'configuration',
    EPROTO: 'configuration'
  }
  for (const [code, kind] of Object.entries(cases)) {
    t.match(classify(Object.assign(new Error('at 10.0.0.1'), { code })), { kind, breaker: 'fatal', reason: code, notApplied: false }, code)
  }
  for (const odd of [null, undefined, 'text', new Error('odd')]) t.match(classify(odd), { kind: 'transport', reason: 'ECONNECTION' })
  t.end()
})

t.test('our own errors say what they mean, cost no stack, and print themselves', (t) => {
  t.match(classify(new RedisTimeout('GET', 500)), { kind: 'timeout', breaker: 'timeout', ambiguous: true, notApplied: false })
  t.match(classify(new RedisNotSent('GET', 500)), { kind: 'timeout', notApplied: true })
  t.match(classify(new RedisConnectionLost('GET')), { kind: 'transport', breaker: 'fatal', ambiguous: true })
  t.match(classify(new RedisClosed()), { kind: 'transport', notApplied: true })
  t.match(classify(new RedisNotConnected('x', 'overload', 5)), { kind: 'overload', breaker: 'failure', notApplied: true })
  t.match(classify(new RedisConnectionFailed('auth', 'WRONGPASS')), { kind: 'auth', breaker: 'fatal', reason: 'WRONGPASS' })
  t.match(classify({ kind: 'caller' }), { kind: 'caller', breaker: 'neutral', reason: 'caller' })
  t.match(new RedisTimeout('GET', 500).stack, /^FastifyError \[FST_BRK_REDIS_TIMEOUT\]: Redis did not answer GET within 500 ms/)
  t.match(new RedisTimeout('GET', 500), { statusCode: 503, retryAfterMs: 0 })
  const error = Object.assign(new Error('x'), { command: { name: 'auth', args: ['s3cret'] } })
  withoutArguments(error)
  t.strictSame(error.command, { name: 'auth' })
  withoutArguments(new Error('no command'))
  t.end()
})

t.test('R3.3 reconnecting: quick at first, at least once a second, and the time that an attempt took counts', (t) => {
  let now = 0
  const backoff = new ReconnectBackoff(() => now, () => 0.999)
  const delays: number[] = []
  for (let attempt = 0; attempt < 60; attempt++) {
    backoff.attempting()
    delays.push(backoff.next())
    now += backoff.delayMs
  }
  t.ok(delays[0]! <= 50)
  t.ok(Math.max(...delays.slice(0, 10)) <= 200, 'eager for two seconds')
  t.equal(Math.max(...delays), 999)
  backoff.attempting()
  now += 600
  t.ok(backoff.next() < 400, 'an attempt that hung is followed by a shorter pause')
  backoff.attempting()
  now += 5000
  t.equal(backoff.next(), 10)
  backoff.connected()
  t.equal(backoff.delayMs, 0)
  t.ok(backoff.next() <= 50)
  t.end()
})

t.test('R3.7 statistics: percentiles of the last commands', (t) => {
  const statistics = new Statistics()
  t.equal(statistics.snapshot().latencyMs, null)
  for (let latency = 1; latency <= 100; latency++) statistics.answered(latency)
  t.strictSame(statistics.snapshot().latencyMs, { p50: 51, p99: 100 })
  for (let count = 0; count < 512; count++) statistics.answered(7)
  t.strictSame(statistics.snapshot().latencyMs, { p50: 7, p99: 7 })
  t.end()
})
