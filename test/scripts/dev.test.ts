import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { dev } from '../../scripts/dev.ts'
import { installCommand, ways } from '../../scripts/dev/plan.ts'
import { choosePort, complete, end, start } from '../../scripts/dev/processes.ts'
import { obtainRedis } from '../../scripts/dev/redis.ts'
import { disposable, findOnPath, look } from '../../scripts/dev/surroundings.ts'
import { findRedisBinary, runCommand, startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const root = resolve(import.meta.dirname, '../..')
const redisServer = findOnPath(findRedisBinary() ?? '', process.env)

/** A PATH of the test's own: only the commands that it puts there exist. */
function machine (t: Test, commands: Record<string, string> = {}) {
  const base = mkdtempSync(join(tmpdir(), 'breakwater-dev-'))
  t.teardown(() => rmSync(base, { recursive: true, force: true }))
  const bin = join(base, 'bin')
  mkdirSync(bin)
  const put = (name: string, script: string) => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`)
    chmodSync(join(bin, name), 0o755)
  }
  for (const [name, script] of Object.entries(commands)) put(name, script)
  const said: string[] = []
  const env: NodeJS.ProcessEnv = { PATH: bin, LOG_LEVEL: 'silent' }
  const data = join(base, 'data')
  return {
    bin,
    data,
    env,
    said,
    put,
    say: (text: string) => { said.push(text) },
    setting: { env, directory: join(data, 'redis'), packageManager: 'apt-get', say: (text: string) => { said.push(text) } }
  }
}

const portOf = (url: string | null) => Number(new URL(url!).port)
const ping = async (url: string | null) => await runCommand({ port: portOf(url) }, ['ping'])

t.test('the decision: which ways to a Redis are tried, in which order', async t => {
  const nothing = { configured: false, binary: null, installable: false, engine: null, packageManager: null }
  const kinds = (facts: object) => ways({ ...nothing, ...facts }).map(way => way.kind)
  t.strictSame(kinds({}), ['degraded'])
  t.strictSame(kinds({ configured: true, binary: 'x', installable: true, engine: 'y' }), ['configured'])
  t.strictSame(kinds({ binary: 'x', installable: true, engine: 'y' }), ['local', 'degraded'])
  t.strictSame(kinds({ installable: true, engine: 'y' }), ['install', 'container', 'degraded'])
  t.strictSame(kinds({ engine: 'y' }), ['container', 'degraded'])
  t.equal(installCommand('brew', 1), 'brew install redis')
  t.equal(installCommand('apt-get', 1), 'sudo apt-get install redis-server')
  t.equal(installCommand(null, 1234), 'docker run --rm -p 127.0.0.1:1234:6379 redis:7')
})

t.test('what the surroundings are', async t => {
  t.strictSame(await look({ PATH: '' }), { configured: false, binary: null, installable: false, engine: null, packageManager: null })
  t.equal((await look({})).binary, null)
  t.ok((await look({ REDIS_URL: 'redis://x' })).configured)
  t.ok((await look({ REDIS_HOST: 'x' })).configured)
  t.notOk((await look({ REDIS_URL: '  ' })).configured, 'R1.3 blank is unset')

  const full = machine(t, { 'valkey-server': '', 'apt-get': '', docker: 'exit 0' })
  t.equal((await look(full.env)).binary, join(full.bin, 'valkey-server'))
  t.equal((await look(full.env)).engine, null, 'an engine is not asked where a server is found')
  t.equal((await look(full.env)).packageManager, 'apt-get')
  const root = process.getuid?.() === 0
  t.equal((await look(full.env, () => true)).installable, root)
  t.equal((await look(full.env, () => false)).installable, false, 'never on a laptop')

  t.equal((await look(machine(t, { docker: 'exit 1', podman: 'exit 0' }).env)).engine?.split('/').at(-1), 'podman')
  t.equal((await look(machine(t, { docker: 'exit 1' }).env)).engine, null, 'an engine that does not answer is none')
  const broken = machine(t)
  writeFileSync(join(broken.bin, 'docker'), '#!/no/such/interpreter\n', { mode: 0o755 })
  mkdirSync(join(broken.bin, 'redis-server'))
  t.equal((await look(broken.env)).engine, null, 'nor is a file that cannot run')
  t.equal((await look(broken.env)).binary, null, 'nor is a folder a server')

  t.ok(disposable({ CI: 'true' }))
  t.ok(disposable({ container: 'podman' }))
  t.type(disposable({}), 'boolean')
})

t.test('found: a real server on a free port, its data kept, shared by a second run, stopped by the first', async t => {
  const { setting } = machine(t)
  const way = { kind: 'local', binary: redisServer! } as const
  const first = await obtainRedis([way], setting)
  await runCommand({ port: portOf(first.url) }, ['set', 'kept', 'yes'])
  const second = await obtainRedis([way], setting)
  t.equal(second.url, first.url)
  t.match(second.description, /already running/)
  await second.stop()
  t.equal(await ping(first.url), 'PONG')
  t.type(first.pid, 'number')
  await first.stop()
  await t.rejects(ping(first.url))

  const again = await obtainRedis([way], setting)
  t.equal(await runCommand({ port: portOf(again.url) }, ['get', 'kept']), 'yes')
  await again.stop()
})

t.test('a port file that somebody else answers on is ignored', async t => {
  const { setting } = machine(t)
  const other = await startRedis(t)
  mkdirSync(setting.directory, { recursive: true })
  writeFileSync(join(setting.directory, 'port'), String(other.port))
  const redis = await obtainRedis([{ kind: 'local', binary: redisServer! }], setting)
  t.not(redis.url, other.url)
  await redis.stop()

  const mute = createServer(socket => socket.end())
  mute.listen(0, '127.0.0.1')
  await once(mute, 'listening')
  writeFileSync(join(setting.directory, 'port'), String((mute.address() as { port: number }).port))
  const next = await obtainRedis([{ kind: 'local', binary: redisServer! }], setting)
  t.equal(await ping(next.url), 'PONG')
  await next.stop()
  mute.close()
})

t.test('installable: the package is installed, then the server found and started', async t => {
  const apt = machine(t)
  apt.put('apt-get', `echo "$@ $RUNLEVEL" >> ${apt.bin}/log; [ "$1" = update ] || /bin/ln -s ${redisServer} ${apt.bin}/redis-server`)
  const redis = await obtainRedis(ways(await look(apt.env, () => true)).filter(way => way.kind !== 'degraded').concat({ kind: 'install' }), apt.setting)
  t.equal(await ping(redis.url), 'PONG')
  t.match(spawnSync('cat', [join(apt.bin, 'log')]).stdout.toString(), /^update -qq 1\ninstall -y .*redis-server 1\n$/)
  await redis.stop()
})

t.test('an installation that fails gives way to the next, and says why', async t => {
  const failing = machine(t, { 'apt-get': 'exit 100' })
  const useless = machine(t, { 'apt-get': 'exit 0' })
  for (const [{ setting, said }, reason] of [[failing, /"install": .*apt-get.* exited with 100/], [useless, /"install": apt-get succeeded, but/]] as const) {
    const redis = await obtainRedis([{ kind: 'install' }, { kind: 'degraded' }], setting)
    t.match(said.at(-1), reason)
    t.match(redis.description, /none found/)
    await redis.stop()
  }
  await t.rejects(obtainRedis([], failing.setting))
})

t.test('container: an engine that answers runs redis:7 on a port of ours', async t => {
  const engine = machine(t)
  engine.put('docker', `[ "$1" = info ] && exit 0
echo "$@" > ${engine.bin}/log
port=$(echo "$4" | /usr/bin/cut -d: -f2)
exec ${redisServer} --port "$port" --save ""`)
  const surroundings = await look(engine.env)
  t.strictSame(ways(surroundings).map(way => way.kind), ['container', 'degraded'])
  const redis = await obtainRedis(ways(surroundings), engine.setting)
  t.equal(await ping(redis.url), 'PONG')
  t.match(spawnSync('cat', [join(engine.bin, 'log')]).stdout.toString(), /^run --rm -p 127\.0\.0\.1:\d+:6379 .* redis:7/)
  await redis.stop()
  await t.rejects(ping(redis.url))

  engine.env.REDIS_IMAGE = 'local/redis'
  const other = await obtainRedis(ways(surroundings), engine.setting)
  t.match(other.description, 'container of local/redis')
  t.match(spawnSync('cat', [join(engine.bin, 'log')]).stdout.toString(), / local\/redis --appendonly yes/)
  await other.stop()

  engine.put('docker', 'echo "no such image" >&2; exit 125')
  const degraded = await obtainRedis([{ kind: 'container', engine: join(engine.bin, 'docker') }, { kind: 'degraded' }], engine.setting)
  t.match(engine.said.at(-1), /"container": it did not answer on port \d+ \(exit code 125\)/)
  await degraded.stop()
})

t.test('nothing: the command that installs it is shown, and a server that appears is started on the promised port', async t => {
  const bare = machine(t)
  const redis = await obtainRedis(ways(await look(bare.env, () => false)), bare.setting)
  t.match(redis.description, 'sudo apt-get install redis-server')
  await t.rejects(ping(redis.url))
  bare.put('redis-server', 'exit 7')
  await until(() => bare.said.some(text => /redis-server did not start: .*exit code 7/.test(text)))
  await redis.stop()

  rmSync(join(bare.bin, 'redis-server'))
  const patient = await obtainRedis([{ kind: 'degraded' }], bare.setting)
  symlinkSync(redisServer!, join(bare.bin, 'redis-server'))
  await until(() => ping(patient.url).catch(() => false))
  await until(() => bare.said.some(text => /Redis is here/.test(text)))
  await patient.stop()
  await t.rejects(ping(patient.url))
})

t.test('processes end: by themselves, by SIGTERM, by SIGKILL', async t => {
  const env = { PATH: process.env.PATH }
  const stubborn = await start('sh', ['-c', 'trap "" TERM; echo ready; while :; do sleep 0.05; done'], { env, stdio: ['ignore', 'pipe', 'ignore'] })
  await once(stubborn.stdout!, 'data')
  t.equal(await end(stubborn, 50), null)
  t.equal(stubborn.signalCode, 'SIGKILL')
  t.equal(await end(stubborn), null, 'once more is no harm')
  await t.rejects(complete('sh', ['-c', 'sleep 5'], env, 50), { message: 'sh -c was not done after 50 ms' })
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  t.not(await choosePort(port), port)
  taken.close()
})

/** `dev()` until it has printed its banner. */
async function running (t: Test, env: NodeJS.ProcessEnv, data: string) {
  const stop = new AbortController()
  const said: string[] = []
  const ended = dev({ ...env, LOG_LEVEL: 'silent' }, { data, say: text => { said.push(text) }, isDisposable: () => false, signal: stop.signal })
  t.teardown(async () => { stop.abort(); await ended })
  const banner = await until(() => said.find(text => text.includes('Breakwater runs.')))
  const url = /service {3}(.*)\/models/.exec(banner)![1]!
  const register = async (version: string) => await fetch(`${url}/models`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model_name: 'churn', version, token_id: 'hok', metric_name: 'auc', baseline_value: 0.5 })
  })
  return { banner, url, said, register, stop: async () => { stop.abort(); return await ended } }
}

t.test('the whole: the curl of the banner registers a model, its event is in the queue of the banner, Ctrl-C ends all with 0', async t => {
  const local = machine(t)
  symlinkSync(redisServer!, join(local.bin, 'redis-server'))
  const service = await running(t, local.env, local.data)
  const curl = /curl -s .*/.exec(service.banner)![0]
  t.match(JSON.parse(spawnSync('sh', ['-c', curl]).stdout.toString()), { model_name: 'churn', event: {} })
  const redisUrl = /REDIS_URL=(\S+) npm run consume/.exec(service.banner)![1]!
  await until(async () => await runCommand({ port: portOf(redisUrl) }, ['llen', 'hokusai:model_ready_queue']) === 1)
  t.match(service.banner, /kill -STOP \d+/)
  t.equal(await service.stop(), 0)
  await t.rejects(ping(redisUrl), 'Redis was stopped with it')
})

t.test('degraded: registrations are journaled, and reach the queue when a server is installed', async t => {
  const bare = machine(t)
  const service = await running(t, bare.env, bare.data)
  t.equal((await service.register('1')).status, 201)
  t.equal((await fetch(`${service.url}/health`)).status, 200)
  symlinkSync(redisServer!, join(bare.bin, 'redis-server'))
  const redisUrl = /REDIS_URL=(\S+) npm run consume/.exec(service.banner)![1]!
  await until(async () => await runCommand({ port: portOf(redisUrl) }, ['llen', 'hokusai:model_ready_queue']).catch(() => 0) === 1)
  t.equal(await service.stop(), 0)
})

t.test('a Redis and a port from the environment are respected', async t => {
  const redis = await startRedis(t)
  const bare = machine(t)
  const port = await choosePort(0)
  const database = `sqlite:${join(bare.data, 'own.db')}`
  mkdirSync(bare.data)
  const service = await running(t, { ...bare.env, REDIS_URL: redis.url, PORT: String(port), HOST: '127.0.0.1', DATABASE_URL: database }, bare.data)
  t.equal(service.url, `http://127.0.0.1:${port}`)
  t.match(service.banner, /Redis {5}as the environment says/)
  t.equal((await service.register('1')).status, 201)
  await until(async () => await redis.cli('llen', 'hokusai:model_ready_queue') === 1)
  t.equal(await service.stop(), 0)
})

t.test('a service that ends by itself ends the run with 1', async t => {
  const bare = machine(t)
  const said: string[] = []
  const env = { ...bare.env, REDIS_URL: 'nonsense://x', REDIS_REQUIRED: 'true' }
  const exitCode = await dev(env, { data: bare.data, say: text => { said.push(text) }, signal: new AbortController().signal })
  t.equal(exitCode, 1)
  t.match(said.at(-1), /The service ended by itself with exit code 1/)
})

t.test('the command itself: SIGINT, twice as npm sends it, and exit code 0', async t => {
  const local = machine(t)
  const child = spawn(process.execPath, [join(root, 'scripts/dev.ts'), '--data', local.data], { env: local.env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGTERM') })
  let output = ''
  child.stdout.on('data', data => { output += data })
  await until(() => output.includes('Ctrl-C'))
  child.kill('SIGINT')
  child.kill('SIGINT')
  t.strictSame(await once(child, 'exit'), [0, null])
})
