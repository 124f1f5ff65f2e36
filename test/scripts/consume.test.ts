import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import { consume } from '../../scripts/consume.ts'
import { buildEnvelope } from '../../services/queue/envelope.ts'
import { until } from '../helpers/until.ts'
import { startRedis } from '../helpers/redis-server.ts'

const root = resolve(import.meta.dirname, '../..')
const QUEUE = 'hokusai:model_ready_queue'

function envelope (version: string): string {
  return buildEnvelope({
    model_id: `churn/${version}/hok`,
    token_symbol: 'hok',
    metric_name: 'auc',
    baseline_value: 0.5,
    current_value: 0.75,
    model_name: 'churn é \u{1f40b}',
    model_version: version,
    tags: { team: 'a' }
  }, { correlationId: 'c' }).body
}

/** The command in a process of its own, with its lines of standard output as they come. */
function command (t: Test, env: NodeJS.ProcessEnv, ...args: string[]) {
  const child = spawn(process.execPath, [resolve(root, 'scripts/consume.ts'), ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  const lines: string[] = []
  createInterface({ input: child.stdout }).on('line', line => lines.push(line))
  let errors = ''
  child.stderr.on('data', data => { errors += data })
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, lines, errors }))
  return { child, ended, lines }
}

t.test('R8.1 one line per message, oldest first, the bytes unchanged, all acknowledged', async t => {
  const redis = await startRedis(t)
  const bodies = ['1', '2', '3'].map(envelope)
  for (const body of bodies) await redis.cli('lpush', QUEUE, body)
  const spaced = JSON.stringify({ ...JSON.parse(envelope('4')), retry_count: 1 }, null, 2)
  await redis.cli('lpush', QUEUE, spaced)

  const { code, lines } = await command(t, { REDIS_URL: redis.url }, '--drain').ended
  t.equal(code, 0)
  t.strictSame(lines.slice(0, 3), bodies)
  t.strictSame(JSON.parse(lines[3]!), JSON.parse(spaced), 'a message of several lines is printed on one')
  t.strictSame(await redis.cli('keys', '*'), [], 'nothing is left: not in the queue, not in processing')
})

t.test('--once, --count and --queue', async t => {
  const redis = await startRedis(t)
  for (const version of ['1', '2', '3', '4']) await redis.cli('lpush', 'other', envelope(version))
  const env = { REDIS_HOST: redis.host, REDIS_PORT: String(redis.port) }
  const once = await command(t, env, '--once', '--queue', 'other').ended
  t.equal(JSON.parse(once.lines.join()).payload.model_version, '1')
  const two = await command(t, { ...env, QUEUE_NAME: 'other' }, '--count', '2').ended
  t.strictSame(two.lines.map(line => JSON.parse(line).payload.model_version), ['2', '3'])
  t.equal(await redis.cli('llen', 'other'), 1)
})

t.test('R5.5 dead letters: what is malformed, and what the handler refuses', async t => {
  const redis = await startRedis(t)
  const handler = t.testdir({
    'handler.mjs': 'export async function handle (message) { if (message.payload.model_version === "2") throw new RangeError("too old") }'
  })
  const bodies = ['not json', envelope('1'), envelope('2')]
  for (const body of bodies) await redis.cli('lpush', QUEUE, body)
  const { code, lines } = await command(t, { REDIS_URL: redis.url }, '--drain', '--handler', `${handler}/handler.mjs`).ended
  t.equal(code, 0)
  t.strictSame(lines, [bodies[1]])
  const letters = (await redis.cli('lrange', `${QUEUE}:dlq`, 0, -1)).reverse().map((letter: string) => JSON.parse(letter))
  t.strictSame(letters.map((letter: any) => letter.original_message), ['not json', bodies[2]])
  t.match(letters[0].error, /it is not JSON/)
  t.equal(letters[1].error, 'RangeError: too old')
  t.equal(await redis.cli('exists', `${QUEUE}:processing`), 0)
})

t.test('R8.1 kill -9 leaves the message in processing, and --recover takes it up again', async t => {
  const redis = await startRedis(t)
  const handler = t.testdir({ 'handler.mjs': 'export const handle = () => new Promise(resolve => setTimeout(resolve, 60_000))' })
  const body = envelope('1')
  await redis.cli('lpush', QUEUE, body, envelope('2'))
  const { child, ended } = command(t, { REDIS_URL: redis.url }, '--handler', `${handler}/handler.mjs`)
  await until(async () => await redis.cli('llen', `${QUEUE}:processing`) === 1, 10_000)
  child.kill('SIGKILL')
  t.equal((await ended).signal, 'SIGKILL')
  t.strictSame(await redis.cli('lrange', `${QUEUE}:processing`, 0, -1), [body])

  const { code, lines } = await command(t, { REDIS_URL: redis.url }, '--drain', '--recover').ended
  t.equal(code, 0)
  t.strictSame(lines.map(line => JSON.parse(line).payload.model_version), ['1', '2'])
  t.strictSame(await redis.cli('keys', '*'), [])
})

