import { inspect } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { asText, examine } from '../../../services/config/report.ts'
import { ConfigError, assertUsable, loadConfig } from '../../../services/config/load.ts'
import { startupLine } from '../../../services/config/describe.ts'
import { variableNames } from '../../../services/config/schema.ts'
import { Secret } from '../../../services/config/secret.ts'
import { maskUrl, quote } from '../../../services/config/masking.ts'

const SEED = 20261121
const CANARY = 'Canary7Zq'
const property = (runs: number) => ({ seed: SEED, numRuns: runs })

/** Everything that anybody can see of an environment. */
function visible (env: Record<string, string>): string {
  const loaded = loadConfig(env)
  const shown = [
    JSON.stringify(loaded), inspect(loaded, { depth: null, showHidden: true }), String(loaded.config.redis.resolution.target?.password),
    JSON.stringify(startupLine(loaded.config.redis.resolution)),
    asText(examine(env)), JSON.stringify(examine(env))
  ]
  try {
    assertUsable(loaded)
  } catch (error) {
    if (!(error instanceof ConfigError) || error.code !== 'FST_BRK_CONFIG_INVALID') throw error
    shown.push(error.message, String(error.stack), JSON.stringify(error), inspect(error, { depth: null }))
  }
  return shown.join('\n')
}

const special = fc.string({ unit: fc.constantFrom(...'@:/#%? &=+~é"\'\\{}[],;'.split(''), 'x', '1'), maxLength: 6 })
const token = fc.tuple(special, special).map(([before, after]) => `${before}${CANARY}${after}`)
const written = fc.tuple(token, fc.boolean()).map(([raw, encoded]) => encoded ? encodeURIComponent(raw) : raw)
const scheme = fc.constantFrom('redis://', 'rediss://', 'unix://', '', 'http://', 'redi://', 'REDIS://')
const user = fc.constantFrom('', 'app', 'a%40b', 'a/b')
const place = fc.constantFrom('cache.example.com', 'cache:6379', '[::1]:70000', '::1', 'bad host', '', ':6379', 'cache:x/y', 'cache/1?db=2', '/run/redis.sock', 'cache#x', '1.2.3')
const others = fc.record({
  REDIS_TLS_ENABLED: fc.constantFrom('true', 'false', 'maybe', ''),
  REDIS_CLUSTER: fc.constantFrom('true', ''),
  REDIS_REQUIRED: fc.constantFrom('true', 'false', ''),
  REDIS_DB: fc.constantFrom('', '1', 'x'),
  PORT: fc.constantFrom('', '80', 'abc')
})

t.test('R1.7 I6 a token in REDIS_URL is seen nowhere', async t => {
  fc.assert(fc.property(scheme, user, written, place, others, (scheme, user, token, place, others) => {
    return !visible({ ...others, REDIS_URL: `${scheme}${user}:${token}@${place}` }).includes(CANARY)
  }), property(3000))
  t.pass()
})

t.test('R1.7 I6 a token in REDIS_AUTH_TOKEN is seen nowhere', async t => {
  fc.assert(fc.property(written, place, others, fc.boolean(), (token, place, others, parts) => {
    return !visible({ ...others, REDIS_AUTH_TOKEN: token, [parts ? 'REDIS_HOST' : 'REDIS_URL']: place }).includes(CANARY)
  }), property(2000))
  t.pass()
})

t.test('R1.7 I6 a password of the sentinels, or one in their list, is seen nowhere', async t => {
  fc.assert(fc.property(written, place, others, fc.boolean(), (token, place, others, right) => {
    const sentinels: Record<string, string> = right ? { REDIS_SENTINELS: place, REDIS_SENTINEL_PASSWORD: token } : { REDIS_SENTINELS: `a,redis://:${token}@${place}` }
    return !visible({ ...others, ...sentinels, REDIS_SENTINEL_MASTER: 'main' }).includes(CANARY)
  }), property(1000))
  t.pass()
})

