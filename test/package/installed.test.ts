import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Ajv } from 'ajv'
import { Redis } from 'ioredis'
import t from 'tap'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { toRun } from '../helpers/documents.ts'
import { installPackage, plainEnvironment, plainly } from '../helpers/installed-package.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'
import { until } from '../helpers/until.ts'

const root = resolve(import.meta.dirname, '../..')
const document = readFileSync(join(root, 'docs/package.md'), 'utf8')

/** One installation for all: what another service gets, with none of the optional peers. */
const { directory, tarball, manifest, load } = await installPackage(t)
const installed = join(directory, 'node_modules/fastify-breakwater')
const optional = Object.keys(manifest.peerDependenciesMeta)
const subpaths = Object.keys(manifest.exports).filter(path => !path.endsWith('.json'))
const specifiers = subpaths.map(path => `fastify-breakwater${path.slice(1)}`)

t.test('the tarball holds the compiled plugins, the schemas, and nothing of the service', t => {
  const paths = tarball.files.map(({ path }) => path)
  const other = paths.filter(path => !/^(dist\/(index|plugins\/|services\/|scripts\/)|schemas\/)/.test(path))
  t.strictSame(other.toSorted(), ['LICENSE', 'README.md', 'package.json'])
  t.strictSame(paths.filter(path => /\b(routes|test|bench|chaos|uplot|app\.js|server\.js)\b/.test(path)), [])
  for (const path of subpaths) for (const target of Object.values<string>(manifest.exports[path])) t.ok(paths.includes(target.slice(2)), target)
  t.ok(paths.includes(manifest.bin.breakwater.slice(2)))
  t.ok(tarball.size < 350_000, `${tarball.size} bytes; docs/package.md says why it is no smaller`)
  t.end()
})

interface Imports { fixed: string[], lazy: string[] }

/** What a compiled file or a declaration imports, at once and when asked. */
function importsOf (file: string): Imports {
  const code = readFileSync(file, 'utf8')
  const found = (pattern: RegExp) => [...code.matchAll(pattern)].map(match => match[1]!)
  return { fixed: found(/^(?:import|export)\s+(?:[\w$*{},\s]*?\sfrom\s+)?['"]([^'"]+)['"]/gm), lazy: found(/\bimport\(\s*['"]([^'"]+)['"]/g) }
}

const packageOf = (specifier: string) => specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
const isBare = (specifier: string) => !specifier.startsWith('.') && !specifier.startsWith('node:')

/** Everything that importing `file` loads at once. Declarations name the source, and mean the declaration beside it. */
function loadedBy (file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  for (const specifier of importsOf(file).fixed.filter(specifier => specifier.startsWith('.'))) {
    const target = resolve(dirname(file), specifier)
    loadedBy(file.endsWith('.d.ts') ? target.replace(/\.[jt]s$/, '.d.ts') : target, seen)
  }
  return seen
}

t.test('every import of the package is one of its dependencies, and every dependency is imported', t => {
  const imported = new Set<string>()
  for (const file of globSync('dist/**/*.{js,d.ts}', { cwd: installed })) {
    const { fixed, lazy } = importsOf(join(installed, file))
    for (const specifier of [...fixed, ...lazy].filter(isBare)) imported.add(packageOf(specifier))
  }
  const declared = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)]
  t.strictSame([...imported].filter(name => !declared.includes(name)), [], 'imported, and neither a dependency nor a peer')
  // The types of routes; other services are meant to have it.
  const unused = declared.filter(name => !imported.has(name) && name !== '@fastify/type-provider-typebox')
  t.strictSame(unused, [], 'declared, and not imported')
  t.end()
})

t.test('no optional peer is loaded, or needed by a declaration, before its feature is used', t => {
  for (const path of subpaths) {
    for (const kind of ['default', 'types']) {
      const files = [...loadedBy(join(installed, manifest.exports[path][kind]))]
      const names = new Set(files.flatMap(file => importsOf(file).fixed).filter(isBare).map(packageOf))
      t.strictSame([...names].filter(name => optional.includes(name)), [], `${path}, ${kind}`)
    }
  }
  for (const name of optional) t.throws(() => readFileSync(join(directory, 'node_modules', name, 'package.json')), { code: 'ENOENT' }, `${name} is not here`)
  t.end()
})

