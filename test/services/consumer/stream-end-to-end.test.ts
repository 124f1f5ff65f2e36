import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { Cluster, Redis } from 'ioredis'
import t from 'tap'
import { Consumer } from '../../../services/consumer/consumer.ts'
import { StreamSource } from '../../../services/consumer/stream/stream-source.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { buildEnvelope } from '../../../services/queue/envelope.ts'
import { Relay } from '../../../services/relay/relay.ts'
import { StreamTransport } from '../../../services/relay/transport/stream-transport.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { plainConnection } from '../../helpers/plain-connection.ts'
import { startRedisCluster } from '../../helpers/redis-cluster.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

const QUEUE = 'hokusai:model_ready_queue'
const STREAM = `{${QUEUE}}:stream`

t.setTimeout(120_000)

function connection (t: Teardown, server: RedisServer): Redis {
  const client = new Redis({ port: server.port, enableOfflineQueue: false, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, retryStrategy: () => 20 })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  return client
}

function envelope (model: string, version: number): string {
  return buildEnvelope({
    model_id: `${model}/${version}/hok`,
    token_symbol: 'hok',
    metric_name: 'auc',
    baseline_value: 0.5,
    current_value: 0.75,
    model_name: model,
    model_version: String(version)
  }, { correlationId: 'c' }).body
}

async function start (t: Teardown, maxLength: number) {
  const server = await startRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const journal = new SqliteJournal(new InlineEngine(), 'none')
  const transport = new StreamTransport(plainConnection(t, server.port), QUEUE, { maxLength })
  const relay = new Relay({ journal, transport, logger: memoryLogger(), idleMs: 20, checkMs: 50 })
  t.teardown(() => relay.stop())
  relay.start()
  return { server, journal, relay, transport }
}

t.test('R8.1 journal, relay, stream and consumer through a kill of Redis: every message is handled, the stream stays within its limit', async (t) => {
  const { server, journal, relay, transport } = await start(t, 50)
  const models = ['churn', 'fraud', 'price']
  const handled = new Map<string, string[]>(models.map((model) => [model, []]))
  const once = new Set<string>()
  let failed = 0
  const source = () => new StreamSource({ client: connection(t, server), blocking: connection(t, server), queue: QUEUE, visibilityMs: 1000, commandTimeoutMs: 500 })
  const consumers = [source(), source()].map((source) => new Consumer({
    source,
    concurrency: 4,
    waitMs: 50,
    backoffBaseMs: 20,
    backoffCapMs: 20,
    stopTimeoutMs: 2000,
    handler: ({ payload }) => {
      const { model_name: model, model_version: version } = payload as { model_name: string, model_version: string }
      if (model === 'price' && version === '7' && failed++ === 0) throw new Error('not today')
      const first = !once.has(`${model}/${version}`)
      once.add(`${model}/${version}`)
      if (first) handled.get(model)!.push(version)
    }
  }))
  const running = consumers.map((consumer) => consumer.run())
  for (let version = 1; version <= 100; version++) {
    await journal.append(models.map((model) => ({ key: model, body: envelope(model, version) })))
    if (version === 40) await until(() => once.size > 30)
    if (version === 50) await server.kill()
    if (version === 80) await server.restart()
  }
  await until(() => once.size === 300)
  await until(async () => (await server.cli('xpending', STREAM, 'breakwater'))[0] === 0)
  for (const consumer of consumers) await consumer.stop()
  await Promise.all(running)
  const wanted = Array.from({ length: 100 }, (_, index) => String(index + 1))
  for (const model of models) t.strictSame(handled.get(model)!.toSorted((a, b) => Number(a) - Number(b)), wanted, model)
  t.ok(failed >= 1)
  t.ok(await server.cli('xlen', STREAM) <= 51, 'no longer than its limit and one retry')
  t.ok(transport.stats.trimmed >= 249)
  t.match(relay.stats, { lost: 0, emptied: 0 })
})

