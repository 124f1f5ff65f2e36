import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { openSqliteStore } from '../../../services/registry/store.ts'
import { RedisTransport } from '../../../services/relay/transport/redis-transport.ts'
import { Relay } from '../../../services/relay/relay.ts'
import { buildEnvelope } from '../../../services/queue/envelope.ts'
import { silentLogger } from '../../../services/observability/logger.ts'
import { plainConnection } from '../../helpers/plain-connection.ts'
import { Random } from '../../helpers/random.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import { temporaryDirectory } from '../../helpers/temporary.ts'
import { until } from '../../helpers/until.ts'
import { AOF, PROCESSING, QUEUE, slot } from './queue-world.ts'

const fixtures = resolve(import.meta.dirname, '../../fixtures')
const SEED = 20261121
const EACH = 250
/** Longer than any outage here lasts: until then a live consumer keeps its lease. */
const VISIBILITY_MS = 2000

interface Worker {
  readonly kind: 'ours' | 'redis-py'
  readonly log: string
  killed: boolean
  kill (): Promise<void>
  steps (): string[]
}

const idsOf = (worker: Worker, kind: string) => worker.steps().filter((step) => step.startsWith(`${kind} `)).map((step) => step.split(' ')[1]!)
const inHand = (worker: Worker) => idsOf(worker, 'begin').length - idsOf(worker, 'end').length