t.test('the service has every optional peer, in the version that the package asks for', t => {
  const service = JSON.parse(readFileSync(join(root, 'service/package.json'), 'utf8')).dependencies
  for (const name of optional) t.equal(manifest.peerDependencies[name], `^${service[name]}`, name)
  t.end()
})

t.test('without the optional peers every path can be imported and required, and compiles for a strict caller', t => {
  const run = (code: string, type: string) => spawnSync(...plainly(process.execPath, [`--input-type=${type}`, '-e', code]), { cwd: directory, env: plainEnvironment() })
  const imports = run(specifiers.map(name => `await import('${name}')`).join('\n'), 'module')
  t.equal(imports.stderr.toString(), '')
  const requires = run(`${specifiers.map(name => `require('${name}')`).join('\n')}\nconsole.log(typeof require('fastify-breakwater').redis)`, 'commonjs')
  t.match(requires, { status: 0 })
  t.equal(requires.stdout.toString(), 'function\n')

  writeFileSync(join(directory, 'examples/all.ts'), specifiers.map((name, index) => `export type * as all${index} from '${name}'`).join('\n'))
  // Declarations of the package are checked too: skipLibCheck is off.
  const strict = '--strict --noUncheckedIndexedAccess --exactOptionalPropertyTypes --skipLibCheck false'
  const compiled = spawnSync(...plainly('sh', ['-c', `exec tsc --ignoreConfig ${strict} --module nodenext --target es2024 --types node --noEmit examples/*.ts`]), { cwd: directory, env: plainEnvironment() })
  t.match(compiled, { status: 0 }, compiled.stdout.toString())
  t.end()
})

t.test('a feature without its peer names the package and the command', async t => {
  const { default: Fastify } = await load('fastify')
  const missing: [plugin: string, options: object, peer: string][] = [
    ['protection', {}, '@fastify/helmet'],
    ['openapi', {}, '@fastify/swagger'],
    ['metrics', {}, '@prometheus-io/client'],
    ['store', { url: 'postgres://127.0.0.1:1/none' }, 'pg']
  ]
  for (const [plugin, options, peer] of missing) {
    const app = Fastify()
    const { default: register } = await load(`fastify-breakwater/${plugin}`)
    await t.rejects(async () => await app.register(register, options), {
      code: 'FST_BRK_PEER_MISSING',
      message: `needs the package ${peer}, which is not installed. Install it: npm install "${peer}@${manifest.peerDependencies[peer]}"`
    }, plugin)
    await app.close().catch(() => {})
  }
})

t.test('the command line comes with it', t => {
  const { status, stdout } = spawnSync(...plainly('node_modules/.bin/breakwater', ['doctor', '--print']), { cwd: directory, env: plainEnvironment({ REDIS_URL: 'rediss://:hunter2@cache.example.com' }) })
  t.match(stdout.toString(), 'cache.example.com')
  t.equal(status, 0)
  t.end()
})

interface Example { url: string, lines: string[], child: ChildProcess, stop (): Promise<number | null> }