t.test('R1.7 I6 a token in a URL in the wrong place, or without a host, is seen nowhere', async t => {
  for (const url of [
    `redis://:${CANARY}`, `redis://:${CANARY}/x`, `redis://app:${CANARY}`, `redis://app:${CANARY}:6379`, `:${CANARY}`, `redis://app:1/${CANARY}`, `app:1?${CANARY}`,
    `redis://h/${CANARY}`, `redis://h/12${CANARY}?x`, `redis://h#${CANARY}`, `redis://h?password=${CANARY}`, `redis://h?db=${CANARY}`, `redis://[::1]:${CANARY}`,
    `unix://:${CANARY}/run/x`, `unix:///run/x?password=${CANARY}`, `"redis://:${CANARY}@h"`, `htp://:${CANARY}@h`, `redis://a:${CANARY}@h?@x`
  ]) {
    for (const variable of ['REDIS_URL', 'REDIS_HOST', 'REDIS_PORT', 'REDIS_TLS_ENABLED', 'REDIS_ULR']) {
      const plainFlag = !/[@]|:\/\//.test(url) && variable !== 'REDIS_URL' && variable !== 'REDIS_HOST'
      if (!plainFlag) t.notMatch(visible({ [variable]: url }), CANARY, `${variable}=${url}`)
    }
  }
  t.notMatch(visible({ DATABASE_URL: `postgres://app:${CANARY}@db:5432/models?password=${CANARY}` }), CANARY)
  t.notMatch(visible({ DATABASE_URL: `mysql://app:${CANARY}@db` }), CANARY)
})

t.test('R1.6 no environment makes it throw anything but the coded error, and every problem is complete', async t => {
  const value = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('true', '0', '-1', '6379', 'redis://h', '::1', '[', '@', '%', '//', 'x://@:'))
  const env = fc.dictionary(fc.oneof(fc.constantFrom(...variableNames), fc.string().map(name => `REDIS_${name}`)), value)
  fc.assert(fc.property(env, env => {
    visible(env)
    const { errors, warnings, config } = loadConfig(env)
    if (config.redis.resolution.state === 'configured' && config.redis.resolution.target === null) return false
    return [...errors, ...warnings].every(({ code, variable, message, remedy }) =>
      code.startsWith('FST_BRK_CONFIG_') && variable !== '' && message !== '' && / See docs\/configuration\.md#[a-z_-]+\.$/.test(remedy))
  }), property(1000))
  t.pass()
})

t.test('a token is what it was, percent-encoded in a URL or raw in the variable', async t => {
  fc.assert(fc.property(fc.string({ minLength: 1 }).filter(text => text.isWellFormed() && text.trim() !== ''), token => {
    const { target } = loadConfig({ REDIS_URL: `redis://:${encodeURIComponent(token)}@localhost` }).config.redis.resolution
    return target!.password!.reveal() === token
  }), property(1000))
  const raw = fc.string({ minLength: 1 }).filter(text => text.trim() !== '' && !/^[\r\n]|[\r\n]$/.test(text) && !/%[\da-f]{2}/i.test(text))
  fc.assert(fc.property(raw, token => {
    const { target } = loadConfig({ REDIS_HOST: 'localhost', REDIS_AUTH_TOKEN: token }).config.redis.resolution
    return target!.password!.reveal() === token
  }), property(1000))
  t.pass()
})

t.test('a secret hides from everything but reveal', async t => {
  const secret = new Secret(CANARY)
  t.same([`${secret}`, JSON.stringify({ secret }), inspect({ secret }), inspect(secret, { showHidden: true })], ['***', '{"secret":"***"}', '{ secret: *** }', '***'])
  t.same(structuredClone({ ...secret }), {})
  t.equal(secret.reveal(), CANARY)
  t.ok(Object.isFrozen(secret))
})

t.test('masking keeps what helps and hides the rest', async t => {
  const rows = [
    ['redis://u:p@h:6379/0', 'redis://***@h:6379/0'],
    ['redis://h', 'redis://h'],
    ['redis://h/', 'redis://h/'],
    ['redis://h/-1', 'redis://h/-1'],
    ['redis://h/abc', 'redis://h/***'],
    ['redis://h/1?x=y', 'redis://h/1?***'],
    ['redis://h#y', 'redis://h#***'],
    ['redis://h:70000', 'redis://h:70000'],
    ['redis://h:abc', 'redis://h:***'],
    ['redis://h:', 'redis://h:'],
    ['redis://:x', 'redis://:***'],
    ['redis://a:b:1', 'redis://***:1'],
    ['redis://::1', 'redis://::1'],
    ['redis://[::1]', 'redis://[::1]'],
    ['redis://[::1]:12', 'redis://[::1]:12'],
    ['redis://1:2:3:4:5:6:7:8:99', 'redis://1:2:3:4:5:6:7:8:99'],
    ['unix://u:p@/run/x?db=1', 'unix://***@/run/x?***'],
    ['unix://run/x', 'unix://***'],
    ['a'.repeat(130), `${'a'.repeat(120)}…`]
  ] as const
  for (const [text, masked] of rows) t.equal(maskUrl(text), masked, text)
  t.equal(quote('a\nb'), '"a\\nb"')
  t.equal(quote('x@y'), '"***@y"')
})
