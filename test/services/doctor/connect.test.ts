import { readFile, writeFile } from 'node:fs/promises'
import { connect as openConnection } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { examineConnection } from '../../../services/doctor/connect/connect.ts'
import type { ConnectReport } from '../../../services/doctor/connect/connect.ts'
import { connectionAsText } from '../../../services/doctor/connect/text.ts'
import { Session } from '../../../services/doctor/connect/session.ts'
import { neededPermissions } from '../../../services/doctor/connect/permissions.ts'
import { tryPermissions } from '../../../services/doctor/connect/try-permissions.ts'
import { resolveRedisTarget } from '../../../services/config/redis/redis-target.ts'
import { startFaultProxy } from '../../helpers/fault-proxy.ts'
import { MASTER, startSentinels } from '../../helpers/redis-sentinel.ts'
import { freePort, startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer } from '../../helpers/redis-server.ts'
import { startSilentServer } from '../../helpers/silent-server.ts'
import { makeCertificates } from '../../helpers/tls-certificates.ts'
import { temporaryDirectory } from '../../helpers/temporary.ts'
import { until } from '../../helpers/until.ts'
import { CANARY } from './world.ts'

const QUEUE = 'hokusai:model_ready_queue'

/** The step that failed, or `good`; and that everything after it was skipped, in bounded time, without a secret. */
async function connect (t: Test, env: Record<string, string>): Promise<ConnectReport & { failed: string, detail: string, remedy: string }> {
  const startedAt = performance.now()
  const report = await examineConnection(env)
  t.ok(performance.now() - startedAt < 15_000, 'bounded')
  t.notMatch(JSON.stringify(report) + connectionAsText(report), CANARY, 'no secret')
  const index = report.steps.findIndex(({ state }) => state === 'failed')
  const step = report.steps[index]
  t.ok(report.steps.slice(index + 1).every(({ state }) => step === undefined || state === 'skipped'), 'what comes after is skipped')
  t.ok(report.steps.every(({ state, ms }) => (state === 'skipped') === (ms === null)), 'each is timed')
  t.equal(report.valid, step === undefined)
  return { ...report, failed: step?.name ?? 'good', detail: step?.detail ?? '', remedy: step?.remedy ?? '' }
}

const stateOf = ({ steps }: ConnectReport, name: string) => steps.find((step) => step.name === name)

t.test('R11.2 a good connection: every step in its order, and nothing is left behind', async t => {
  const server = await startRedis(t)
  const report = await connect(t, { REDIS_URL: server.url })
  t.strictSame(report.steps.map(({ name, state }) => `${name} ${state}`), ['configuration ok', 'dns ok', 'tcp ok', 'tls skipped', 'auth ok', 'ping ok', 'role ok', 'cluster ok', 'permissions ok'])
  t.ok(report.permissions.length > 25 && report.permissions.every(({ allowed }) => allowed === true))
  t.equal(await server.cli('dbsize'), 0)
  t.match(connectionAsText(report), /role +ok +[\d.]+ ms {2}primary\n/)
  const byName = await connect(t, { REDIS_URL: `redis://localhost:${server.port}` })
  t.match(stateOf(byName, 'dns')?.detail, /127\.0\.0\.1|::1/)
  const socket = await connect(t, { REDIS_URL: `unix://${server.socketPath}` })
  t.match([socket.failed, stateOf(socket, 'dns')?.state], ['good', 'skipped'])
})

t.test('R11.2 configuration: invalid, disabled, a certificate authority that cannot be read', async t => {
  t.match(await connect(t, { REDIS_URL: `redis://:${CANARY}@a b` }), { failed: 'configuration', remedy: /host contains white space/ })
  t.match(await connect(t, {}), { failed: 'configuration', detail: /disabled/ })
  t.match(await connect(t, { REDIS_URL: 'rediss://127.0.0.1', REDIS_TLS_CA_FILE: '/no/such/ca.pem' }), { failed: 'configuration', detail: /ENOENT/ })
})