/** Runs an example as its reader would. `url` is what it prints first, where it serves. */
async function run (t: Test, name: string, env: NodeJS.ProcessEnv): Promise<Example> {
  const child = spawn(...plainly(process.execPath, [name]), {
    cwd: join(directory, 'examples'), env: plainEnvironment({ PORT: '0', ...env }), stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(() => { child.kill('SIGKILL') })
  const lines: string[] = []
  createInterface(child.stdout).on('line', line => { lines.push(line) })
  const exited = once(child, 'exit')
  const stop = async () => {
    child.kill('SIGTERM')
    return (await exited)[0]
  }
  return { child, lines, stop, get url () { return lines[0]! } }
}

async function serve (t: Test, name: string, env: NodeJS.ProcessEnv): Promise<Example> {
  const example = await run(t, name, env)
  await until(() => {
    if (example.child.exitCode !== null) throw new Error(`${name} exited with ${example.child.exitCode}`)
    return example.url?.startsWith('http')
  })
  return example
}

async function ask (url: string, method = 'GET'): Promise<{ status: number, body: any }> {
  const response = await fetch(url, { method })
  return { status: response.status, body: response.headers.get('content-length') === '0' ? null : await response.json() }
}

const schema = (name: string) => JSON.parse(readFileSync(join(installed, 'schemas', `${name}.json`), 'utf8'))
const ajv = new Ajv({ allowUnionTypes: true })

function assertValid (t: Test, name: string, value: unknown): void {
  const validate = ajv.getSchema(`urn:fastify-breakwater:${name}`) ?? ajv.compile(schema(name))
  t.ok(validate(value), `${name}: ${ajv.errorsText(validate.errors)}`)
}

t.test('every example is short, in the documents, and run by a test below', t => {
  const tests = readFileSync(import.meta.filename, 'utf8')
  const names = globSync('*.{ts,cjs}', { cwd: join(root, 'examples') })
  for (const name of names) {
    t.ok(readFileSync(join(root, 'examples', name), 'utf8').trim().split('\n').length <= 40, name)
    t.match(tests, `'${name}'`)
    t.match(document, `(../examples/${name})`)
  }
  t.end()
})

t.test('docs/package.md names every optional peer, every schema, and what CI tests', t => {
  // The helper runs it, with the tarball for the name.
  t.strictSame(toRun(document), ['npm install fastify-breakwater fastify\n'])
  for (const name of optional) t.match(document, `\`${name}\``)
  for (const file of globSync('schemas/*.json', { cwd: installed })) t.match(document, `[\`fastify-breakwater/${file}\`](../${file})`)
  for (const [, target] of document.matchAll(/\]\((\.[^)#]+)\)/g)) t.ok(existsSync(join(root, 'docs', target!)), target!)
  const rows = Object.fromEntries(document.split('\n').filter(line => line.startsWith('| ')).map(line => line.split('|').slice(1).map(cell => cell.trim())))
  const { node, server } = parse(readFileSync(join(root, '.github/workflows/ci.yml'), 'utf8')).jobs.test.strategy.matrix
  for (const version of node) t.match(rows.Node, new RegExp(`\\b${version}\\b`))
  const compatible = document.slice(document.indexOf('## Compatibility'))
  for (const image of server) t.match(compatible, /:(\d+\.\d+)/.exec(image)![1]!, image)
  t.match(`>=${/from (\d+\.\d+)/.exec(rows.Node)![1]}.0`, manifest.engines.node)
  t.match(manifest.peerDependencies.fastify, `^${/from (\d+\.\d+)/.exec(rows.Fastify)![1]}.`)
  t.match(manifest.dependencies.ioredis, rows.ioredis.slice(0, 3))
  t.equal(Object.keys(manifest.dependencies).length, 10, 'the number of packages that it speaks of')
  t.end()
})

t.test('example: only the guarded client, through an outage', async t => {
  const redis = await startRedis(t)
  await redis.cli('set', 'greeting', 'Good morning')
  const example = await serve(t, 'guarded-client.ts', { REDIS_URL: redis.url })
  t.match(await ask(`${example.url}/greeting`), { status: 200, body: { greeting: 'Good morning' } })
  t.match(await ask(`${example.url}/visits`, 'POST'), { status: 200, body: { visits: 1 } })

  redis.freeze()
  t.match(await ask(`${example.url}/visits`, 'POST'), { status: 503, body: { code: /^FST_BRK_/ } })
  t.match(await ask(`${example.url}/greeting`), { status: 200, body: { greeting: 'Hello' } }, 'the default')
  await until(async () => (await ask(`${example.url}/redis`)).body.breaker === 'open')
  t.match(await ask(`${example.url}/visits`, 'POST'), { status: 503 })

  redis.thaw()
  await until(async () => (await ask(`${example.url}/visits`, 'POST')).status === 200)
  t.match(await ask(`${example.url}/greeting`), { body: { greeting: 'Good morning' } })
  t.equal(await example.stop(), 0)
})

t.test('example: a publisher with its own SQLite, and a worker without HTTP; messages fit their schemas', async t => {
  const redis = await startRedis(t)
  const env = { REDIS_URL: redis.url, JOURNAL: join(await temporaryDirectory(t), 'journal.db') }
  const first = await serve(t, 'publisher-sqlite.ts', env)
  t.match(await ask(`${first.url}/models/churn/versions/1`, 'POST'), { status: 202, body: { durability: 'node', via: 'journal' } })
  await until(async () => await redis.cli('llen', 'example:models') === 1)

  redis.freeze()
  t.match(await ask(`${first.url}/models/churn/versions/2`, 'POST'), { status: 202 }, 'accepted while Redis is frozen')
  t.equal(await first.stop(), 0, 'and it ends in good order')
  redis.thaw()
  const second = await serve(t, 'publisher-sqlite.ts', env)
  await until(async () => await redis.cli('llen', 'example:models') === 2)
  t.match(await ask(`${second.url}/models/%20/versions/1`, 'POST'), { status: 400, body: { code: 'FST_BRK_MESSAGE_INVALID' } })

  const elements: any[] = (await redis.cli('lrange', 'example:models', 0, -1)).map(JSON.parse)
  for (const element of elements) for (const name of ['envelope', 'model-ready-to-deploy']) assertValid(t, name, element)
  const { status, timestamp, message_version: version, ...message } = elements[0].payload
  assertValid(t, 'model-ready-message', message)
  const validate = ajv.getSchema('urn:fastify-breakwater:model-ready-to-deploy')!
  t.notOk(validate({ ...elements[0], extra: 1 }), 'the envelope is closed')
  t.notOk(validate({ ...elements[0], payload: { ...elements[0].payload, baseline_value: '0.8' } }))

  await redis.cli('lpush', 'example:models', JSON.stringify({ ...elements[0], message_id: 'other', message_type: 'unheard_of' }))
  const worker = await run(t, 'worker.ts', { REDIS_URL: redis.url })
  const dead: string = await until(async () => await redis.cli('lindex', 'example:models:dlq', 0))
  assertValid(t, 'dead-letter', JSON.parse(dead))
  t.match(dead, 'nobody here knows unheard_of')
  await until(() => worker.lines.length === 2)
  t.strictSame(worker.lines, ['deploying churn 1, attempt 1', 'deploying churn 2, attempt 1'], 'once each, in order')
  t.equal(await worker.stop(), 0)
})

t.test('example: health with checks of its own', async t => {
  const redis = await startRedis(t)
  const mailer = createServer((_request, response) => response.end()).listen(0, '127.0.0.1')
  await once(mailer, 'listening')
  t.teardown(() => new Promise(resolve => mailer.close(resolve)))
  const example = await serve(t, 'health-checks.ts', { REDIS_URL: redis.url, MAILER_URL: `http://127.0.0.1:${(mailer.address() as AddressInfo).port}` })
  await until(async () => (await ask(`${example.url}/health`)).body.status === 'healthy')
  mailer.closeAllConnections()
  mailer.close()
  await until(async () => (await ask(`${example.url}/health`)).body.checks.mailer === 'failed')
  t.match(await ask(`${example.url}/health`), { status: 200, body: { status: 'degraded', checks: { redis: 'ok', licence: 'ok' } } })
  redis.freeze()
  await until(async () => (await ask(`${example.url}/health`)).body.checks.redis === 'failed')
  t.match(await ask(`${example.url}/health`), { status: 200, body: { status: 'degraded' } }, 'Redis alone is never critical')
  await ask(`${example.url}/licence`, 'DELETE').catch(() => {})
  t.match(await ask(`${example.url}/health`), { status: 503, body: { status: 'unhealthy', checks: { licence: 'failed' } } })
  t.equal(await example.stop(), 0)
})

t.test('example: a cache in CommonJS, through an outage', async t => {
  const redis = await startRedis(t)
  const example = await serve(t, 'commonjs.cjs', { REDIS_URL: redis.url })
  t.match(await ask(`${example.url}/price`), { status: 200, body: { price: 42, calls: 1 } })
  t.match(await ask(`${example.url}/price`), { body: { calls: 1 } }, 'from the cache')
  redis.freeze()
  t.match(await ask(`${example.url}/price`), { status: 200, body: { price: 42 } })
  t.equal(await example.stop(), 0)
})

t.test('example: TypeScript with strict types', async t => {
  const redis = await startRedis(t)
  const example = await run(t, 'strict-types.ts', { REDIS_URL: redis.url })
  t.equal((await once(example.child, 'exit'))[0], 0)
  t.match(JSON.parse(example.lines[0]!), { via: 'queue', durability: 'none', depth: 1, answer: 42, state: 'closed', wrong: 'function' })
})

t.test('from outside: two namespaces, each with its own Redis and breaker', async t => {
  const [{ default: Fastify }, { default: redis }] = [await load('fastify'), await load('fastify-breakwater/redis')]
  const [sessions, prices] = [await startRedis(t), await startRedis(t)]
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(redis, { target: sessions.url, namespace: 'sessions' })
  await app.register(redis, { target: prices.url, namespace: 'prices' })
  await app.redis.sessions.set('who', 'sessions')
  await app.redis.prices.set('who', 'prices')
  t.strictSame([await sessions.cli('get', 'who'), await prices.cli('get', 'who')], ['sessions', 'prices'])
  prices.freeze()
  await t.rejects(app.redis.prices.get('who'), { code: /^FST_BRK_/ })
  await until(() => app.redisGuards.prices.state.breaker === 'open')
  t.equal(await app.redis.sessions.get('who'), 'sessions', 'the other one is not disturbed')
  t.equal(app.redisGuards.sessions.state.breaker, 'closed')
})

t.test('from outside: sibling encapsulated scopes do not see each other', async t => {
  const [{ default: Fastify }, { redis, health, publisher, store }] = [await load('fastify'), await load('fastify-breakwater')]
  const [one, two] = [await startRedis(t), await startRedis(t)]
  const app = Fastify()
  t.teardown(() => app.close())
  for (const [prefix, server] of [['/one', one], ['/two', two]] as const) {
    await app.register(async (scope: any) => {
      await scope.register(store, { path: ':memory:' })
      await scope.register(redis, { target: server.url })
      await scope.register(publisher, { queueName: `queue:${prefix}` })
      await scope.register(health)
      scope.get('/hits', async () => ({ hits: await scope.redis.incr('hits'), status: scope.health.snapshot().checks.redis.status }))
    }, { prefix })
  }
  await app.ready()
  t.notOk(app.hasDecorator('redis'), 'nothing leaks to the root')
  const hits = async (prefix: string) => (await app.inject(`${prefix}/hits`)).json()
  await until(async () => (await hits('/one')).status === 'ok')
  one.freeze()
  await until(async () => (await app.inject('/one/hits')).statusCode === 503)
  t.match(await hits('/two'), { hits: 1 }, 'counted apart, and not disturbed')
})

t.test('from outside: an ioredis client that exists gives address, password and prefix, and stays its owner’s', async t => {
  const [{ default: Fastify }, { default: redis }] = [await load('fastify'), await load('fastify-breakwater/redis')]
  const server = await startRedis(t, { args: ['--requirepass', 'hunter2'], client: { password: 'hunter2' } })
  const client = new Redis(server.url, { password: 'hunter2', keyPrefix: 'app:' })
  t.teardown(() => client.disconnect())
  const app = Fastify()
  await app.register(redis, { client })
  await app.redis.set('key', 'value')
  t.equal(await client.get('key'), 'value', 'the same database, the same prefix')
  t.equal(await server.cli('get', 'app:key'), 'value')
  await app.close()
  t.equal(await client.ping(), 'PONG', 'closing the application leaves it open')
})

t.test('from outside: two applications in one process share nothing', async t => {
  const [{ default: Fastify }, { redis, cache }] = [await load('fastify'), await load('fastify-breakwater')]
  const [one, two] = [await startRedis(t), await startRedis(t)]
  const apps = [Fastify(), Fastify()]
  t.teardown(() => Promise.all(apps.map(app => app.close())))
  for (const [app, server] of [[apps[0], one], [apps[1], two]] as const) {
    await app.register(redis, { target: server.url })
    await app.register(cache)
  }
  one.freeze()
  await t.rejects(apps[0].redis.get('key'), { code: /^FST_BRK_/ })
  await until(() => apps[0].redisGuard.state.breaker === 'open')
  t.equal(await apps[1].redis.set('key', 'value'), 'OK')
  t.equal(apps[1].redisGuard.state.breaker, 'closed')
  await apps[0].close()
  t.equal(await apps[1].redis.get('key'), 'value', 'closing one does not close the other')
  t.equal(await apps[1].cache.wrap('key', {}, async () => 'origin'), 'origin')
  await apps[1].close()
})
