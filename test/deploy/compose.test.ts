import { spawn, spawnSync } from 'node:child_process'
import { createHash, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseEnv } from 'node:util'
import t from 'tap'
import { parse } from 'yaml'
import { buildApp } from '../../app.ts'
import { register } from '../../deploy/compose/register.ts'
import { loadConfig } from '../../services/config/load.ts'
import { about, variableNames } from '../../services/config/schema.ts'
import type { VariableName } from '../../services/config/schema.ts'
import { findRedisBinary, freePort, runCommand, startRedis } from '../helpers/redis-server.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'
import { until } from '../helpers/until.ts'

const root = join(import.meta.dirname, '../..')
const text = readFileSync(join(root, 'compose.yaml'), 'utf8')
const { services, volumes } = parse(text, { merge: true })
const all = Object.entries<any>(services)
const ours = all.filter(([, { image }]) => image?.includes('BREAKWATER_IMAGE'))
const isKnown = (name: string) => variableNames.includes(name as VariableName)

const make = (directory: string) => spawnSync('sh', [join(root, 'deploy/compose/setup/setup.sh'), directory], { encoding: 'utf8' })

t.test('R11.1 compose.yaml: the service, its servers, a consumer, and a model that is registered', async t => {
  t.strictSame(Object.keys(services).sort(), ['consumer', 'demo', 'postgres', 'redis', 'service', 'setup'])
  t.strictSame(ours.map(([name]) => name), ['service', 'consumer', 'demo'])
})

t.test('R11.1 compose.yaml: images have a tag, only the service is published, and only on this machine', async t => {
  for (const [name, { image, ports }] of all) {
    t.match(image, /:[\w.-]+\}?$/, name)
    t.notMatch(image, /latest/, name)
    t.equal(ports?.join(), name === 'service' ? `127.0.0.1:${'$'}{BREAKWATER_PORT:-3000}:3000` : undefined, name)
  }
})

t.test('R11.1 compose.yaml: our containers write nothing and have no privileges', async t => {
  for (const [name, service] of ours) t.match(service, { read_only: true, cap_drop: ['ALL'], security_opt: ['no-new-privileges:true'] }, name)
})

