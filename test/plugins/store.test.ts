import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import config from '../../plugins/config.ts'
import store from '../../plugins/store.ts'
import type { StoreOptions } from '../../plugins/store.ts'
import { startPostgres } from '../helpers/postgres-server.ts'
import { freePort } from '../helpers/redis-server.ts'
import type { Teardown } from '../helpers/redis-server.ts'
import { startSilentServer } from '../helpers/silent-server.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

async function open (t: Teardown, options: StoreOptions = {}, env?: NodeJS.ProcessEnv): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  if (env !== undefined) await app.register(config, { env })
  await app.register(store, options)
  return app
}

t.test('the engine is the one that path, URL or configuration name, and says what it survives', async (t) => {
  const directory = await temporaryDirectory(t)
  const { url } = await startPostgres(t)
  const durability = async (options: StoreOptions, env?: NodeJS.ProcessEnv) => (await open(t, options, env)).store.durability
  t.equal(await durability({}), 'none')
  t.equal(await durability({ path: `${directory}/a.db` }), 'node')
  t.equal(await durability({ url: `sqlite:${directory}/b.db` }), 'node')
  t.equal(await durability({ url, schema: 'own', poolMax: 2 }), 'cluster')
  t.equal(await durability({}, { DATABASE_URL: `sqlite:${directory}/c.db` }), 'node')
  t.equal(await durability({}, { DATABASE_URL: url }), 'cluster')
  t.equal(await durability({ path: ':memory:' }, { DATABASE_URL: url }), 'none', 'options go first')
})

t.test('R5.6 every limit is an option', async (t) => {
  const entry = { key: 'a', body: 'x'.repeat(100) }
  const app = await open(t, { maxRows: 4, maxBytes: 350, maxAgeMs: 60_000, highRatio: 0.5 })
  await app.store.journal.append([entry])
  await app.store.check()
  t.match(app.store.stats(), { pendingRows: 1, pressure: 'none' })
  await app.store.journal.append([entry])
  await app.store.check()
  t.match(app.store.stats(), { pendingRows: 2, pressure: 'high' })
  await app.store.journal.append([entry])
  await t.rejects(app.store.journal.append([entry]), { code: 'FST_BRK_JOURNAL_FULL' })
})

t.test('options that make no sense are refused at registration', async (t) => {
  const refused = (options: object, message: RegExp) => t.rejects(open(t, options), { code: 'FST_BRK_OPTION_INVALID', message })
  await refused({ path: ':memory:', url: 'sqlite::memory:' }, /"url" and "path"/)
  await refused({ url: 'mysql://host/db' }, /option "url"/)
  await refused({ schema: 'x; DROP TABLE models' }, /option "schema"/)
  await refused({ poolMax: 1 }, /option "poolMax"/)
  await refused({ highRatio: 0 }, /option "highRatio"/)
})

t.test('wrong credentials fail the boot, and the error shows neither the wrong nor the right ones', async (t) => {
  const { url, port } = await startPostgres(t, { password: 'right-one' })
  t.equal((await open(t, { url })).store.durability, 'cluster')
  const err = await open(t, { url: url.replace('right-one', 'wr%20ong-one') }).then(() => null, (err) => err)
  t.match(err, { code: 'FST_BRK_STORE_UNAVAILABLE', message: new RegExp(`127\\.0\\.0\\.1:${port}: it refused the credentials`) })
  t.notMatch(`${err.stack} ${JSON.stringify(err)} ${err.cause}`, /right-one|wr(%20| )ong-one/)
})

t.test('a PostgreSQL that is not there, or never answers, fails the boot in bounded time and without its password', async (t) => {
  const closedPort = await freePort()
  const silent = await startSilentServer(t, 'answer-nothing')
  for (const port of [closedPort, silent]) {
    const startedAt = performance.now()
    const err = await open(t, { url: `postgres://app:s3cret@127.0.0.1:${port}/models` }).then(() => null, (err) => err)
    t.match(err, { code: 'FST_BRK_STORE_UNAVAILABLE', message: new RegExp(`127\\.0\\.0\\.1:${port}`) })
    t.ok(performance.now() - startedAt < 6000)
    t.notMatch(`${err.stack} ${JSON.stringify(err)} ${err.cause}`, /s3cret/)
  }
})