t.test('the reader of docs/streams.md in Python drains what we publish', async (t) => {
  const python = ['/usr/bin/python3', 'python3'].find((name) => spawnSync(name, ['-c', 'import redis']).status === 0)
  if (python === undefined) return t.fail('no python3 with redis-py here: apt-get install python3-redis, or pip install redis')
  const { server, journal } = await start(t, 0)
  const document = await readFile(new URL('../../../docs/streams.md', import.meta.url), 'utf8')
  const [, snippet] = /```python\n([\s\S]*?)```/.exec(document)!
  await journal.append([1, 2, 3].map((version) => ({ key: 'churn', body: envelope('churn', version) })))
  await until(async () => await server.cli('xlen', STREAM) === 3)
  const client = connection(t, server)
  await until(() => client.status === 'ready')
  // Left behind by one of ours: the Python reader claims it.
  const leaving = new StreamSource({ client, blocking: connection(t, server), queue: QUEUE })
  await leaving.handBack(await leaving.take(1, 0))

  const program = `import json\ndef handle(message):\n    print(message["payload"]["model_version"], flush=True)\n${snippet}`
  const child = spawn(python, ['-c', program], { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, REDIS_URL: server.url } })
  t.teardown(() => child.kill('SIGKILL'))
  const versions: string[] = []
  createInterface(child.stdout).on('line', (line) => versions.push(line))
  await until(() => versions.length === 3)
  t.strictSame(versions, ['1', '2', '3'])
  await until(async () => (await server.cli('xpending', STREAM, 'breakwater'))[0] === 0)
  child.kill('SIGKILL')
  await once(child, 'exit')
})

t.test('in a cluster: journal, relay, stream, retries and dead letters, all in the slot of the queue', async (t) => {
  const cluster = await startRedisCluster(t)
  const connect = async () => {
    const client = new Cluster(cluster.nodes.map(({ host, port }) => ({ host, port })), {
      enableOfflineQueue: false, redisOptions: { maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false }
    })
    client.on('error', () => {})
    t.teardown(() => client.disconnect())
    await once(client, 'ready')
    return client
  }
  const client = await connect()
  const journal = new SqliteJournal(new InlineEngine(), 'none')
  const transport = new StreamTransport({ client, connectionEpoch: 1, isHealthy: () => true, onReady: () => () => {} }, QUEUE, { maxLength: 20 })
  const relay = new Relay({ journal, transport, logger: memoryLogger(), idleMs: 20, checkMs: 50 })
  t.teardown(() => relay.stop())
  relay.start()
  await journal.append(Array.from({ length: 60 }, (_, index) => ({ key: 'model', body: `m${index + 1}` })))

  const source = new StreamSource({ client, blocking: await connect(), queue: QUEUE, cluster: true, visibilityMs: 60_000 })
  const read: string[] = []
  const acknowledge = async () => {
    for (const delivery of await source.take(7, 50)) {
      read.push(delivery.body.toString())
      t.ok(await source.acknowledge(delivery))
    }
  }
  await until(async () => {
    await acknowledge()
    return read.length >= 60
  })
  t.strictSame(read, Array.from({ length: 60 }, (_, index) => `m${index + 1}`))

  await journal.append(['a', 'b', 'c'].map((body) => ({ key: 'model', body })))
  const [a, b, c] = await until(async () => {
    const taken = await source.take(3, 500)
    if (taken.length === 3) return taken
    await source.handBack(taken)
  })
  t.strictSame(await source.renew([a!, b!, c!]), new Set([a, b, c].map((delivery) => delivery!.receipt)))
  t.ok(await source.bury(a!, Buffer.from('letter')))
  t.ok(await source.retry(b!, Buffer.from('b again'), 60_000))
  t.equal(await source.handBack([c!]), 1)
  t.match(await source.recover(), { abandoned: 0, due: 0 })
  const { master } = await cluster.shardOf(QUEUE)
  t.strictSame((await master.cli('keys', '*')).sort(), ['dlq', 'stream', 'stream-delayed', 'stream-watermark'].map((name) => `{${QUEUE}}:${name}`))
  await source.close()
})