t.test('R11.2 DNS and TCP: unknown host, refused port, packets that are dropped', async t => {
  t.match(await connect(t, { REDIS_URL: 'redis://redis.invalid', REDIS_CONNECT_TIMEOUT_MS: '3000' }), { failed: 'dns', detail: /redis\.invalid/ })
  t.match(await connect(t, { REDIS_URL: `redis://127.0.0.1:${await freePort()}` }), { failed: 'tcp', detail: /ECONNREFUSED/, remedy: /Nothing listens/ })
  t.match(await connect(t, { REDIS_URL: 'unix:///no/such/redis.sock' }), { failed: 'tcp', detail: /ENOENT/ })
  // The kernel drops what comes when the backlog is full, as a security group does.
  const server = await startRedis(t, { args: ['--tcp-backlog', '1'] })
  server.freeze()
  const waiting = Array.from({ length: 8 }, () => openConnection({ host: '127.0.0.1', port: server.port }).on('error', () => {}))
  await until(() => waiting.some((socket) => socket.readyState === 'open'))
  t.match(await connect(t, { REDIS_URL: server.url }), { failed: 'tcp', detail: /does not answer within 1000 ms/, remedy: /security group/ })
  for (const socket of waiting) socket.destroy()
  server.thaw()
})

t.test('R11.2 a frozen server, and one that never answers', async t => {
  const server = await startRedis(t)
  server.freeze()
  t.match(await connect(t, { REDIS_URL: server.url }), { failed: 'auth', detail: /timeout: HANDSHAKE_TIMEOUT/ })
  t.match(await connect(t, { REDIS_URL: server.url.replace('redis:', 'rediss:') }), { failed: 'tls', detail: /handshake did not end/ })
  server.thaw()
  t.match(await connect(t, { REDIS_URL: `redis://127.0.0.1:${await startSilentServer(t, 'hang-up')}` }), { failed: 'auth', detail: /transport/ })
})

t.test('R11.2 frozen after the connection: the deadline of a command', async t => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const target = resolveRedisTarget({ REDIS_URL: `redis://127.0.0.1:${proxy.port}` }).target!
  const session = new Session({ target, timeoutMs: 1000, ca: undefined }, 300)
  t.teardown(() => session.close())
  await session.open()
  proxy.fault = 'blackhole'
  await t.rejects(session.call('ping'), { code: 'FST_BRK_REDIS_CONNECTION', reason: 'PING_TIMEOUT' })
})

t.test('R11.2 credentials: missing, wrong, right', async t => {
  const server = await startRedis(t, { args: ['--requirepass', `${CANARY}-right`], client: { password: `${CANARY}-right` } })
  t.match(await connect(t, { REDIS_URL: server.url }), { failed: 'auth', detail: /wants a token \(NOAUTH\)/, remedy: /REDIS_AUTH_TOKEN/ })
  t.match(await connect(t, { REDIS_URL: server.url, REDIS_AUTH_TOKEN: `${CANARY}-wrong` }), { failed: 'auth', detail: /auth: WRONGPASS/ })
  t.match(await connect(t, { REDIS_URL: server.url, REDIS_AUTH_TOKEN: `${CANARY}-right` }), { failed: 'good' })
})

t.test('R11.2 TLS: right, unknown authority, wrong authority, another name, and either side without it', async t => {
  const { certFile, keyFile, caFile } = await makeCertificates(t)
  const other = await makeCertificates(t)
  const server = await startRedis(t, { tls: { certFile, keyFile, caFile } })
  const good = await connect(t, { REDIS_URL: server.url, REDIS_TLS_CA_FILE: caFile })
  t.equal(good.failed, 'good')
  t.match(stateOf(good, 'tls'), { state: 'warning', detail: /TLSv1\.[23], certificate of 127\.0\.0\.1, valid for 1 more days/ }, 'the certificate of the test ends soon')
  t.match(await connect(t, { REDIS_URL: server.url }), { failed: 'tls', remedy: /REDIS_TLS_CA_FILE/ })
  t.match(await connect(t, { REDIS_URL: server.url, REDIS_TLS_CA_FILE: other.caFile }), { failed: 'tls', detail: /SIGNATURE|UNABLE|SELF_SIGNED/ })
  t.match(await connect(t, { REDIS_URL: server.url.replace('127.0.0.1', 'localhost'), REDIS_TLS_CA_FILE: caFile }), { failed: 'tls', detail: /ALTNAME/, remedy: /another name/ })
  t.match(await connect(t, { REDIS_URL: server.url.replace('rediss:', 'redis:') }), { failed: 'auth', detail: /the server speaks TLS/, remedy: /rediss:/ })
  const plain = await startRedis(t)
  t.match(await connect(t, { REDIS_URL: plain.url.replace('redis:', 'rediss:') }), { failed: 'tls', detail: 'the server speaks no TLS' })
})