t.test('R8.1 our consumers and redis-py consumers share a queue that our publisher and a redis-py producer fill, through kills, restarts and freezes', async (t) => {
  const python = ['/usr/bin/python3', 'python3'].find((name) => spawnSync(name, ['-c', 'import redis']).status === 0)
  if (python === undefined) return t.fail('no python3 with redis-py here: apt-get install python3-redis, or pip install redis')
  const random = new Random(SEED)
  const redis = await startRedis(t, { args: AOF })
  const directory = await temporaryDirectory(t)
  const workers: Worker[] = []

  function start (kind: Worker['kind'], ...extra: string[]): Worker {
    const log = `${directory}/${workers.length}-${kind}`
    const settings = { port: redis.port, queue: QUEUE, log, visibilityMs: VISIBILITY_MS, concurrency: 4, workMs: 40, dieAt: null, stopAt: null }
    const command = kind === 'ours'
      ? [process.execPath, `${fixtures}/consumer-process.ts`, JSON.stringify(settings)]
      : [python!, '-W', 'ignore', `${fixtures}/redis_py_worker.py`, redis.url, QUEUE, log, extra.length > 0 ? '5' : '30', ...extra]
    const child = spawn(command[0]!, command.slice(1), {
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: `${directory}/cache` },
      stdio: ['ignore', 'inherit', 'inherit']
    })
    const exited = once(child, 'exit')
    const worker: Worker = {
      kind,
      log,
      killed: false,
      async kill () {
        worker.killed = true
        child.kill('SIGKILL')
        await exited
      },
      steps: () => {
        try {
          return readFileSync(log, 'utf8').trim().split('\n')
        } catch {
          return []
        }
      }
    }
    t.teardown(() => worker.kill())
    workers.push(worker)
    return worker
  }
  const ready = (worker: Worker) => until(() => worker.steps().includes('ready'))

  const fleet = [start('ours'), start('ours'), start('redis-py'), start('redis-py')]
  await Promise.all(fleet.map(ready))

  const store = await openSqliteStore({ path: `${directory}/journal.db`, limits: { maxRows: 10_000, maxBytes: 10_000_000 } })
  const relay = new Relay({ journal: store.journal, transport: new RedisTransport(plainConnection(t, redis.port), QUEUE), logger: silentLogger, idleMs: 50 })
  t.teardown(async () => {
    await relay.stop()
    await store.close()
  })
  relay.start()
  const accepted: string[] = []
  async function publish (): Promise<void> {
    for (let number = 0; number < EACH; number++) {
      const model = `ours-${number % 5}`
      const { messageId, body } = buildEnvelope({
        model_id: `${model}/${number}/t`, token_symbol: 't', metric_name: 'auc', baseline_value: 1, current_value: 2, model_name: model, model_version: String(number)
      }, { correlationId: 'c' })
      await store.journal.append([{ key: model, body }])
      accepted.push(messageId)
      await delay(10)
    }
  }
  const producer = start('redis-py', 'produce', String(EACH), 'theirs')
  const producing = Promise.all([publish(), until(() => producer.steps().includes('finished'))])

  /** With a message in its hands, if it gets one soon. */
  async function killBusy (worker: Worker): Promise<void> {
    await until(() => inHand(worker) > 0, 3000).catch(() => {})
    await worker.kill()
  }

  const faults = [
    async () => {
      const place = random.below(2)
      await killBusy(fleet[place]!)
      fleet[place] = start('ours')
    },
    async () => {
      const place = 2 + random.below(2)
      await killBusy(fleet[place]!)
      fleet[place] = start('redis-py')
    },
    async () => {
      await redis.kill()
      await delay(random.below(200))
      await redis.restart(AOF)
    },
    async () => {
      redis.freeze()
      await delay(300 + random.below(300))
      redis.thaw()
    }
  ]
  for (let round = 0; round < 2; round++) {
    for (const fault of faults) {
      await delay(100 + random.below(200))
      await fault()
    }
  }
  await producing
  await until(async () => await redis.cli('exists', QUEUE, PROCESSING, slot('delayed')) === 0, 60_000)

  const theirs = producer.steps().filter((step) => /^(pushed|repeated) /.test(step))
  const repeated = new Set(theirs.filter((step) => step.startsWith('repeated ')).map((step) => step.split(' ')[1]!))
  const all = [...accepted, ...theirs.map((step) => step.split(' ')[1]!)]
  const consumers = workers.filter((worker) => worker !== producer)
  const endedBy = (kind: Worker['kind']) => consumers.filter((worker) => worker.kind === kind).flatMap((worker) => idsOf(worker, 'end'))
  /** In the hand of somebody who was killed. */
  const interrupted = new Set(consumers.filter(({ killed }) => killed).flatMap((worker) => idsOf(worker, 'begin')))
  const unfinished = consumers.filter(({ killed }) => killed).reduce((sum, worker) => sum + inHand(worker), 0)
  const times = Map.groupBy([...endedBy('ours'), ...endedBy('redis-py')], (id) => id)
  const ours = Map.groupBy(endedBy('ours'), (id) => id)

  t.equal(new Set(all).size, 2 * EACH)
  t.strictSame(all.filter((id) => !times.has(id)), [], 'none lost')
  t.strictSame([...times.keys()].filter((id) => !all.includes(id)), [], 'none made up')
  const twice = [...times].filter(([, ends]) => ends.length > 1).map(([id]) => id)
  t.strictSame(twice.filter((id) => !interrupted.has(id) && !repeated.has(id)), [], 'handled twice only where somebody was killed, or the producer repeated itself')
  // The two elements of a producer that repeated itself may be in two hands at the same time.
  const twiceByOurs = [...ours].filter(([id, ends]) => ends.length > 1 && !interrupted.has(id) && !repeated.has(id)).map(([id]) => id)
  t.strictSame(twiceByOurs, [], 'and by ours only where one of them was killed before it could remember')
  t.equal(await redis.cli('llen', `${QUEUE}:dlq`), 0)
  t.ok(unfinished > 0, 'somebody was killed at work')
  t.ok(endedBy('ours').length > EACH / 4 && endedBy('redis-py').length > EACH / 4, 'both had their share')
  t.comment(`seed ${SEED}: ${all.length} messages, ${endedBy('ours').length} by ours, ${endedBy('redis-py').length} by redis-py, ${unfinished} in the hands of the killed, ${twice.length} twice (${repeated.size} repeated by the producer)`)
})
