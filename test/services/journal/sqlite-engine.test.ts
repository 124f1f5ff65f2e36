import { randomUUID } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { SqliteEngine } from '../../../services/journal/sqlite/engine.ts'
import type { JournalStats } from '../../../services/journal/journal.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { temporaryDirectory } from '../../helpers/temporary.ts'
import { until } from '../../helpers/until.ts'

const limits = { maxRows: 10_000, maxBytes: 1e8 }
const modules = [new URL('../../fixtures/faulty-store-module.ts', import.meta.url).href]

async function open (t: Teardown, { path, deadlineMs = 5000 }: { path?: string, deadlineMs?: number } = {}) {
  const file = path ?? join(await temporaryDirectory(t), 'deep', 'er', 'store.db')
  const engine = new SqliteEngine({ path: file, limits, modules, deadlineMs })
  t.teardown(() => engine.close())
  return { engine, file }
}

const entry = () => ['model', randomUUID()]

t.test('R5.2 what was acknowledged is there after the file is opened again', async (t) => {
  const { engine, file } = await open(t)
  await Promise.all(Array.from({ length: 3000 }, () => engine.run('append', entry())))
  await engine.close()
  await engine.close()
  await t.rejects(engine.run('stats'), { code: 'FST_BRK_STORE_UNAVAILABLE', statusCode: 503 })

  const again = await open(t, { path: file })
  t.match(await again.engine.run('stats'), { pendingRows: 3000 })
  await again.engine.run('checkpoint')
})

t.test('group commit: a request that fails is undone alone', async (t) => {
  const { engine } = await open(t)
  const outcomes = await Promise.allSettled([
    engine.run('note', 'one'), engine.run('noteAndFail', 'two'), engine.run('note', 'one'), engine.run('checkpoint'),
    engine.run('append', Array.from({ length: limits.maxRows + 1 }, entry).flat()), engine.run('note', 'three'), engine.run('noSuch')
  ])
  t.strictSame(outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected', 'fulfilled', 'rejected', 'fulfilled', 'rejected'])
  t.match(outcomes[1], { reason: { code: 'FST_BRK_STORE_UNAVAILABLE', message: /after the write/ } })
  t.match(outcomes[4], { reason: { code: 'FST_BRK_JOURNAL_FULL', message: /JOURNAL_MAX_ROWS/ } })
  t.strictSame(await engine.run('notes'), ['one', 'three'])
})

t.test('I1 a database that does not answer ends in a coded error at the deadline, and the engine recovers by itself', async (t) => {
  const { engine } = await open(t, { deadlineMs: 1000 })
  await engine.run('note', 'before')
  const [blocked, waiting] = await Promise.allSettled([
    engine.run('block', 5000),
    new Promise((resolve) => { setTimeout(resolve, 50) }).then(() => engine.run('note', 'waiting'))
  ])
  t.match(blocked, { reason: { code: 'FST_BRK_STORE_UNAVAILABLE', message: /in time/ } })
  t.match(waiting, { reason: { code: 'FST_BRK_STORE_UNAVAILABLE' } })
  // The thread that was given up holds the database until it has really ended; a request that meets it may time out as well.
  t.strictSame(await until(() => engine.run('notes').catch(() => null)), ['before'])
})

t.test('a thread that ends takes nothing along', async (t) => {
  const { engine } = await open(t)
  await engine.run('note', 'before')
  await t.rejects(engine.run('endThread'), { code: 'FST_BRK_STORE_UNAVAILABLE' })
  t.strictSame(await engine.run('notes'), ['before'])
})

t.test('R5.6 a full disk refuses, loses nothing accepted, and recovers without a restart', async (t) => {
  const { engine } = await open(t)
  await engine.run('append', entry())
  await engine.run('limitPages', 1)
  const large = ['model', 'x'.repeat(1e6)]
  await t.rejects(engine.run('append', large), { code: 'FST_BRK_STORE_UNAVAILABLE', message: /full/ })
  t.match(await engine.run<JournalStats>('stats'), { pendingRows: 1 })
  await engine.run('limitPages', 1_000_000)
  await engine.run('append', large)
  t.match(await engine.run<JournalStats>('stats'), { pendingRows: 2 })
})

t.test('a file that is no database, or a path that is no folder, says so', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'not-a-database')
  writeFileSync(path, 'x'.repeat(5000))
  const { engine } = await open(t, { path })
  await t.rejects(engine.run('stats'), { code: 'FST_BRK_STORE_UNAVAILABLE', message: /not a database/ })
  const below = await open(t, { path: join(path, 'store.db') })
  await t.rejects(below.engine.run('stats'), { code: 'FST_BRK_STORE_UNAVAILABLE' })
})

t.test('two processes may have one file open: writers take turns, and both see everything', async (t) => {
  const { engine: one, file } = await open(t)
  const { engine: two } = await open(t, { path: file })
  const others = await Promise.all(Array.from({ length: 4 }, () => open(t, { path: file })))
  await Promise.all([one, two, ...others.map(({ engine }) => engine)].map((engine) => engine.run('stats')))
  await Promise.all([one, two].flatMap((engine) => Array.from({ length: 50 }, () => engine.run('append', entry()))))
  t.match(await one.run('stats'), { pendingRows: 100 })
  t.type(await one.run('acquireLease', 'one', 5000), 'string')
  t.equal(await two.run('acquireLease', 'two', 5000), null)
})

t.test('a migration that fails leaves the database as it was', async (t) => {
  const directory = await temporaryDirectory(t)
  const path = join(directory, 'store.db')
  const { engine } = await open(t, { path })
  await engine.run('note', 'kept')
  const broken = new SqliteEngine({ path, limits, modules: [new URL('../../fixtures/broken-store-module.ts', import.meta.url).href] })
  t.teardown(() => broken.close())
  await t.rejects(broken.run('stats'), { code: 'FST_BRK_STORE_UNAVAILABLE', message: /incomplete input/ })
  t.strictSame(await engine.run('notes'), ['kept'])
})

t.test('closing an engine that was never used opens nothing', async (t) => {
  const directory = await temporaryDirectory(t)
  const engine = new SqliteEngine({ path: join(directory, 'never.db'), limits, modules })
  await engine.close()
  t.notOk(existsSync(join(directory, 'never.db')))
})
