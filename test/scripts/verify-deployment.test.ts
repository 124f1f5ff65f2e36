import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Redis } from 'ioredis'
import t from 'tap'
import { resolveRedisTarget } from '../../services/config/redis/redis-target.ts'
import { QueueView } from '../../services/deployment/verification/queue-view.ts'
import { freePort, startRedis } from '../helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../helpers/redis-server.ts'
import { startSilentServer } from '../helpers/silent-server.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'
import { until } from '../helpers/until.ts'

const root = join(import.meta.dirname, '../..')
const QUEUE = 'hokusai:model_ready_queue'
const CANARY = 'canary-90d2'

interface Ran { stdout: string, stderr: string, exitCode: number | null }

function start (args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [join(root, 'scripts/breakwater.ts'), 'verify', ...args], { env: { PATH: process.env.PATH ?? '', ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = { stderr: '' }
  child.stderr.on('data', (chunk) => { output.stderr += chunk })
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  const ended: Promise<Ran> = Promise.all([text(child.stdout), exited]).then(([stdout, exitCode]) => ({ stdout, stderr: output.stderr, exitCode }))
  return { child, output, ended }
}

const run = (args: string[], env?: Record<string, string>) => start(args, env).ended
const checksOf = ({ stdout }: Ran): Record<string, { verdict: string, detail: string, latency_ms: number }> =>
  Object.fromEntries(JSON.parse(stdout).checks.map((check: { name: string }) => [check.name, check]))

interface Service { url: string, child: ChildProcess }

/** The service as `npm start` runs it. */
async function startService (t: Teardown, env: Record<string, string>): Promise<Service> {
  const port = await freePort()
  const directory = await temporaryDirectory(t)
  const child = spawn(process.execPath, [join(root, 'server.ts')], {
    env: { PATH: process.env.PATH ?? '', PORT: String(port), DATABASE_URL: `sqlite:${directory}/store.db`, DRAIN_MS: '0', LOG_LEVEL: 'silent', ...env }, stdio: 'ignore'
  })
  const exit = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  const url = `http://127.0.0.1:${port}`
  const health = async () => await fetch(`${url}/health/ready`).then(({ ok }) => ok, () => false)
  await until(health)
  return { url, child }
}

/** Redis as the service sees it must be good, too. */
async function startBoth (t: Teardown, env: Record<string, string> = {}): Promise<{ redis: RedisServer, service: Service }> {
  const redis = await startRedis(t)
  const service = await startService(t, { REDIS_URL: redis.url, ...env })
  await until(() => statusOf(service).then((status) => status === 'healthy'))
  return { redis, service }
}

async function statusOf ({ url }: Service): Promise<string> {
  return await fetch(`${url}/health`).then(async (response) => (await response.json() as { status: string }).status, () => 'none')
}

async function pidOf (redis: RedisServer): Promise<number> {
  return Number(/process_id:(\d+)/.exec(await redis.cli('info', 'server'))![1])
}

t.test('R11.4 everything good: four health routes, a registration, its event, and nothing is taken from the queue', async (t) => {
  const { redis, service } = await startBoth(t)
  const { stdout, stderr, exitCode } = await run([service.url, '--event', 'redis'], { REDIS_URL: redis.url })
  t.equal(exitCode, 0)
  t.equal(stderr, '')
  for (const path of ['/health', '/health/live', '/health/ready', '/health/alb']) t.match(stdout, new RegExp(`^ok   GET ${path}: (healthy|ok|ready) \\(\\d+ ms\\)$`, 'm'))
  t.match(stdout, /^ok {3}POST \/models: 201, breakwater-verify-\d{14}-[0-9a-f]{8}, event \S+ is durable \(node\) \(\d+ ms\)\nok {3}event: \S+ (heard on the channel|seen in the queue).*\nhttp:\S+: good\n$/m)
  const [element] = await redis.cli('lrange', QUEUE, 0, -1)
  t.match(JSON.parse(element), { message_id: /./, payload: { model_name: /^breakwater-verify-/, token_symbol: 'breakwater-verify', tags: { breakwater_verification: 'true' } } })
  t.ok(stdout.includes(JSON.parse(element).message_id), 'it is that event')
})

t.test('a consumer that is faster than any look: the event is heard, and the consumer keeps it', async (t) => {
  const { redis, service } = await startBoth(t)
  const consumer = new Redis(redis.port)
  t.teardown(() => consumer.disconnect())
  const taken = consumer.brpop(QUEUE, 20)
  const ran = await run([service.url, '--json', '--event', 'redis', '--redis-url', redis.url])
  t.equal(ran.exitCode, 0)
  t.match(JSON.parse(ran.stdout), { url: service.url, verdict: 'good', exit_code: 0 })
  t.match(checksOf(ran).event, { verdict: 'pass', detail: /heard on the channel of the queue/ })
  t.match(JSON.parse((await taken)![1]).payload.model_name, /^breakwater-verify-/)
})

t.test('an event is found wherever it lies, by its message_id, by reading only', async (t) => {
  const redis = await startRedis(t)
  const view = new QueueView({ target: resolveRedisTarget({ REDIS_URL: redis.url }).target!, queueName: 'q' }, 'breakwater-verify-')
  t.teardown(() => view.close())
  await view.open()
  const registered = (messageId: string) => ({ modelId: `breakwater-verify-x/1/${messageId}`, messageId, answeredAt: 0 })
  const envelope = (messageId: string) => JSON.stringify({ message_id: messageId, payload: {} })
  t.equal(await view.find(registered('a')), null)
  await redis.cli('lpush', 'q', envelope('a'), envelope('ab'))
  await redis.cli('lpush', 'q:processing', envelope('p'))
  await redis.cli('lpush', '{q}:processing', envelope('pp'))
  await redis.cli('lpush', 'q:dlq', JSON.stringify({ original_message: envelope('d'), error: 'x' }))
  await redis.cli('xadd', '{q}:stream', '*', 'body', envelope('s'))
  const before = await redis.cli('dbsize')
  for (const [id, place] of [['a', 'queue'], ['p', 'processing'], ['pp', 'processing'], ['d', 'dead letters'], ['s', 'queue'], ['b', null]] as const) t.equal(await view.find(registered(id)), place, id)
  t.same([await redis.cli('llen', 'q'), await redis.cli('dbsize')], [2, before])
  await redis.cli('publish', 'q:pubsub', 'breakwater-verify- no json')
  await redis.cli('publish', 'q:pubsub', JSON.stringify({ model_id: 'breakwater-verify-x/1/h' }))
  await until(() => view.find(registered('h')).then((place) => place === 'pubsub'))
})

t.test('without Redis from here: what the API tells is enough', async (t) => {
  const { redis, service } = await startBoth(t)
  const ran = await run([service.url, '--json'])
  t.equal(ran.exitCode, 0)
  t.match(checksOf(ran).event, { verdict: 'pass', detail: /left the journal for the queue, and is no dead letter/ })
  t.equal(await redis.cli('llen', QUEUE), 1)

  const unreachable = await run([service.url, '--json', '--redis-url', `redis://127.0.0.1:${await freePort()}`])
  t.equal(unreachable.exitCode, 2)
  t.match(checksOf(unreachable), { redis: { verdict: 'warn', detail: /cannot be reached from here: .*the journal's word is taken instead/ }, event: { verdict: 'pass' } })
  t.match(await run([service.url, '--event', 'redis', '--redis-url', `redis://127.0.0.1:${await freePort()}`]), { exitCode: 1, stdout: /^FAIL redis: cannot be reached from here/m })
  t.match(await run([service.url, '--event', 'redis']), { exitCode: 1, stdout: /^FAIL redis: --event redis needs/m })
  t.match(await run([service.url], { REDIS_URL: 'htp://x:6379' }), { exitCode: 1, stdout: /^FAIL redis: REDIS_URL/m })
  t.match(await run([service.url, '--redis-url', 'rediss://127.0.0.1:1'], { REDIS_TLS_CA_FILE: '/nonexistent' }), { exitCode: 2, stdout: /^WARN redis: .*ENOENT/m })
})

t.test('API keys: by the name of a variable, and nowhere in what is printed', async (t) => {
  const digest = (key: string) => createHash('sha256').update(key).digest('hex')
  const { service } = await startBoth(t, { API_KEYS: `deploy:write:${digest(CANARY)},look:read:${digest(`${CANARY}-read`)}` })
  const withKey = async (key: string) => await run([service.url, '--json', '--api-key-env', 'VERIFY_KEY'], { VERIFY_KEY: key })
  const good = await withKey(CANARY)
  t.equal(good.exitCode, 0)
  t.equal(checksOf(good).event?.verdict, 'pass', 'GET /queue has the key, too')
  const wrong = await withKey(`${CANARY}-wrong`)
  t.equal(wrong.exitCode, 1)
  t.match(checksOf(wrong), { 'POST /models': { verdict: 'fail', detail: /^401 FST_BRK_KEY_REQUIRED.*--api-key-env/ }, event: { verdict: 'skip' }, 'GET /health': { verdict: 'pass' } })
  const readOnly = await withKey(`${CANARY}-read`)
  t.match(checksOf(readOnly)['POST /models'], { verdict: 'fail', detail: /^403 .*needs the scope write/ })
  t.match(await run([service.url, '--api-key-env', 'VERIFY_KEY']), { exitCode: 1, stderr: /must name an environment variable/ })
  t.match(await run([service.url, '--no-register']), { exitCode: 0, stdout: /good\n$/ })
  t.notMatch(JSON.stringify([good, wrong, readOnly]), CANARY)
})

for (const [how, state] of [['killed', /redis failed/], ['frozen', /redis failed/]] as const) {
  t.test(`Redis ${how}: degraded, registered, and the event waits in the journal`, async (t) => {
    const { redis, service } = await startBoth(t)
    if (how === 'killed') await redis.kill()
    else redis.freeze()
    await until(() => statusOf(service).then((status) => status === 'degraded'))
    const ran = await run([service.url, '--json', '--event-timeout', '0.5'], { REDIS_URL: redis.url })
    t.equal(ran.exitCode, 1)
    t.match(checksOf(ran), {
      'GET /health': { verdict: 'warn', detail: state },
      'GET /health/live': { verdict: 'pass' },
      'GET /health/ready': { verdict: 'pass' },
      'GET /health/alb': { verdict: 'pass' },
      redis: { verdict: 'warn' },
      'POST /models': { verdict: 'pass' },
      event: { verdict: 'fail', detail: /not seen within 0\.5 s; it waits in the journal/ }
    })
    if (how === 'frozen') redis.thaw()
  })
}

t.test('health 503: draining; unhealthy', async (t) => {
  const draining = await startService(t, { DRAIN_MS: '20000' })
  draining.child.kill('SIGTERM')
  await until(() => fetch(`${draining.url}/health/ready`).then(({ status }) => status === 503))
  const ran = await run([draining.url, '--json', '--no-register'])
  t.equal(ran.exitCode, 1)
  t.match(checksOf(ran), { 'GET /health/ready': { verdict: 'fail', detail: '503 not_ready, draining: new work is not welcome' }, 'GET /health/alb': { verdict: 'fail', detail: /^503 no: the load balancer/ }, 'GET /health/live': { verdict: 'pass' } })

  const full = await startService(t, { REDIS_URL: `redis://127.0.0.1:${await freePort()}`, JOURNAL_MAX_ROWS: '1' })
  await run([full.url, '--event-timeout', '0.1'])
  await until(() => statusOf(full).then((status) => status === 'unhealthy'))
  const again = checksOf(await run([full.url, '--json']))
  t.match(again, { 'GET /health': { verdict: 'fail', detail: /^503 unhealthy, .*journal failed.*: a critical dependency is down$/ }, 'POST /models': { verdict: 'fail', detail: /^503 FST_BRK/ } })
})

t.test('a server that hangs, hangs up or is not there: bounded, and said once', async (t) => {
  const startedAt = performance.now()
  const hanging = await run([`http://127.0.0.1:${await startSilentServer(t, 'answer-nothing')}`, '--timeout', '0.3', '--json'])
  t.ok(performance.now() - startedAt < 15_000)
  t.equal(hanging.exitCode, 1)
  t.match(checksOf(hanging), { 'GET /health': { verdict: 'fail', detail: 'no answer within 300 ms' }, 'everything else': { verdict: 'skip' } })
  t.match(await run([`http://127.0.0.1:${await startSilentServer(t, 'hang-up')}`]), { exitCode: 1, stdout: /^FAIL GET \/health: (other side closed|.*ECONNRESET|.*socket)/m })
  t.match(await run([`http://127.0.0.1:${await freePort()}`]), { exitCode: 1, stdout: /^FAIL GET \/health: .*ECONNREFUSED/m })
})

type Answer = [status: number, body: unknown]

/** A service that says whatever the test wants. */
async function startFake (t: Teardown, answers: Record<string, Answer>) {
  const requests: { route: string, headers: IncomingHttpHeaders, body: string }[] = []
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const route = `${request.method} ${request.url!.split('?')[0]}`
      requests.push({ route, headers: request.headers, body })
      const [status, answer] = answers[route] ?? [404, 'nothing here']
      response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end(typeof answer === 'string' ? answer : JSON.stringify(answer))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}

const healthy: Record<string, Answer> = Object.fromEntries(['/health', '/health/live', '/health/ready', '/health/alb'].map((path) => [`GET ${path}`, [200, { status: 'ok' }]]))
const registered: Answer = [201, { model_id: 'm/1/t', event: { message_id: 'id-1', state: 'pending', durability: 'node' } }]

t.test('another service, a proxy that redirects, an answer without an event, a dead letter, a consumer that refuses', async (t) => {
  const page = await startFake(t, { 'GET /health': [200, '<html>\u001b[2J'], 'GET /health/live': [302, ''], 'POST /models': [201, {}] })
  const { stdout, exitCode } = await run([page.url])
  t.equal(exitCode, 1)
  t.match(stdout, /^FAIL GET \/health: 200, but the body is not that of this service: 200 <html>\ufffd\[2J/m)
  t.match(stdout, /^FAIL GET \/health\/live: 302: the process/m)
  t.match(stdout, /^FAIL POST \/models: 201, but the answer names no event/m)
  t.notOk(page.requests.some(({ route }) => route.includes('elsewhere')), 'redirects are not followed')

  const journal = { pending_rows: 0, oldest_pending_age_ms: 0 }
  const dead = await startFake(t, { ...healthy, 'POST /models': registered, 'GET /queue': [200, { journal }], 'GET /queue/dead-letters': [200, { items: [{}] }] })
  t.match(await run([dead.url]), { exitCode: 1, stdout: /^FAIL event: id-1 is a dead letter of the journal/m })
  const blind = await startFake(t, { ...healthy, 'POST /models': registered, 'GET /queue': [403, { code: 'FST_BRK_SCOPE', detail: 'no' }] })
  t.match(await run([blind.url, '--event-timeout', '0.1']), { exitCode: 1, stdout: /^FAIL event: id-1 not seen within 0\.1 s; GET \/queue: 403 FST_BRK_SCOPE: no/m })
  const nothing = await startFake(t, { ...healthy, 'POST /models': registered, 'GET /queue': [200, { journal: null }] })
  t.match(await run([nothing.url, '--event-timeout', '0.1']), { exitCode: 1, stdout: /GET \/queue knows no journal/ })

  const redis = await startRedis(t)
  await redis.cli('lpush', `${QUEUE}:dlq`, JSON.stringify({ original_message: '{"message_id":"id-1"}' }))
  t.match(await run([nothing.url, '--redis-url', redis.url]), { exitCode: 2, stdout: /^WARN event: id-1 was delivered, and a consumer made it a dead letter/m })
})

t.test('added checks: on the command line and in a file; keys go only where they belong', async (t) => {
  const service = await startFake(t, { ...healthy, 'GET /models': [200, { items: [] }] })
  const other = await startFake(t, { 'POST /predict': [200, { score: 0.93 }], 'GET /slow': [500, 'x'], 'GET /moved': [302, ''] })
  const file = join(await temporaryDirectory(t), 'checks.json')
  writeFileSync(file, JSON.stringify([
    { name: 'with a header', url: `${other.url}/predict`, body: { lead: 2 }, headers: { 'x-team': 'a' }, headers_from_env: { authorization: 'PREDICT_KEY' }, body_matches: '"score":\\s*0\\.\\d+' },
    { name: 'no variable', url: `${other.url}/predict`, headers_from_env: { authorization: 'NOT_SET' } }
  ]))
  const { stdout, exitCode } = await run([
    service.url, '--no-register', '--api-key-env', 'VERIFY_KEY', '--checks', file,
    '--check', 'own=/models -> 200 body~items', '--check', `predict=POST ${other.url}/predict {"lead": 1} -> 200 body~"score":0\\.\\d+`,
    '--check', `mismatch=POST ${other.url}/predict {} -> 200 body~^nothing$`, '--check', `status=${other.url}/slow`, '--check', `moved=GET ${other.url}/moved -> 302`, '--check', 'gone=http://127.0.0.1:1/x'
  ], { VERIFY_KEY: CANARY, PREDICT_KEY: `Bearer ${CANARY}-2` })
  t.equal(exitCode, 1)
  for (const line of ['ok   own: GET /models → 200', 'ok   predict: POST /predict → 200', 'FAIL mismatch: 200 {"score":0.93}: the body does not match ^nothing$', 'FAIL status: 500 x instead of 200', 'ok   moved: GET /moved → 302', 'FAIL gone: ', 'ok   with a header: POST /predict → 200', 'FAIL no variable: the variable NOT_SET']) {
    t.ok(stdout.split('\n').some((one) => one.startsWith(line)), line)
  }
  t.notMatch(stdout, CANARY)
  t.equal(service.requests.find(({ route }) => route === 'GET /models')?.headers['x-api-key'], CANARY)
  t.ok(other.requests.every(({ headers }) => headers['x-api-key'] === undefined), 'the key of the service stays there')
  t.match(other.requests.filter(({ route }) => route === 'POST /predict').at(-1), { body: '{"lead":2}', headers: { authorization: `Bearer ${CANARY}-2`, 'x-team': 'a', 'content-type': 'application/json' } })
})

t.test('drill, Redis frozen: noticed, registrations go on, recovered, events arrive', async (t) => {
  const { redis, service } = await startBoth(t)
  const pid = await pidOf(redis)
  const ran = await run([service.url, '--json', '--yes', '--drill-begin', `kill -STOP ${pid}`, '--drill-end', `kill -CONT ${pid}`], { REDIS_URL: redis.url })
  t.equal(ran.exitCode, 0, ran.stdout)
  const checks = checksOf(ran)
  for (const name of ['begin', 'outage noticed', 'POST /models 1', 'POST /models 3', 'GET /health', 'GET /health/ready', 'GET /health/alb', 'end', 'recovered', 'event 1', 'event 2', 'event 3']) t.equal(checks[`drill: ${name}`]?.verdict, 'pass', name)
  t.match(checks['drill: GET /health']?.detail, /^degraded: redis failed/)
  t.match(ran.stderr, /if this process dies, end it by hand: kill -CONT/)
  t.equal(await redis.cli('llen', QUEUE), 4, 'each event once')
})

t.test('drill, Redis killed and started empty: events arrive', async (t) => {
  const { redis, service } = await startBoth(t)
  const pid = await pidOf(redis)
  t.teardown(() => redis.cli('shutdown', 'nosave').catch(() => {}))
  const again = `redis-server --port ${redis.port} --bind 127.0.0.1 --save '' --dir ${redis.directory} --daemonize yes >/dev/null`
  const ran = await run([service.url, '--json', '--yes', '--drill-begin', `kill -9 ${pid}`, '--drill-end', again], { REDIS_URL: redis.url })
  t.equal(ran.exitCode, 0, ran.stdout)
  for (const number of [1, 2, 3]) t.match(checksOf(ran)[`drill: event ${number}`], { verdict: 'pass' })
})

t.test('a drill always ends the outage: not noticed, begin fails, a command hangs, interrupted', async (t) => {
  const { redis, service } = await startBoth(t)
  const directory = await temporaryDirectory(t)
  const drill = (name: string, begin: string, ...more: string[]) => [service.url, '--json', '--yes', '--drill-begin', begin, '--drill-end', `touch ${directory}/${name}`, '--drill-timeout', '1', ...more]
  const env = { REDIS_URL: redis.url }
  const unnoticed = await run(drill('unnoticed', 'true'), env)
  t.match(checksOf(unnoticed)['drill: outage noticed'], { verdict: 'fail', detail: /not degraded by Redis within 1 s: 200 healthy, redis ok/ })
  t.match(checksOf(await run(drill('fails', 'exit 3'), env)), { 'drill: begin': { verdict: 'fail', detail: 'ended with 3' }, 'drill: end': { verdict: 'pass' } })
  t.match(checksOf(await run(drill('hangs', 'sleep 60'), env))['drill: begin'], { verdict: 'fail', detail: 'not done within 1 s' })
  const { child, output, ended } = start(drill('interrupted', 'true', '--drill-timeout', '60'), env)
  await until(() => output.stderr.includes('outage begins'))
  child.kill('SIGINT')
  t.match(JSON.parse((await ended).stdout), { verdict: 'interrupted', exit_code: 1 })
  for (const name of ['unnoticed', 'fails', 'hangs', 'interrupted']) t.ok(existsSync(join(directory, name)), name)
  t.match(await run([service.url, '--drill-begin', 'true', '--drill-end', 'true'], env), { exitCode: 1, stdout: '', stderr: 'Without a terminal to ask, a drill needs --yes.\nNothing was done.\n' })
  const sick = await startFake(t, { ...healthy, 'POST /models': [500, 'x'] })
  t.match(checksOf(await run([sick.url, ...drill('sick', 'true').slice(1)])).drill, { verdict: 'skip' })
})

t.test('usage', async (t) => {
  t.match(await run(['--help']), { exitCode: 0, stdout: /breakwater verify URL/, stderr: '' })
  const file = join(await temporaryDirectory(t), 'checks.json')
  const cases: [string[], RegExp][] = [
    [[], /Give one URL/], [['ftp://x'], /no http or https URL/], [['http://u:p@x'], /must hold no credentials/], [['http://x', '--redis-url', 'redis://:secret@x'], /--redis-url must hold no credentials/],
    [['http://x', '--timeout', '0'], /--timeout must be/], [['http://x', '--event', 'maybe'], /--event must match/], [['http://x', '--drill-begin', 'x'], /both --drill-begin and --drill-end/],
    [['http://x', '--no-register', '--drill-begin', 'x', '--drill-end', 'y'], /does not go with --no-register/], [['http://x', '--check', 'nonsense'], /does not read as/],
    [['http://x', '--check', 'a=POST /x {bad}'], /is not JSON/], [['http://x', '--check', 'a=/x -> 200 body~('], /Invalid regular expression/], [['http://x', '--checks', '/nonexistent'], /ENOENT/], [['http://x', '--api-key', 'k'], /Unknown option/]
  ]
  for (const [content, wrong] of [
    ['{}', /must hold a list/], ['[1]', /must be an object/], ['[{"name":"a","url":"/","retries":1}]', /unknown key "retries"/], ['[{"url":"/"}]', /name must be/], ['[{"name":"a","url":"x"}]', /url must be/],
    ['[{"name":"a","url":"/","status":99}]', /status must be/], ['[{"name":"a","url":"/","timeout_ms":0}]', /timeout_ms/], ['[{"name":"a","url":"/","headers":{"a":1}}]', /must hold texts/], ['[', /is not JSON/]
  ] as const) {
    const own = `${file}-${cases.length}`
    writeFileSync(own, content)
    cases.push([['http://x', '--checks', own], wrong])
  }
  for (const batch of Array.from({ length: Math.ceil(cases.length / 4) }, (_, index) => cases.slice(index * 4, index * 4 + 4))) {
    await Promise.all(batch.map(async ([args, wrong]) => t.match(await run(args), { exitCode: 1, stdout: '', stderr: wrong }, args.join(' '))))
  }
})
