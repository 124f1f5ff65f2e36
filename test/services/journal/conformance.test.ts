import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { PostgresJournal } from '../../../services/journal/postgres/journal.ts'
import { SqliteEngine } from '../../../services/journal/sqlite/engine.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { emptyPostgresJournal, openPostgresJournal } from '../../helpers/postgres-journal.ts'
import { startPooler } from '../../helpers/postgres-pooler.ts'
import { startPostgres } from '../../helpers/postgres-server.ts'
import { temporaryDirectory } from '../../helpers/temporary.ts'
import { ModelSchedule } from './conformance-schedules.ts'
import { conformance } from './conformance.ts'
import type { Subject } from './conformance.ts'

t.setTimeout(300_000)

const AMPLE = { maxRows: 1e6, maxBytes: 1e9 }

const FIRST_SEED = Number(process.env.SEED ?? 1)
const SQLITE_SCHEDULES = Number(process.env.SQLITE_SCHEDULES ?? 1200)
const POSTGRES_SCHEDULES = Number(process.env.POSTGRES_SCHEDULES ?? 200)
const STEPS = 60
const LANES = 6

/** What differs between a journal and the model under the first seed where something does; null where nothing does. */
async function firstDifference (count: number, lanes: (() => Promise<Subject & { close? (): void }>)[]): Promise<string | null> {
  let seed = FIRST_SEED
  let difference: string | null = null
  await Promise.all(lanes.map(async (open) => {
    while (seed < FIRST_SEED + count && difference === null) {
      const current = seed++
      const subject = await open()
      const found = await new ModelSchedule(subject, current).run(STEPS)
      subject.close?.()
      if (found !== null) difference = `seed ${current}\n${found}`
    }
  }))
  return difference
}

function manualClock () {
  const clock = { now: 1_000_000 }
  return { clock, now: () => clock.now, elapse: (ms: number) => { clock.now += ms } }
}

const realClock = { now: Date.now, elapse: async (ms: number) => { await delay(ms) } }

t.test('SQLite in memory', (t) => {
  conformance(t, async (t, limits = AMPLE) => {
    const time = manualClock()
    const engine = new InlineEngine({ limits, now: time.now })
    t.teardown(() => engine.close())
    return { journal: new SqliteJournal(engine, 'none'), ...time }
  })
  t.end()
})

t.test('SQLite in memory does what the model does, in random schedules', async (t) => {
  t.equal(await firstDifference(SQLITE_SCHEDULES, [async () => {
    const time = manualClock()
    const engine = new InlineEngine({ now: time.now })
    return { journal: new SqliteJournal(engine, 'none'), ...time, close: () => engine.close() }
  }]), null)
})

t.test('SQLite in a file, on its thread', (t) => {
  conformance(t, async (t, limits = AMPLE) => {
    const engine = new SqliteEngine({ path: `${await temporaryDirectory(t)}/journal.db`, limits, modules: [] })
    t.teardown(() => engine.close())
    return { journal: new SqliteJournal(engine, 'node'), ...realClock }
  })
  t.end()
})

t.test('PostgreSQL', async (t) => {
  const server = await startPostgres(t)
  t.test('with a manual clock', (t) => {
    conformance(t, async (t, limits = AMPLE) => {
      const time = manualClock()
      return { journal: openPostgresJournal(t, server.url, { limits, now: time.now }).journal, ...time }
    })
    t.end()
  })
  t.test('with its own clock', (t) => {
    conformance(t, async (t, limits = AMPLE) => ({ journal: openPostgresJournal(t, server.url, { limits }).journal, ...realClock }))
    t.end()
  })
  t.test('behind a pooler in transaction mode', async (t) => {
    const pooler = await startPooler(t, server)
    await t.test('the same', (t) => {
      conformance(t, async (t, limits = AMPLE) => ({ journal: openPostgresJournal(t, pooler.url, { limits }).journal, ...realClock }))
      t.end()
    })
    t.ok(pooler.switches() > 200, 'transactions went over changing connections')
  })
  t.test('does what the model does, in random schedules', async (t) => {
    const lanes = Array.from({ length: LANES }, () => {
      const { database } = openPostgresJournal(t, server.url)
      return async () => {
        const time = manualClock()
        await emptyPostgresJournal(database)
        return { journal: new PostgresJournal({ database, limits: AMPLE, listen: false, now: time.now }), ...time }
      }
    })
    t.equal(await firstDifference(POSTGRES_SCHEDULES, lanes), null)
  })
})
