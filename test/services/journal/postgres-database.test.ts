import { inspect } from 'node:util'
import t from 'tap'
import { PostgresDatabase, StatementRejected } from '../../../services/journal/postgres/database.ts'
import type { PostgresMigration } from '../../../services/journal/postgres/database.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import { startPostgres } from '../../helpers/postgres-server.ts'
import type { PostgresServer } from '../../helpers/postgres-server.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

t.setTimeout(300_000)

const CANARY = 'c4n4ry p@ss/word'
const UNAVAILABLE = { code: 'FST_BRK_STORE_UNAVAILABLE', statusCode: 503 }

const table = (name: string): PostgresMigration => ({ name, sql: (schema) => `CREATE TABLE ${schema}.${name} (id int PRIMARY KEY)` })

function open (t: Teardown, server: PostgresServer, options: Partial<ConstructorParameters<typeof PostgresDatabase>[0]> = {}): PostgresDatabase {
  const database = new PostgresDatabase({ connection: server.url, ...options })
  t.teardown(() => database.close())
  return database
}

async function elapsed (work: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await work()
  return performance.now() - begin
}

t.test('with a server that nothing happens to', async (t) => {
  const server = await startPostgres(t)

  t.test('a transaction commits what it did, or nothing', async (t) => {
    const database = open(t, server, { schema: 'whole', migrations: [table('things')] })
    const insert = 'INSERT INTO whole.things VALUES ($1)'
    const count = async () => (await database.query('SELECT count(*) AS rows FROM whole.things'))[0]!.rows
    t.equal(await database.transaction(async (tx) => {
      await tx.query(insert, [1])
      return 'done'
    }), 'done')
    await t.rejects(database.transaction(async (tx) => {
      await tx.query(insert, [2])
      throw new Error('changed my mind')
    }), { message: 'changed my mind' })
    t.equal(await count(), 1, 'undone')
    await t.rejects(database.transaction(async (tx) => {
      await tx.query(insert, [3])
      void tx.query(insert, [1]).catch(() => {})
    }), { code: '23505' }, 'a statement that nobody waited for fails the commit')
    t.equal(await count(), 1)
    await t.rejects(database.query(insert, [1]), StatementRejected)
    await t.rejects(database.query(insert, [1]), { code: '23505', constraint: 'things_pkey' })
    await t.rejects(database.query('SELEKT 1'), UNAVAILABLE)
    t.strictSame(await database.query('SELECT 9007199254740991::bigint AS big, NULL::bigint AS none'), [{ big: 9007199254740991, none: null }])
  })

  t.test('I1 every call settles within its deadline, the wait for a connection included', async (t) => {
    const database = open(t, server, { poolMax: 2, deadlineMs: 300 })
    const results = elapsed(() => Promise.allSettled(Array.from({ length: 6 }, () => t.rejects(database.query('SELECT pg_sleep(5)'), UNAVAILABLE))))
    t.ok(await results < 1500, 'at once, and those that wait for a connection')
    t.ok(await elapsed(() => t.rejects(database.transaction((tx) => tx.query('SELECT pg_sleep(5)', [])), UNAVAILABLE)) < 1500)
    t.ok(await elapsed(() => t.rejects(database.transaction(() => new Promise(() => {})), UNAVAILABLE)) < 1500, 'work that never ends')
    t.strictSame(await database.query('SELECT 1 AS one'), [{ one: 1 }], 'and goes on')
    await until(async () => (await server.query("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state <> 'idle' AND pid <> pg_backend_pid()")).length === 0)
  })

  t.test('migrations: several processes at once, each applied once, and an old process lives on', async (t) => {
    const old = open(t, server, { schema: 'moving', migrations: [table('first')] })
    await old.query('INSERT INTO moving.first VALUES (1)')
    const newer = Array.from({ length: 4 }, () => open(t, server, { schema: 'moving', migrations: [table('first'), table('second'), table('third')] }))
    const counts = await Promise.all(newer.map((database) => database.query('SELECT count(*) AS rows FROM moving.third')))
    t.strictSame(counts.flat().map(({ rows }) => rows), [0, 0, 0, 0])
    t.strictSame((await server.query('SELECT name FROM moving.migrations ORDER BY applied_at')).map(({ name }) => name), ['first', 'second', 'third'])
    await old.query('INSERT INTO moving.first VALUES (2)')
    const restarted = open(t, server, { schema: 'moving', migrations: [table('first')] })
    t.equal((await restarted.query('SELECT count(*) AS rows FROM moving.first'))[0]!.rows, 2, 'restarted with the old version')
  })

  t.test('a migration that fails changes nothing, and is tried again', async (t) => {
    const broken: PostgresMigration = { name: 'broken', sql: (schema) => `CREATE TABLE ${schema}.half (id int); SELECT 1 / (SELECT count(*) FROM ${schema}.first)` }
    const database = open(t, server, { schema: 'failing', migrations: [table('first'), broken] })
    await t.rejects(database.query('SELECT 1'))
    t.equal((await server.query("SELECT to_regclass('failing.half') AS half"))[0]!.half, null)
    await server.query('INSERT INTO failing.first VALUES (1)')
    t.strictSame(await database.query('SELECT count(*) AS rows FROM failing.half'), [{ rows: 0 }])
  })

  t.test('a role without the right to create schemas needs one that is there', async (t) => {
    await server.query('CREATE ROLE plain LOGIN; CREATE SCHEMA mine AUTHORIZATION plain; REVOKE CREATE ON DATABASE postgres FROM PUBLIC')
    const connection = server.url.replace('postgres@', 'plain@')
    const database = open(t, server, { connection, schema: 'mine', migrations: [table('things')] })
    t.strictSame(await database.query('SELECT * FROM mine.things'), [])
    const without = open(t, server, { connection, schema: 'others', migrations: [table('things')] })
    await t.rejects(without.query('SELECT 1'), /lacks a right/)
  })

  t.test('close is bounded, never rejects, and ends what is under way', async (t) => {
    const database = open(t, server)
    const pending = t.rejects(database.query('SELECT pg_sleep(30)'), UNAVAILABLE)
    await until(async () => (await server.query("SELECT 1 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(30)'")).length > 0)
    t.ok(await elapsed(() => database.close()) < 1000, 'I7')
    await pending
    await t.rejects(database.query('SELECT 1'), UNAVAILABLE)
    await t.resolves(database.close())
  })
})