t.test('R11.2 role: a replica, and a user that may not ask', async t => {
  const replica = await startRedis(t, { args: ['--replicaof', '127.0.0.1', '1'] })
  t.match(await connect(t, { REDIS_URL: replica.url }), { failed: 'role', detail: /READONLY/, remedy: /primary endpoint/ })
  const server = await startRedis(t)
  await server.cli('acl', 'setuser', 'app', 'on', '>x', '~*', '&*', '+@all', '-role', '-info', '-acl')
  const report = await connect(t, { REDIS_URL: server.url, REDIS_USERNAME: 'app', REDIS_AUTH_TOKEN: 'x' })
  t.match([report.failed, stateOf(report, 'role')?.state, stateOf(report, 'auth')?.detail], ['good', 'warning', 'user app, with a token'])
})

t.test('R11.2 cluster: found where nobody said so, missing where somebody did', async t => {
  const server = await startRedis(t, { args: ['--cluster-enabled', 'yes'] })
  t.match(await connect(t, { REDIS_URL: server.url }), { failed: 'cluster', detail: /REDIS_CLUSTER is not true/ })
  t.match(await connect(t, { REDIS_URL: server.url, REDIS_CLUSTER: 'true' }), { failed: 'cluster', detail: /state of the cluster is fail/ })
  await server.cli('cluster', 'addslotsrange', 0, 16383)
  await until(async () => String(await server.cli('cluster', 'info')).includes('cluster_state:ok'))
  const report = await connect(t, { REDIS_URL: server.url, REDIS_CLUSTER: 'true' })
  t.match([report.failed, stateOf(report, 'cluster')?.detail, stateOf(report, 'permissions')?.state], ['good', 'part of a cluster', 'ok'])
  const single = await startRedis(t)
  t.match(await connect(t, { REDIS_URL: single.url, REDIS_CLUSTER: 'true' }), { failed: 'cluster', detail: /no part of a cluster/ })
})

t.test('R11.2 sentinels: they say where the primary is, or why not', async t => {
  const world = await startSentinels(t, { sentinelPassword: `${CANARY}-sentinel` })
  const env = { REDIS_SENTINELS: world.sentinels.map(({ host, port }) => `${host}:${port}`).join(','), REDIS_SENTINEL_MASTER: MASTER, REDIS_SENTINEL_PASSWORD: `${CANARY}-sentinel` }
  const good = await connect(t, env)
  const { port } = await world.primary()
  t.match([good.failed, stateOf(good, 'sentinel')?.detail, stateOf(good, 'role')?.detail], ['good', `the primary is 127.0.0.1 port ${port}`, 'primary'])
  t.match(await connect(t, { ...env, REDIS_SENTINEL_MASTER: 'nobody' }), { failed: 'sentinel', detail: /NO_SUCH_MASTER/ })
  t.match(await connect(t, { ...env, REDIS_SENTINEL_PASSWORD: `${CANARY}-wrong` }), { failed: 'sentinel', detail: /auth: SENTINEL_WRONGPASS/ })
  t.match(await connect(t, { ...env, REDIS_SENTINELS: `127.0.0.1:${await freePort()}` }), { failed: 'sentinel', detail: /transport: SENTINEL_ECONNREFUSED/ })
})

async function withUser (t: Test, server: RedisServer, ...rules: string[]) {
  await server.cli('acl', 'setuser', 'app', 'reset', 'on', '>x', ...rules)
  const report = await connect(t, { REDIS_URL: server.url, REDIS_USERNAME: 'app', REDIS_AUTH_TOKEN: 'x', QUEUE_NAME: QUEUE })
  return { ...report, permissions: stateOf(report, 'permissions')! }
}

t.test('R11.2 permissions: the failing ones are named, commands, keys and channels alike', async t => {
  const server = await startRedis(t)
  const own = [`~${QUEUE}`, `~${QUEUE}:*`, `~{${QUEUE}}:*`, `&${QUEUE}:pubsub`]
  t.match((await withUser(t, server, ...own, '+@all', '-@dangerous', '+role', '+info')).permissions, { state: 'ok' })
  t.match((await withUser(t, server, ...own, '+@all', '-lpush')).permissions, { state: 'failed', detail: /LPUSH hokusai:model_ready_queue \(publisher\), LPUSH hokusai:model_ready_queue:dlq \(consumer\)$/ })
  t.match((await withUser(t, server, ...own.slice(0, 2), own[3]!, '+@all')).permissions, { state: 'failed', detail: /HSET \{hokusai:model_ready_queue\}:watermark \(publisher\)/ })
  t.match((await withUser(t, server, ...own.slice(0, 3), '+@all')).permissions, { state: 'warning', detail: /may publish, but not: PUBLISH hokusai:model_ready_queue:pubsub \(notifications\)$/ })
  const publisher = ['evalsha', 'eval', 'script', 'hget', 'hset', 'hmget', 'hdel', 'lpush', 'publish', 'ping', 'role', 'llen', 'zcard', 'info'].map((name) => `+${name}`)
  t.match((await withUser(t, server, ...own, ...publisher)).permissions, { state: 'warning', detail: /BLMOVE hokusai:model_ready_queue \(consumer\)/, remedy: /another user consumes/ })
  t.equal((await withUser(t, server, ...own, '+@all', '-eval', '-evalsha')).permissions.state, 'failed')
  t.equal(await server.cli('dbsize'), 0, 'nothing is left behind')
})

