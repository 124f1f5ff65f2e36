import { Redis } from 'ioredis'
import t from 'tap'
import { readDepths } from '../../../services/queue/depths.ts'
import { startRedis } from '../../helpers/redis-server.ts'

t.test('R7.3 how many messages are where, in a list and in a stream', async t => {
  const server = await startRedis(t)
  const client = new Redis({ host: server.host, port: server.port })
  t.teardown(() => client.disconnect())
  const empty = { waiting: 0, processing: 0, delayed: 0, dead: 0 }
  t.strictSame(await readDepths(client, 'q'), empty)
  t.strictSame(await readDepths(client, 'q', 'stream'), empty)

  await client.lpush('q', 'a', 'b', 'c')
  await client.lpush('q:processing', 'd', 'e')
  await client.zadd('{q}:delayed', 1, 'f')
  await client.lpush('q:dlq', 'g')
  t.strictSame(await readDepths(client, 'q'), { waiting: 3, processing: 2, delayed: 1, dead: 1 })

  for (const body of ['a', 'b', 'c', 'd']) await client.xadd('{q}:stream', '*', 'body', body)
  await client.zadd('{q}:stream-delayed', 1, 'e', 2, 'f')
  for (const [group, count] of [['one', 1], ['two', 2]] as const) {
    await client.xgroup('CREATE', '{q}:stream', group, '0')
    await client.xreadgroup('GROUP', group, 'me', 'COUNT', count, 'STREAMS', '{q}:stream', '>')
  }
  t.strictSame(await readDepths(client, 'q', 'stream'), { waiting: 4, processing: 3, delayed: 2, dead: 1 })

  await client.set('{q}:delayed', 'no set')
  await t.rejects(readDepths(client, 'q'), /WRONGTYPE/, 'a key of another type is no depth')
})
