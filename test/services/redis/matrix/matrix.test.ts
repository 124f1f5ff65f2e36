import t from 'tap'
import { resolveRedisTarget } from '../../../../services/config/redis/redis-target.ts'
import { RedisGuard } from '../../../../services/redis/guard.ts'
import { startFaultProxy } from '../../../helpers/fault-proxy.ts'
import { startRedis } from '../../../helpers/redis-server.ts'
import { until } from '../../../helpers/until.ts'
import { expectations } from './expectations.ts'
import { faults } from './faults.ts'
import { allCells, nameOf, someCells, Worlds } from './matrix.ts'
import { situations } from './situations.ts'
import { topologies } from './worlds.ts'

/** Logic is judged strictly, time with air: `npm run failure-matrix` measures that, on a machine that does nothing else. */
const bounds = { commandTimeoutMs: 500, connectTimeoutMs: 1000, airMs: 250, recoveryMs: { short: 3000, long: 3000 }, closeMs: 1000 }
const OUTAGE_MS = 650
/** On a machine that is too busy to answer within the deadline, other errors come first; what was executed must be right at once. */
const OF_A_BUSY_MACHINE = /^(unexpected|slow|late): /
const ATTEMPTS = 3

t.test('I5 the cells that are run here stand for all: every fault, every situation, every topology', async (t) => {
  const cells = someCells()
  t.strictSame([...new Set(cells.map(({ fault }) => fault.name))], faults.map(({ name }) => name))
  for (const topology of topologies) {
    t.strictSame(new Set(cells.filter((cell) => cell.topology === topology).map(({ situation }) => situation.name)), new Set(situations.map(({ name }) => name)), topology)
  }
  t.strictSame(Object.keys(expectations).sort(), faults.map(({ name }) => name).sort(), 'and each fault has its expectation')
  t.equal(new Set(allCells().map(nameOf)).size, topologies.length * faults.length * situations.length)
})

t.test('R3.3 R3.8 a fault in the middle of something: nothing runs twice or after its failure, everything ends, says what it was, and works again', async (t) => {
  const worlds = new Worlds(t)
  const lanes = topologies.map(async (topology) => {
    for (const cell of someCells().filter((cell) => cell.topology === topology)) {
      let problems: string[] = []
      for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        ({ problems } = await worlds.run(cell, OUTAGE_MS, bounds))
        if (!problems.every((problem) => OF_A_BUSY_MACHINE.test(problem)) || problems.length === 0) break
      }
      t.strictSame(problems, [], nameOf(cell))
    }
  })
  await Promise.all(lanes)
})

t.test('R3.8 a subscriber whose own line is dead, and no other, finds out by itself', async (t) => {
  const server = await startRedis(t)
  const proxy = await startFaultProxy(t, server.port)
  const { target } = resolveRedisTarget({ REDIS_URL: server.url })
  const guard = new RedisGuard({ target: target!, commandTimeoutMs: 200 })
  t.teardown(() => guard.close())
  await until(() => guard.isHealthy())
  const subscriber = guard.client.duplicate({ port: proxy.port })
  const heard = new Set<string>()
  subscriber.on('message', (_channel, message) => heard.add(message))
  await subscriber.subscribe('news')
  proxy.afflict('blackhole')
  await until(async () => {
    await guard.client.publish('news', 'after')
    return heard.has('after')
  }, 12_000)
  t.ok(guard.isHealthy() && guard.breaker.history.length === 0, 'and nobody else is bothered')
})