t.test('R11.2 permissions where the server cannot tell: they are tried, and what cannot be is not alleged', async t => {
  const server = await startRedis(t)
  const attempt = async (...rules: string[]) => {
    await server.cli('acl', 'setuser', 'app', 'reset', 'on', '>x', ...rules)
    const { target } = resolveRedisTarget({ REDIS_URL: `redis://app:x@127.0.0.1:${server.port}` })
    const session = new Session({ target: target!, timeoutMs: 1000, ca: undefined }, 1000)
    try {
      await session.open()
      return await tryPermissions(session, QUEUE, neededPermissions(QUEUE, 'list', false))
    } finally {
      await session.close()
    }
  }
  const find = (results: Awaited<ReturnType<typeof attempt>>, command: string) => results.find((result) => result.command === command)?.allowed
  // Without EVAL there is no asking, only trying.
  const tried = await attempt('~*', '&*', '+@all', '-eval', '-blmove')
  t.strictSame(['EVAL', 'LPUSH', 'BLMOVE', 'ZADD', 'PUBLISH', 'SET'].map((command) => find(tried, command)), [false, true, false, true, null, null])
  const narrow = await attempt(`~${QUEUE}`, '&*', '+@all', '-eval')
  t.equal(find(narrow, 'LPUSH'), null, 'a user of the queue alone may not touch other keys; that says nothing about the queue')
  t.equal(await server.cli('dbsize'), 0, 'nothing is left behind')
})

t.test('R11.2 the list of permissions is what the scripts really send', async t => {
  const sources = { list: ['services/relay/transport/list-scripts.ts', 'services/consumer/list/list-scripts.ts', 'services/consumer/list/recover-scripts.ts'], stream: ['services/relay/transport/stream-scripts.ts', 'services/consumer/stream/stream-scripts.ts'] }
  /** Only to repair or to look: without them a message is delivered all the same. */
  const rest = new Set(['PUBSUB', 'LPOP', 'DEL', 'HSCAN'])
  for (const transport of ['list', 'stream'] as const) {
    const listed = new Set(neededPermissions(QUEUE, transport, false).map(({ command }) => command))
    for (const file of sources[transport]) {
      const text = await readFile(join(import.meta.dirname, '../../..', file), 'utf8')
      const used = new Set([...text.matchAll(/redis\.p?call\('([A-Z]+)'/g)].map(([, command]) => command!))
      for (const command of used) t.ok(listed.has(command) || rest.has(command), `${transport}: ${command}`)
    }
  }
})

t.test('R11.2 the stream transport: its own commands', async t => {
  const server = await startRedis(t)
  const report = await connect(t, { REDIS_URL: server.url, QUEUE_TRANSPORT: 'stream' })
  t.match(stateOf(report, 'permissions'), { state: 'ok' })
  await server.cli('acl', 'setuser', 'app', 'reset', 'on', '>x', '~*', '&*', '+@all', '-xadd', '-xreadgroup')
  t.match(stateOf(await connect(t, { REDIS_URL: server.url, QUEUE_TRANSPORT: 'stream', REDIS_USERNAME: 'app', REDIS_AUTH_TOKEN: 'x' }), 'permissions'), { state: 'failed', detail: /XADD .*XREADGROUP/ })
})

t.test('a certificate authority that is no certificate', async t => {
  const file = join(await temporaryDirectory(t), 'ca.pem')
  await writeFile(file, 'no certificate')
  const { certFile, keyFile, caFile } = await makeCertificates(t)
  const server = await startRedis(t, { tls: { certFile, keyFile, caFile } })
  t.match(await connect(t, { REDIS_URL: server.url, REDIS_TLS_CA_FILE: file }), { failed: 'tls' })
})
