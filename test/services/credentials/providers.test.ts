import { createHash, createHmac } from 'node:crypto'
import { inspect } from 'node:util'
import { Sha256 } from '@aws-crypto/sha256-js'
import { SignatureV4 } from '@smithy/signature-v4'
import t from 'tap'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { elastiCacheIam } from '../../../services/credentials/elasticache-iam.ts'
import { credentialsOf, providerOf } from '../../../services/credentials/from-target.ts'
import { secretsManager } from '../../../services/credentials/secrets-manager.ts'
import { awsEnvironment, startSecretsManagerStub } from '../../helpers/secrets-manager-stub.ts'

const ARN = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:redis-a1b2c3'
const CANARY = 'canary-token-b7d2'
const { signal } = new AbortController()

const stub = await startSecretsManagerStub(t)
Object.assign(process.env, awsEnvironment(stub.url))

t.test('R2.1 the token comes from Secrets Manager: the bare text, or a field of JSON with its user', async t => {
  stub.script = [{ secret: ` ${CANARY}\n` }]
  const bare = await secretsManager({ secretId: ARN }).fetch(signal)
  t.equal(bare.password.reveal(), CANARY)
  t.strictSame(stub.requests.at(-1), { target: 'secretsmanager.GetSecretValue', secretId: ARN })
  stub.script = [{ secret: JSON.stringify({ username: 'breakwater', password: CANARY }) }]
  const json = await secretsManager({ secretId: ARN, field: 'password' }).fetch(signal)
  t.equal(json.password.reveal(), CANARY)
  t.equal(json.username, 'breakwater')
})

t.test('R2.1 I6 a malformed secret: what rule it breaks, never what it holds', async t => {
  const cases: [secret: string, field: string | undefined, rule: RegExp][] = [
    ['', undefined, /it has no text/],
    [JSON.stringify({ password: CANARY }), undefined, /REDIS_AUTH_SECRET_KEY does not say which field/],
    [CANARY, 'password', /not a JSON object/],
    [`{"password":"${CANARY}`, 'password', /not a JSON object/],
    [JSON.stringify([CANARY]), 'password', /not a JSON object/],
    [JSON.stringify({ token: CANARY }), 'password', /no text in the field "password"/],
    [JSON.stringify({ password: 7, token: CANARY }), 'password', /no text in the field "password"/]
  ]
  for (const [secret, field, rule] of cases) {
    stub.script = [{ secret }]
    const error = await secretsManager({ secretId: ARN, field }).fetch(signal).catch((err: unknown) => err)
    t.match(error, { code: 'FST_BRK_SECRET_MALFORMED', message: rule }, String(rule))
    t.notMatch(inspect(error, { depth: 9 }) + JSON.stringify(error), CANARY)
  }
})

t.test('R2.1 throttling is retried by the SDK; denial and absence are not, and say what to do', async t => {
  stub.script = [{ error: 'ThrottlingException' }, { error: 'ThrottlingException' }, { secret: CANARY }]
  const before = stub.requests.length
  t.equal((await secretsManager({ secretId: ARN }).fetch(signal)).password.reveal(), CANARY)
  t.equal(stub.requests.length - before, 3)
  const cases = [['AccessDeniedException', /Allow secretsmanager:GetSecretValue/], ['ResourceNotFoundException', /Correct REDIS_AUTH_SECRET_ARN/]] as const
  for (const [error, remedy] of cases) {
    stub.script = [{ error }]
    const calls = stub.requests.length
    await t.rejects(secretsManager({ secretId: ARN }).fetch(signal), { code: 'FST_BRK_CREDENTIALS_UNAVAILABLE', message: remedy })
    t.equal(stub.requests.length - calls, 1, error)
  }
})

t.test('R2.1 a slow answer ends with the signal', async t => {
  stub.script = ['hang']
  await t.rejects(secretsManager({ secretId: ARN }).fetch(AbortSignal.timeout(50)), { code: 'FST_BRK_CREDENTIALS_UNAVAILABLE', cause: { name: 'AbortError' } })
})

const awsCredentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** The algorithm as AWS describes it, step by step. @see https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html */
function signature (secretKey: string, date: string, region: string, service: string, canonicalRequest: string): string {
  const day = date.slice(0, 8)
  const toSign = ['AWS4-HMAC-SHA256', date, `${day}/${region}/${service}/aws4_request`, sha256(canonicalRequest)].join('\n')
  const key = hmac(hmac(hmac(hmac(`AWS4${secretKey}`, day), region), service), 'aws4_request')
  return hmac(key, toSign).toString('hex')
}

