import t from 'tap'
import { inspect } from 'node:util'
import { resolveRedisTarget } from '../../../../services/config/redis/redis-target.ts'
import { RedisGuard } from '../../../../services/redis/guard.ts'
import type { GuardOptions } from '../../../../services/redis/guard.ts'
import { freePort } from '../../../helpers/redis-server.ts'
import type { Teardown } from '../../../helpers/redis-server.ts'
import { MASTER, startSentinels } from '../../../helpers/redis-sentinel.ts'
import type { SentinelWorld } from '../../../helpers/redis-sentinel.ts'
import { makeCertificates } from '../../../helpers/tls-certificates.ts'
import { until } from '../../../helpers/until.ts'
import { Load } from './load.ts'
import { COMMAND_TIMEOUT_MS, errorOf } from './worlds.ts'

/** For a machine with other things to do. */
const AIR_MS = 250

function sentinelGuard (t: Teardown, sentinels: { host: string, port: number }[], env: Record<string, string> = {}, options: Partial<GuardOptions> = {}): RedisGuard {
  const { target, errors } = resolveRedisTarget({ REDIS_SENTINELS: sentinels.map(({ host, port }) => `${host}:${port}`).join(), REDIS_SENTINEL_MASTER: MASTER, ...env })
  if (target === null) throw new Error(inspect(errors))
  const guard = new RedisGuard({ target, commandTimeoutMs: COMMAND_TIMEOUT_MS, connectTimeoutMs: 500, ...options })
  t.teardown(() => guard.close())
  return guard
}

const replicasOf = async (world: SentinelWorld) => Number(/connected_slaves:(\d)/.exec(await (await world.primary()).cli('info', 'replication'))![1])

t.test('R3.8 Sentinel: three failovers under load, each survived without a restart, and what a replica had confirmed is still there', async (t) => {
  const world = await startSentinels(t)
  const guard = sentinelGuard(t, world.sentinels)
  await until(() => guard.isHealthy())
  const subscriber = guard.client.duplicate()
  const heard: string[] = []
  subscriber.on('message', (_channel: string, message: string) => heard.push(message))
  await subscriber.subscribe('news')

  for (const failure of ['kill -9', 'freeze', 'SENTINEL FAILOVER'] as const) {
    await until(async () => await replicasOf(world) === 2)
    await guard.client.del('counter')
    // A failover that is asked for deposes a primary that lives, and which goes on for a moment with the replica that it still has.
    const load = new Load(guard, ['counter'], { replicas: failure === 'SENTINEL FAILOVER' ? 2 : 1, workersPerKey: 1 })
    t.teardown(() => load.stop())
    const [account] = load.accounts as [Load['accounts'][number]]
    await until(() => account.replicated > 30)
    const before = await world.primary()
    if (failure === 'kill -9') await before.kill()
    else if (failure === 'freeze') before.freeze()
    else await world.sentinels[0]!.cli('sentinel', 'failover', MASTER)
    const after = await until(async () => {
      const now = await world.primary()
      return now !== before ? now : null
    })
    const { replicated } = account
    await until(() => account.replicated > replicated + 20)
    await load.stop()
    t.ok(load.slowestMs < COMMAND_TIMEOUT_MS + AIR_MS, `${failure}: nobody waited longer than the deadline: ${load.slowestMs.toFixed(0)} ms`)
    const value = Number(await after.cli('get', 'counter'))
    t.ok(account.replicated <= value && value <= account.acknowledged + account.ambiguous, `${failure} ${JSON.stringify(account)}: ${value}`)
    if (failure !== 'SENTINEL FAILOVER') t.ok(account.refused + account.ambiguous > 0, JSON.stringify([...load.codes]))
    await until(async () => {
      await guard.client.publish('news', failure).catch(() => {})
      return heard.includes(failure)
    })
    if (failure === 'kill -9') await before.restart(['--replicaof', after.host, String(after.port)])
    before.thaw()
  }
  t.ok(guard.connectionEpoch >= 3)
  t.equal(guard.breaker.state, 'closed')

  await t.test('sentinels that die do not matter while the primary lives; without any there is no new connection, and it says why', async (t) => {
    await Promise.all(world.sentinels.map((sentinel) => sentinel.kill()))
    t.equal(await guard.client.ping(), 'PONG')
    guard.reconnect()
    await until(() => guard.lastError?.code === 'SENTINEL_ECONNREFUSED')
    t.match(await errorOf(guard.client.ping()), { notApplied: true, kind: 'transport' })
    await world.sentinels[1]!.restart()
    await until(() => guard.isHealthy())
    t.pass('one sentinel is enough to be told')
  })
})

t.test('R3.8 Sentinel with TLS and passwords of its own; a wrong one, an unknown master and no sentinel are told apart', async (t) => {
  const { caFile, certFile, keyFile, ca } = await makeCertificates(t)
  const world = await startSentinels(t, { server: { tls: { caFile, certFile, keyFile }, password: 's3cret-redis' }, sentinelPassword: 's3cret-sentinel' })
  const env = { REDIS_TLS_ENABLED: 'true', REDIS_AUTH_TOKEN: 's3cret-redis' }
  const tls = { tls: { ca } }
  const right = sentinelGuard(t, world.sentinels, { ...env, REDIS_SENTINEL_PASSWORD: 's3cret-sentinel' }, tls)
  await until(() => right.isHealthy())
  t.equal(await right.client.set('a', 1), 'OK')
  t.match(await right.probe(), { role: 'master' })
  t.equal(await right.spawn('worker').client.duplicate().get('a'), '1')

  const cases: [string, RedisGuard, object][] = [
    ['wrong password', sentinelGuard(t, world.sentinels, { ...env, REDIS_SENTINEL_PASSWORD: 's3cret-wrong' }, tls), { kind: 'auth', code: 'SENTINEL_WRONGPASS' }],
    ['no password', sentinelGuard(t, world.sentinels, env, tls), { kind: 'auth', code: 'SENTINEL_NOAUTH' }],
    ['unknown master', sentinelGuard(t, world.sentinels, { ...env, REDIS_SENTINEL_PASSWORD: 's3cret-sentinel', REDIS_SENTINEL_MASTER: 'other' }, tls), { kind: 'configuration', code: 'NO_SUCH_MASTER' }],
    ['untrusted certificate', sentinelGuard(t, world.sentinels, { ...env, REDIS_SENTINEL_PASSWORD: 's3cret-sentinel' }), { kind: 'configuration' }],
    ['nobody there', sentinelGuard(t, [{ host: '127.0.0.1', port: await freePort() }]), { kind: 'transport', code: 'SENTINEL_ECONNREFUSED' }]
  ]
  for (const [title, guard, expected] of cases) {
    await until(() => guard.lastError !== null)
    t.match(guard.lastError, expected, title)
    const error = await errorOf(guard.client.get('a'))
    t.match(error, { notApplied: true, code: /^FST_BRK_(REDIS_NOT_CONNECTED|CIRCUIT_OPEN)$/ })
    t.notMatch(inspect([error, guard.lastError, guard.state, guard.client], { depth: 6, showHidden: true }), /s3cret/, 'I6')
    const startedAt = performance.now()
    await guard.close()
    t.ok(performance.now() - startedAt < 500 + 100)
  }
})
