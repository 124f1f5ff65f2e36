import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { Consumer } from '../../../services/consumer/consumer.ts'
import { RedisDeduplication } from '../../../services/consumer/deduplication.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import { temporaryDirectory } from '../../helpers/temporary.ts'
import { until } from '../../helpers/until.ts'
import { connection, envelope, listSource } from './queue-world.ts'

const fixture = resolve(import.meta.dirname, '../../fixtures/consumer-process.ts')
const VISIBILITY_MS = 700
const AT_ONCE = 6
const VERSIONS = ['good', 'fails once', 'fails', 'unfinished'] as const

t.test('R8.1 kill -9 at any step loses nothing, and what was acknowledged is not handled again', async (t) => {
  const redis = await startRedis(t)
  const directory = await temporaryDirectory(t)

  /** One life of a consumer that dies at a step, and what another one makes of what is left. */
  async function life (name: string, dieAt: string | null) {
    const queue = `queue ${name}`
    const log = `${directory}/${name}`
    const ids = new Map<string, string>()
    const bodies = VERSIONS.map((version) => {
      const body = envelope(version, version, version === 'fails' ? { max_retries: 0 } : {})
      ids.set(version, JSON.parse(body).message_id)
      return body
    })
    const client = await connection(t, redis.port)
    await client.lpush(queue, ...bodies.slice(0, 3), 'malformed', bodies[3]!)
    const settings = { port: redis.port, queue, log, visibilityMs: VISIBILITY_MS, concurrency: 1, workMs: 0, dieAt, stopAt: 'unfinished' }
    const child = spawn(process.execPath, [fixture, JSON.stringify(settings)], {
      env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: `${directory}/cache` },
      stdio: ['ignore', 'inherit', 'inherit']
    })
    t.teardown(() => child.kill('SIGKILL'))
    const [code, signal] = await once(child, 'exit')
    const steps = readFileSync(log, 'utf8').trim().split('\n')
    const remembered = new Set<string>()
    for (const id of ids.values()) if (await client.exists(`{${queue}}:deduplication:${id}`) === 1) remembered.add(id)

    const ended = steps.filter((step) => step.startsWith('end ')).map((step) => step.slice(4))
    const again: string[] = []
    const deduplication = new RedisDeduplication({ client, queue })
    const consumer = new Consumer({
      source: await listSource(t, redis, { queue, visibilityMs: VISIBILITY_MS }),
      deduplication,
      waitMs: 50,
      backoffBaseMs: 1,
      handler: (message) => {
        if (message.payload.model_version === 'fails') throw new Error('told to')
        again.push(message.message_id)
      }
    })
    void consumer.run()
    await until(async () => await client.exists(queue, `${queue}:processing`, `{${queue}}:delayed`) === 0)
    await consumer.stop()
    const letters = (await client.lrange(`${queue}:dlq`, 0, -1)).map((letter) => JSON.parse(letter).original_message)
    const leftovers = await client.exists(`{${queue}}:claims`, `{${queue}}:first-seen`)
    client.disconnect()
    return { ids, code, signal, steps, remembered, ended, again, letters, leftovers, bodies }
  }

  function account (name: string, { ids, remembered, ended, again, letters, leftovers, bodies }: Awaited<ReturnType<typeof life>>) {
    const problems: string[] = []
    for (const version of ['good', 'fails once', 'unfinished']) {
      const id = ids.get(version)!
      const times = [...ended, ...again].filter((other) => other === id).length
      if (times === 0) problems.push(`${version} was lost`)
      if (times > 1 && remembered.has(id)) problems.push(`${version} was handled again after it was remembered`)
      if (again.filter((other) => other === id).length > 1) problems.push(`${version} was handled twice by one consumer`)
    }
    if (letters.filter((letter) => letter === 'malformed').length !== 1) problems.push('not one dead letter for the malformed element')
    if (letters.filter((letter) => letter === bodies[2]).length !== 1) problems.push('not one dead letter for the message that fails')
    if (letters.length !== 2) problems.push(`${letters.length} dead letters`)
    if (leftovers !== 0) problems.push('claims were left')
    t.strictSame(problems, [], name)
  }

  const whole = await life('no death', null)
  t.equal(whole.code, 0)
  account('no death', whole)
  t.strictSame(whole.again, [whole.ids.get('unfinished')], 'the unfinished one was handed back')

  // What happens between two commands leaves no trace outside the process, but for the handler's: so these are all the states there are.
  const points = ['command', 'begin', 'end'].flatMap((kind) =>
    whole.steps.filter((step) => step.startsWith(`${kind} `)).map((_step, index) => `${kind} ${index + 1}`))
  t.ok(points.length > 25, `${points.length} steps`)
  for (let from = 0; from < points.length; from += AT_ONCE) {
    await Promise.all(points.slice(from, from + AT_ONCE).map(async (point) => {
      const outcome = await life(point, point)
      // A run may need fewer commands than the first did: what it waited for was there already.
      if (outcome.signal !== 'SIGKILL') t.equal(outcome.steps.at(-1), 'stopped', `${point} was not reached`)
      account(`killed after ${point}`, outcome)
    }))
  }
})