t.test('R2.3 the signer and the algorithm beside it give the signatures that AWS has published', async t => {
  // The suite's `get-vanilla`: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-examples.html
  const vanilla = '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'
  const canonical = ['GET', '/', '', 'host:example.amazonaws.com', 'x-amz-date:20150830T123600Z', '', 'host;x-amz-date', sha256('')].join('\n')
  t.equal(signature(awsCredentials.secretAccessKey, '20150830T123600Z', 'us-east-1', 'service', canonical), vanilla)
  const signer = new SignatureV4({ service: 'service', region: 'us-east-1', sha256: Sha256, credentials: awsCredentials, applyChecksum: false })
  const signed = await signer.sign({ method: 'GET', protocol: 'https:', hostname: 'example.amazonaws.com', path: '/', headers: { host: 'example.amazonaws.com' } },
    { signingDate: new Date('2015-08-30T12:36:00Z') })
  t.ok(signed.headers['authorization']!.endsWith(`Signature=${vanilla}`))
  // A signed URL: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
  const query = 'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host'
  const url = ['GET', '/test.txt', query, 'host:examplebucket.s3.amazonaws.com', '', 'host', 'UNSIGNED-PAYLOAD'].join('\n')
  t.equal(signature('wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', '20130524T000000Z', 'us-east-1', 's3', url),
    'aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404')
})

t.test('R2.3 an IAM token: a request to connect, signed for fifteen minutes; its signature is the right one', async t => {
  const now = Date.parse('2026-11-21T10:18:32Z')
  for (const serverless of [false, true]) {
    const provider = elastiCacheIam({ cacheName: 'models-cache', username: 'breakwater', region: 'eu-central-1', serverless, credentials: { ...awsCredentials, sessionToken: 'a+session/token=' }, now: () => now })
    const { username, password, expiresAt } = await provider.fetch(signal)
    t.equal(username, 'breakwater')
    t.equal(expiresAt, now + 900_000)
    const token = new URL(`http://${password.reveal()}`)
    t.equal(token.hostname, 'models-cache')
    t.match(Object.fromEntries(token.searchParams), {
      Action: 'connect',
      User: 'breakwater',
      'X-Amz-Expires': '900',
      'X-Amz-Date': '20261121T101832Z',
      'X-Amz-Security-Token': 'a+session/token=',
      ...serverless ? { ResourceType: 'ServerlessCache' } : {}
    })
    const signed = [...token.searchParams].filter(([name]) => name !== 'X-Amz-Signature')
      .map((pair) => pair.map(encodeURIComponent).join('=')).toSorted().join('&')
    const canonical = ['GET', '/', signed, 'host:models-cache', '', 'host', sha256('')].join('\n')
    t.equal(token.searchParams.get('X-Amz-Signature'), signature(awsCredentials.secretAccessKey, '20261121T101832Z', 'eu-central-1', 'elasticache', canonical))
  }
})

t.test('R2.3 without AWS credentials the error says so', async t => {
  const credentials = async () => { throw Object.assign(new Error('nothing found'), { name: 'CredentialsProviderError' }) }
  await t.rejects(elastiCacheIam({ cacheName: 'c', username: 'u', region: 'r', credentials }).fetch(signal),
    { code: 'FST_BRK_CREDENTIALS_UNAVAILABLE', message: /CredentialsProviderError\. Give the process a role/ })
})

t.test('R2.1 what a target says: the provider, and what a program that connects once needs', async t => {
  const target = (env: Record<string, string>) => resolveRedisTarget({ REDIS_URL: 'rediss://app@cache.example.com', ...env }).target!
  stub.script = [{ secret: JSON.stringify({ username: 'other', token: CANARY }) }]
  t.strictSame(await credentialsOf(target({ REDIS_AUTH_SECRET_ARN: ARN, REDIS_AUTH_SECRET_KEY: 'token' })), { username: 'other', password: CANARY })
  stub.script = [{ secret: CANARY }]
  t.strictSame(await credentialsOf(target({ REDIS_AUTH_SECRET_ARN: ARN })), { password: CANARY })
  t.strictSame(await credentialsOf(target({ REDIS_AUTH_TOKEN: CANARY })), { password: CANARY })
  t.strictSame(await credentialsOf(target({})), {})
  t.match(providerOf(target({ REDIS_IAM_CACHE_NAME: 'c', AWS_REGION: 'eu-central-1' })), { name: 'iam', perConnection: true })
  t.equal(providerOf(target({})), null)
})