t.test('R8.1 --attempts repeats what failed, --concurrency and --deduplicate do what they say', async t => {
  const redis = await startRedis(t)
  const handler = t.testdir({
    'handler.mjs': 'export async function handle (message, body, { attempt }) { if (attempt < 2) throw new RangeError("too early") }'
  })
  const body = envelope('1')
  await redis.cli('lpush', QUEUE, body, body)
  const { child, ended, lines } = command(t, { REDIS_URL: redis.url }, '--attempts', '2', '--concurrency', '2', '--deduplicate', '--handler', `${handler}/handler.mjs`)
  await until(async () => lines.length === 1 && await redis.cli('exists', QUEUE, `${QUEUE}:processing`, `{${QUEUE}}:delayed`) === 0, 10_000)
  child.kill('SIGTERM')
  t.equal((await ended).code, 0)
  t.equal(JSON.parse(lines[0]!).retry_count, 1)
})

t.test('a consumer that starts before Redis waits for it; SIGTERM ends it with 0', async t => {
  const redis = await startRedis(t)
  await redis.kill()
  const { child, ended, lines } = command(t, { REDIS_URL: redis.url })
  await delay(300)
  await redis.restart()
  await redis.cli('lpush', QUEUE, envelope('1'))
  await until(() => lines.length === 1, 10_000)
  child.kill('SIGTERM')
  t.equal((await ended).code, 0)
})

t.test('when nobody reads any more, the message stays in processing', async t => {
  const redis = await startRedis(t)
  await redis.cli('lpush', QUEUE, envelope('1'))
  const { child, ended } = command(t, { REDIS_URL: redis.url })
  child.stdout!.destroy()
  t.equal((await ended).code, 1)
  t.strictSame((await redis.cli('keys', '*')).sort(), [`${QUEUE}:processing`, `{${QUEUE}}:claims`])
})

t.test('a password, a user and a database are used, and never printed', async t => {
  const redis = await startRedis(t, { args: ['--requirepass', 'hunter2 /@:'], client: { password: 'hunter2 /@:', db: 3 } })
  await redis.cli('lpush', QUEUE, envelope('1'))
  const parts = { REDIS_HOST: redis.host, REDIS_PORT: String(redis.port), REDIS_DB: '3', LOG_LEVEL: 'trace' }
  const { lines, errors } = await command(t, { ...parts, REDIS_USERNAME: 'default', REDIS_AUTH_TOKEN: 'hunter2 /@:' }, '--once').ended
  t.equal(lines.length, 1)
  t.notMatch(errors, 'hunter2')
})

t.test('a unix socket', async t => {
  const redis = await startRedis(t)
  await redis.cli('lpush', QUEUE, envelope('1'))
  t.equal((await command(t, { REDIS_URL: `unix://${redis.socketPath}` }, '--once').ended).lines.length, 1)
})

t.test('what cannot work ends with 1 and says why', async t => {
  const outcomes: [args: string[], env: NodeJS.ProcessEnv, code: number, text: RegExp][] = [
    [[], {}, 1, /There is no Redis to consume from: set REDIS_URL/],
    [[], { REDIS_URL: 'ftp://x' }, 1, /REDIS_URL/],
    [['--count', '0'], {}, 1, /--count must be a number above 0/],
    [['--count', 'x'], {}, 1, /--count must be a number above 0/],
    [['--attempts', '0'], {}, 1, /--attempts must be a number above 0/],
    [['--nonsense'], {}, 1, /Unknown option '--nonsense'/],
    [['--help'], {}, 0, /npm run consume -- \[options\]/]
  ]
  for (const [args, env, code, text] of outcomes) {
    const out = t.capture(process.stdout, 'write')
    const err = t.capture(process.stderr, 'write')
    const exitCode = await consume(args, env)
    const printed = [...out(), ...err()].map(call => String(call.args[0])).join('')
    out.restore()
    err.restore()
    t.equal(exitCode, code, `exit code of ${args.join(' ')}`)
    t.match(printed, text)
  }
})

t.test('R5.8 an unmodified redis-py consumer reads our queue', async t => {
  const python = ['/usr/bin/python3', 'python3'].find(name => spawnSync(name, ['-c', 'import redis']).status === 0)
  if (python === undefined) return t.fail('no python3 with redis-py here: apt-get install python3-redis, or pip install redis')
  const redis = await startRedis(t)
  const bodies = ['1', '2', '3'].map(envelope)
  for (const body of bodies) await redis.cli('lpush', QUEUE, body)
  const child = spawn(python, [resolve(root, 'test/fixtures/redis_py_consumer.py'), redis.url, QUEUE, '3'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines: any[] = []
  for await (const line of createInterface({ input: child.stdout })) lines.push(JSON.parse(line))
  t.strictSame(lines.map(line => line.envelope), bodies.map(body => JSON.parse(body)))
  t.strictSame(lines.map(line => line.payload), bodies.map(body => JSON.parse(body).payload), 'no field of the payload was missing or made up')
  t.strictSame(lines.map(line => line.acknowledged), [1, 1, 1], 'LREM found the exact bytes')
  t.strictSame(await redis.cli('keys', '*'), [])
})