t.test('R11.1 compose.yaml: every variable exists, and none is secret', async t => {
  const others = ['POSTGRES_USER', 'POSTGRES_DB', 'POSTGRES_PASSWORD_FILE', 'SERVICE_URL']
  for (const [name, { environment = {} }] of all) {
    for (const [variable, value] of Object.entries(environment)) {
      t.ok(isKnown(variable) || others.includes(variable), `${name}: ${variable}`)
      t.ok(!isKnown(variable) || !about(variable as VariableName).secret || /^rediss:\/\/[\w:]+$/.test(String(value)), `${name}: ${variable} tells a host only`)
    }
  }
  t.notMatch(text, /:\/\/[^\s/]*:[^\s/]*@|(password|token|secret|key)\s*[:=]\s*['"]?\w/i)
})

t.test('R11.1 compose.yaml: what is waited for can be waited for, and what is mounted exists', async t => {
  for (const [name, { depends_on: waits = {}, volumes: mounts = [] }] of all) {
    for (const [other, { condition }] of Object.entries<any>(waits)) {
      if (condition === 'service_healthy') t.ok(services[other].healthcheck?.disable !== true && (other === 'service' || services[other].healthcheck.test), `${name} waits for ${other}`)
      if (condition === 'service_completed_successfully') t.equal(other, 'setup')
    }
    for (const mount of mounts) {
      const [source] = mount.split(':')
      t.ok(source.startsWith('./') ? existsSync(join(root, source)) : source in volumes, `${name}: ${mount}`)
    }
  }
  t.notOk('redis' in services.service.depends_on, 'the service does not wait for Redis')
})

t.test('R11.1 setup: secrets that the service accepts, a certificate that clients accept, made once', async t => {
  const directory = await temporaryDirectory(t)
  const read = (name: string) => readFileSync(join(directory, name), 'utf8')
  const { status, stdout, stderr } = make(directory)
  t.strictSame({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' })

  const certificate = new X509Certificate(read('redis.crt'))
  const authority = new X509Certificate(read('ca.crt'))
  t.ok(certificate.checkIssued(authority) && certificate.verify(authority.publicKey))
  t.equal(certificate.checkHost('redis'), 'redis')
  t.notOk(certificate.ca)
  t.strictSame(readdirSync(directory).filter(name => name.endsWith('.key')), ['redis.key'], 'the key of the authority is gone')

  const env = parseEnv(read('service.env'))
  for (const name of Object.keys(env)) t.ok(isKnown(name) && about(name as VariableName).secret, name)
  const { config, errors, warnings } = loadConfig({ HOST: '0.0.0.0', ...services.service.environment, ...env })
  t.strictSame([errors, warnings], [[], []])
  t.equal(config.redis.resolution.target?.tls, true)
  t.match(env.API_KEYS, createHash('sha256').update(parseEnv(read('demo.env')).API_KEY!).digest('hex'))
  t.match(env.DATABASE_URL, `:${read('postgres-password')}@postgres:`)
  t.strictSame(parseEnv(read('consumer.env')), { REDIS_AUTH_TOKEN: env.REDIS_AUTH_TOKEN })

  t.equal(make(directory).status, 0)
  t.strictSame(parseEnv(read('service.env')), env, 'a second run keeps everything')
  const other = await temporaryDirectory(t)
  make(other)
  t.not(readFileSync(join(other, 'postgres-password'), 'utf8'), read('postgres-password'), 'and nothing is the same elsewhere')
})

t.test('R11.1 setup: Redis starts from that file, with TLS and the token only', async t => {
  const directory = await temporaryDirectory(t)
  make(directory)
  const port = await freePort()
  const conf = join(directory, 'test.conf')
  writeFileSync(conf, `${readFileSync(join(directory, 'redis.conf'), 'utf8').replace('tls-port 6379', `tls-port ${port}`)}bind 127.0.0.1\ndir ${directory}\n`)
  const server = spawn(findRedisBinary()!, [conf], { stdio: 'ignore' })
  t.teardown(() => { server.kill('SIGKILL') })
  const password = parseEnv(readFileSync(join(directory, 'consumer.env'), 'utf8')).REDIS_AUTH_TOKEN!
  const tls = { ca: readFileSync(join(directory, 'ca.crt')), servername: 'redis' }
  await until(async () => await runCommand({ port, tls, password }, ['ping']).catch(() => null) === 'PONG')
  await t.rejects(runCommand({ port, tls }, ['ping']), 'without the token')
  await t.rejects(runCommand({ port, password }, ['ping']), 'without TLS')
  await t.rejects(runCommand({ port, tls: { ...tls, servername: 'other' }, password }, ['ping']), 'under another name')
})

t.test('R11.1 the demo registers with its key, and is content when the event was consumed', async t => {
  const redis = await startRedis(t)
  const key = 'brk_demo'
  const app = await buildApp({ env: { REDIS_URL: redis.url, DATABASE_URL: 'sqlite::memory:', API_KEYS: `demo:write:${createHash('sha256').update(key).digest('hex')}` } })
  t.teardown(() => app.close())
  const url = await app.listen({ port: 0, host: '127.0.0.1' })

  const demo = async (key: string, patienceMs?: number) => {
    const lines: string[] = []
    const code = await register(url, key, { say: line => { lines.push(line) }, ...patienceMs === undefined ? {} : { patienceMs } })
    return { code, text: lines.join('\n') }
  }
  t.match(await demo('brk_wrong'), { code: 1, text: /registered: 401/ })
  t.match(await demo(key, 500), { code: 1, text: /201[^]*not consumed/ }, 'without a consumer')
  await redis.cli('del', 'hokusai:model_ready_queue')
  const [result] = await Promise.all([demo(key), until(async () => await redis.cli('rpop', 'hokusai:model_ready_queue'))])
  t.match(result, { code: 0, text: /was consumed/ })
})
