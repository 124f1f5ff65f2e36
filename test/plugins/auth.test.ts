import { createHash } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import Fastify from 'fastify'
import t from 'tap'
import { buildApp } from '../../app.ts'
import auth from '../../plugins/auth.ts'
import { loadConfig } from '../../services/config/load.ts'

const digest = (key: string) => createHash('sha256').update(key).digest('hex')
const keys = { reader: 'canary-reader-key', writer: 'canary-writer-key', replaced: 'canary-writer-key-2', admin: 'canary-admin-key' }
const API_KEYS = `ci:read:${digest(keys.reader)}, deploy:write:${digest(keys.writer)}\n deploy:write:${digest(keys.replaced)} ops:admin:${digest(keys.admin)}`
const env = { DATABASE_URL: 'sqlite::memory:', API_KEYS }
const model = (version: string) => ({ model_name: 'm', version, token_id: 'tok', metric_name: 'auc', baseline_value: 1 })

t.test('R6.4 a key opens what its scope says, sent either way, and both keys of a rotation work', async t => {
  const lines: string[] = []
  const app = await buildApp({ env, logger: { level: 'trace', stream: { write: (line: string) => { lines.push(line) } } } })
  t.teardown(() => app.close())
  const post = (version: string, headers: Record<string, string>) =>
    app.inject({ method: 'POST', url: '/models', payload: model(version), headers }).then(({ statusCode }) => statusCode)

  const refused = await app.inject('/models')
  t.equal(refused.statusCode, 401)
  t.match(refused.headers, { 'www-authenticate': 'Bearer', 'content-type': /problem\+json/ })
  t.match(refused.json(), { code: 'FST_BRK_KEY_REQUIRED' })
  t.equal(await post('1', { 'x-api-key': keys.reader }), 403)
  t.equal(await post('1', { 'x-api-key': keys.writer }), 201)
  t.equal(await post('2', { authorization: `Bearer ${keys.replaced}` }), 201)
  t.equal(await post('3', { authorization: `bearer ${keys.admin}` }), 201)
  t.equal(await post('4', { authorization: `Bearer ${keys.admin}x` }), 401)
  t.equal(await post('4', { 'x-api-key': 'k'.repeat(5000) }), 401)
  t.equal((await app.inject({ url: '/models', headers: { 'x-api-key': keys.reader } })).json().items.length, 3)
  t.equal((await app.inject('/metrics')).statusCode, 401)
  t.equal((await app.inject('/nowhere')).statusCode, 404, 'a wrong address needs no key')
  for (const url of ['/health', '/health/live', '/health/ready', '/health/alb']) {
    t.not((await app.inject(url)).statusCode, 401, `${url} is public`)
  }
  for (const canary of [...Object.values(keys), digest(keys.admin)]) t.notMatch(lines.join(''), canary, 'I6 no key in the log')
  t.notMatch(JSON.stringify(app.config.access), keys.admin)
})

t.test('R6.4 without keys every request is let through; a route chooses its scope', async t => {
  const open = await buildApp({ env: { DATABASE_URL: 'sqlite::memory:' } })
  t.teardown(() => open.close())
  t.equal((await open.inject('/models')).statusCode, 200)

  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(auth, { keys: [{ name: 'a', scope: 'write', sha256: digest('key') }] })
  app.get('/secret', { config: { scope: 'admin' } }, async ({ caller }) => caller)
  app.get('/mine', async ({ caller }) => caller)
  t.equal((await app.inject({ url: '/secret', headers: { 'x-api-key': 'key' } })).statusCode, 403)
  t.strictSame((await app.inject({ url: '/mine', headers: { 'x-api-key': 'key' } })).json(), { name: 'a', scope: 'write' })
  await t.rejects(async () => await Fastify().register(auth, { keys: [], kes: 1 } as object), { code: 'FST_BRK_OPTION_INVALID' })
})

t.test('R6.4 an address that others can reach needs keys, or somebody who says otherwise', async t => {
  const codes = (given: Record<string, string>) => loadConfig(given).errors.map(({ code }) => code)
  for (const HOST of ['0.0.0.0', '::', '10.0.0.5', 'service.internal']) t.strictSame(codes({ HOST }), ['FST_BRK_CONFIG_AUTH_REQUIRED'], HOST)
  for (const HOST of ['127.0.0.1', '::1', 'localhost']) t.strictSame(codes({ HOST }), [], HOST)
  t.strictSame(codes({ HOST: '0.0.0.0', API_KEYS }), [])
  t.strictSame(codes({ HOST: '0.0.0.0', AUTH_DISABLED: 'true' }), [])
  const both = loadConfig({ AUTH_DISABLED: 'true', API_KEYS })
  t.match(both.warnings, [{ code: 'FST_BRK_CONFIG_AUTH_CONFLICT' }])
  t.strictSame(both.config.access.keys, [], 'AUTH_DISABLED wins')
})

t.test('R6.4 a wrong entry is named by its place and never shown', async t => {
  for (const text of ['canary-plain-key', `x:root:${digest('a')}`, 'a:read:canary-digest', `a:read:${digest('a')},b:write:${digest('a')}`]) {
    const { errors } = loadConfig({ API_KEYS: text })
    t.match(errors, [{ code: 'FST_BRK_CONFIG_API_KEYS', variable: 'API_KEYS' }])
    t.notMatch(JSON.stringify(errors), /canary/)
  }
  const many = Array.from({ length: 101 }, (_, index) => `k${index}:read:${digest(String(index))}`).join(' ')
  t.match(loadConfig({ API_KEYS: many }).errors, [{ code: 'FST_BRK_CONFIG_API_KEYS' }])
})

t.test('R6.4 the key command makes a key and its entry', async t => {
  const run = (...args: string[]) => spawnSync(process.execPath, [join(import.meta.dirname, '../../scripts/key.ts'), ...args])
  const { key, entry } = JSON.parse(run('deploy', 'admin').stdout.toString())
  t.equal(entry, `deploy:admin:${digest(key)}`)
  t.strictSame(loadConfig({ API_KEYS: entry }).errors, [])
  t.equal(run('with space').status, 1)
  t.equal(run('deploy', 'root').status, 1)
})
