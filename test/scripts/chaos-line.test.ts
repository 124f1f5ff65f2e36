import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { startFaultProxy } from '../helpers/fault-proxy.ts'
import { runCommand, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

async function line (t: Test) {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const client = new Redis({ port: proxy.port, commandTimeout: 200, maxRetriesPerRequest: 0, retryStrategy: () => 10, autoResendUnfulfilledCommands: false })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  await until(() => client.status === 'ready')
  return { server, proxy, client }
}

t.test('R12.2 a dropped reply: executed, and the client does not know', async (t) => {
  const { server, proxy, client } = await line(t)
  proxy.dropReplies(1)
  await t.rejects(client.incr('a'))
  t.equal(await server.cli('get', 'a'), '1')
  await until(() => client.status === 'ready')
  t.equal(await client.incr('a'), 2, 'the next reply arrives')
})

t.test('R12.2 a stalled line delivers late, even what its speaker has given up and hung up on', async (t) => {
  const { server, proxy, client } = await line(t)
  proxy.fault = 'stall'
  await t.rejects(client.incr('a'), /timed out/)
  client.disconnect()
  await delay(50)
  t.equal(await server.cli('get', 'a'), null)
  proxy.fault = 'pass'
  await until(async () => await server.cli('get', 'a') === '1')
})

t.test('R12.2 either way can be deaf on its own, and a line can hang up or lead elsewhere', async (t) => {
  const { server, proxy, client } = await line(t)
  proxy.fault = 'swallow-requests'
  await t.rejects(client.incr('a'))
  t.equal(await server.cli('get', 'a'), null)
  proxy.fault = 'swallow-replies'
  await t.rejects(client.incr('a'))
  t.equal(await server.cli('get', 'a'), '1')
  proxy.fault = 'hang-up'
  await t.rejects(client.incr('a'))
  proxy.fault = 'pass'
  await until(() => client.status === 'ready')
  const other = await startRedis(t)
  proxy.switchTo(other.port)
  await until(() => client.incr('b').then((count) => count > 0, () => false))
  t.ok(Number(await other.cli('get', 'b')) > 0)
})

t.test('R12.2 a command that is held back arrives after the one that was sent in its place', async (t) => {
  const { server, proxy, client } = await line(t)
  proxy.holdConnections()
  await t.rejects(client.set('a', 'late'), /timed out/)
  client.disconnect()
  await runCommand({ port: proxy.port }, ['set', 'a', 'again'])
  t.equal(await server.cli('get', 'a'), 'again')
  proxy.release()
  await until(async () => await server.cli('get', 'a') === 'late')
})
