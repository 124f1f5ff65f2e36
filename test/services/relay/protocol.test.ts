import { Redis } from 'ioredis'
import t from 'tap'
import { Random } from '../../helpers/random.ts'
import { openPostgresJournal } from '../../helpers/postgres-journal.ts'
import { startPostgres } from '../../helpers/postgres-server.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { Sabotage } from './protocol-model.ts'
import { Schedule } from './schedule.ts'
import type { RelayFactory, World } from './schedule.ts'
import { modelRelay, modelWorld, postgresWorld, realRelay, realWorld } from './worlds.ts'

const FIRST_SEED = Number(process.env.SEED ?? 1)
const MODEL_SCHEDULES = Number(process.env.MODEL_SCHEDULES ?? 10_000)
const REAL_SCHEDULES = Number(process.env.REAL_SCHEDULES ?? 500)
const POSTGRES_SCHEDULES = Number(process.env.POSTGRES_SCHEDULES ?? 200)
const LANES = 6
const DECISIONS = 100

t.setTimeout(300_000)

/** Null when every accepted message is in the queue once, in order, and nothing else is; else what is wrong. */
async function violation (world: World, factory: RelayFactory, seed: number): Promise<string | null> {
  const { accepted, queued } = await new Schedule(world, factory, new Random(seed)).run(DECISIONS)
  const [wanted, found] = [accepted.join(' '), queued.join(' ')]
  return wanted === found ? null : `seed ${seed}\n  accepted ${wanted}\n  queued   ${found}`
}

async function firstViolation (count: number, factory: RelayFactory, sabotage?: Sabotage): Promise<string | null> {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + count; seed++) {
    const found = await violation(modelWorld(sabotage), factory, seed)
    if (found !== null) return found
  }
  return null
}

t.test('I3, R5.3 the protocol survives random schedules of crash, late command, reset, failover and takeover', { timeout: 120_000 }, async (t) => {
  t.equal(await firstViolation(MODEL_SCHEDULES, modelRelay), null)
})

t.test('I3, R5.3 the relay itself survives the same schedules on the model', { timeout: 120_000 }, async (t) => {
  t.equal(await firstViolation(MODEL_SCHEDULES, realRelay), null)
})

t.test('the checker notices each rule of the protocol that is switched off', async (t) => {
  for (const rule of ['ignoreChain', 'ignoreGap', 'ignoreWatermark'] as const) {
    t.match(await firstViolation(3000, realRelay, { [rule]: true }), /seed/, rule)
  }
})

t.test('I3, R5.3 relay, SQL and scripts survive the same schedules on a real Redis', { timeout: 120_000 }, async (t) => {
  const server = await startRedis(t)
  const client = new Redis({ host: server.host, port: server.port })
  t.teardown(() => client.disconnect())
  for (let seed = FIRST_SEED; seed < FIRST_SEED + REAL_SCHEDULES; seed++) {
    const world = await realWorld(client, 'queue')
    const found = await violation(world, realRelay, seed)
    world.close()
    if (found !== null) return t.fail(found)
  }
  t.pass(`${REAL_SCHEDULES} schedules`)
})

t.test('I3, R5.3 and with the journal in PostgreSQL', { timeout: 240_000 }, async (t) => {
  const [redis, postgres] = await Promise.all([startRedis(t), startPostgres(t)])
  const client = new Redis({ host: redis.host, port: redis.port })
  t.teardown(() => client.disconnect())
  let seed = FIRST_SEED
  // Several at a time: they spend it waiting for each other's round trips.
  await Promise.all(Array.from({ length: LANES }, async (_, lane) => {
    const { database } = openPostgresJournal(t, postgres.url)
    while (seed < FIRST_SEED + POSTGRES_SCHEDULES) {
      const current = seed++
      const found = await violation(await postgresWorld(client, `queue-${lane}`, database), realRelay, current)
      if (found !== null) t.fail(found)
    }
  }))
  t.pass(`${POSTGRES_SCHEDULES} schedules`)
})