t.test('R12.2 a database that is killed, frozen or restarted: refusals in time, and recovery without a restart', async (t) => {
  const server = await startPostgres(t)
  const database = open(t, server, { deadlineMs: 500, migrations: [table('things')] })
  const works = () => until(() => database.query('SELECT 1 FROM breakwater.things').then(() => true, () => false))
  const fails = async (message: string) => {
    const times = await Promise.all(Array.from({ length: 20 }, () => elapsed(() => t.rejects(database.query('SELECT 1'), UNAVAILABLE))))
    t.ok(Math.max(...times) < 2000, message)
  }
  await server.kill()
  await fails('down from the start')
  await server.restart()
  await works()
  await Promise.all(Array.from({ length: 10 }, () => database.query('SELECT 1')))
  server.freeze()
  await fails('frozen, with connections that were good')
  await fails('frozen, with none left')
  server.thaw()
  await works()
  await Promise.all(Array.from({ length: 10 }, () => database.query('SELECT 1')))
  await server.kill()
  await fails('killed')
  await server.restart()
  await works()
  server.freeze()
  const pending = t.rejects(database.query('SELECT 1'), UNAVAILABLE)
  t.ok(await elapsed(() => database.close()) < 1000, 'I7 closes in time, frozen')
  await pending
  server.thaw()
})

t.test('I6 the password is in no error and no log, however the connection fails', async (t) => {
  const server = await startPostgres(t, { password: CANARY })
  const logger = memoryLogger()
  const shown: unknown[] = [logger.lines]
  const encoded = encodeURIComponent(CANARY)
  const attempt = async (connection: string) => {
    try {
      const database = new PostgresDatabase({ connection, deadlineMs: 1000, logger })
      shown.push(database)
      await database.query('SELECT 1').finally(() => database.close())
      shown.push('works')
    } catch (err) {
      t.match(err, UNAVAILABLE)
      shown.push(err, (err as Error).stack)
    }
  }
  await attempt(server.url)
  t.ok(shown.includes('works'))
  await attempt(server.url.replace('@', 'x@'))
  await attempt(server.url.replace(`:${server.port}`, ':1'))
  await attempt(`postgres://u:${encoded}@no-such-host.invalid/db`)
  await attempt(`postgres://u:${CANARY}@h:99999999/db`)
  await attempt(`postgres://u:${encoded}@127.0.0.1:${server.port}/${encoded}`)
  const database = new PostgresDatabase({ connection: server.url, logger })
  await database.query('SELECT 1')
  await server.kill()
  await until(() => logger.lines.length > 0)
  await database.close()
  const text = inspect(shown, { depth: 20, showHidden: true }) + JSON.stringify(shown)
  for (const secret of [CANARY, encoded]) t.notOk(text.includes(secret))
})
