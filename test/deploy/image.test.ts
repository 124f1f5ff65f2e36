import { spawn } from 'node:child_process'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { healthCheck } from '../../deploy/image/health-check.ts'
import { filesBelow, sourcesOfImage } from '../../scripts/verify-image/sources.ts'
import { variableNames } from '../../services/config/schema.ts'
import type { VariableName } from '../../services/config/schema.ts'
import { buildEnvelope } from '../../services/queue/envelope.ts'
import { startRedis } from '../helpers/redis-server.ts'

const root = join(import.meta.dirname, '../..')
const read = (name: string) => readFileSync(join(root, name), 'utf8')
const manifest = JSON.parse(read('package.json'))
const dockerfile = instructions(read('Dockerfile'))
const stages = stagesOf(dockerfile)
const image = stages.at(-1)!
const isLetThrough = dockerignore(read('.dockerignore'))

t.test('R11.1 Dockerfile: the bases are arguments with a tag, of the Node that this project needs', async t => {
  const defaults = new Map(values(dockerfile, 'ARG').map(text => text.split(/=(.*)/s) as [string, string]))
  for (const from of values(dockerfile, 'FROM')) {
    const [, name] = /\$\{(\w+)\}(?: AS \w+)?$/.exec(from) ?? []
    t.match(defaults.get(name!), /^[a-z/]+:[\w.-]+$/, from)
    t.notMatch(defaults.get(name!), /:latest/, from)
  }
  t.equal(/^node:(\d+)-/.exec(defaults.get('NODE_IMAGE')!)?.[1], /(\d+)/.exec(manifest.engines.node)?.[1])
  t.equal(/bookworm|trixie/.exec(defaults.get('NODE_IMAGE')!)?.[0], /bookworm|trixie/.exec(defaults.get('RUNTIME_IMAGE')!)?.[0], 'one release of Debian')
})

t.test('R11.1 Dockerfile: what is copied exists, and the builder gets it', async t => {
  const sources = stages.flatMap(stage => values(stage, 'COPY')).filter(text => !text.includes('--from=')).flatMap(text =>
    text.split(' ').filter(word => !word.startsWith('--')).slice(0, -1))
  t.ok(sources.length > 8)
  for (const source of sources) t.ok(filesBelow(root, source).some(isLetThrough), source)
  t.notOk(dockerfile.some(({ name }) => name === 'ADD'))
})

t.test('R11.1 Dockerfile: only production dependencies, whose scripts do not run', async t => {
  const installs = values(dockerfile, 'RUN').filter(text => text.includes('npm '))
  t.equal(installs.length, 1)
  t.match(installs[0], /npm ci --omit=dev --ignore-scripts/)
})

t.test('R11.1 Dockerfile: nothing runs on the platform of the image, so one builder makes all of them', async t => {
  t.notOk(image.some(({ name }) => name === 'RUN'))
  for (const stage of stages.filter(stage => stage.some(({ name }) => name === 'RUN'))) t.match(stage[0]!.value, /^--platform=\$\{BUILDPLATFORM\} /)
  t.notMatch(read('Dockerfile'), /amd64|arm64|x86_64|aarch64/)
})

t.test('R11.1 Dockerfile: a user that is a number and not root, who owns the data and no program', async t => {
  const [user] = values(image, 'USER')
  t.match(user, /^[1-9]\d*:[1-9]\d*$/)
  for (const copy of values(image, 'COPY')) t.equal(copy.includes('--chown='), copy.endsWith(' /data'), copy)
  t.strictSame(values(image, 'VOLUME'), ['/data'])
  t.ok(image.findIndex(({ name }) => name === 'USER') > image.findLastIndex(({ name }) => name === 'COPY'), 'programs are copied as root')
})

t.test('R11.1 Dockerfile: it starts as npm start does, below a first process that passes signals on', async t => {
  t.equal(JSON.parse(values(image, 'CMD')[0]!).join(' '), manifest.scripts.start)
  t.strictSame(JSON.parse(values(image, 'ENTRYPOINT')[0]!), ['/usr/bin/tini', '--'])
  t.strictSame(values(image, 'STOPSIGNAL'), ['SIGTERM'])
  const [check] = values(image, 'HEALTHCHECK')
  const [command, file] = JSON.parse(/CMD (\[.*\])$/.exec(check!)![1]!)
  t.equal(command, 'node')
  t.ok(existsSync(join(root, file.replace(/^\/app\//, ''))), file)
  for (const option of ['interval', 'timeout', 'start-period', 'retries']) t.match(check, `--${option}=`)
})

t.test('R11.1 Dockerfile: the environment is what the service knows, and nothing in it or in an argument is secret', async t => {
  const environment = Object.fromEntries([...values(image, 'ENV').join(' ').matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name!, value!]))
  t.match(environment, { NODE_ENV: 'production', HOST: '0.0.0.0', DATABASE_URL: /^sqlite:\/data\// })
  t.equal(environment.PORT, values(image, 'EXPOSE')[0])
  for (const name of Object.keys(environment)) t.ok(name === 'NODE_ENV' || variableNames.includes(name as VariableName), name)
  for (const argument of values(dockerfile, 'ARG')) t.notMatch(argument, /token|password|secret|key/i)
  for (const label of ['title', 'description', 'licenses', 'source', 'version', 'revision', 'created']) {
    t.match(values(image, 'LABEL')[0], `org.opencontainers.image.${label}=`)
  }
})

t.test('R11.1 .dockerignore: the builder gets what the service and its commands need, and nothing else', async t => {
  const besides = ['.npmrc', 'package-lock.json', 'service/package.json']
  const passed = readdirSync(root).filter(name => !['node_modules', '.git', 'dist', '.tap', 'data'].includes(name))
    .flatMap(name => filesBelow(root, name)).filter(isLetThrough)
  t.strictSame(passed.sort(), [...sourcesOfImage(root), ...besides].sort())
  for (const name of ['.env', '.env.production', '.git/config', 'data/breakwater.db', 'services/.env.local', 'routes/server.pem', 'services/redis/tls.key',
    'plugins/node_modules/x/index.js', 'node_modules/fastify/package.json', 'test/app.test.ts', 'services/x/y.test.ts', 'docs/api.md', 'compose.yaml', 'dist/index.js', '.npmrc.bak']) {
    t.notOk(isLetThrough(name), name)
  }
})

t.test('R11.1 the health check asks /health/live, and does not wait for ever', async t => {
  const asked: string[] = []
  const answering = (status: number): RequestListener => (request, response) => {
    asked.push(request.url!)
    response.writeHead(status).end('{}')
  }
  t.equal(await healthCheck({ PORT: await listening(t, answering(200)) }), 0)
  t.equal(await healthCheck({ PORT: ` ${await listening(t, answering(503))} ` }), 1)
  t.strictSame(asked, ['/health/live', '/health/live'])
  t.equal(await healthCheck({ PORT: await listening(t, () => {}) }, 100), 1, 'no answer')
  t.equal(await healthCheck({ PORT: '1' }), 1, 'nobody listens')
  const PORT = await listening(t, answering(200))
  t.equal((await run(['deploy/image/health-check.ts'], { PORT })).code, 0, 'as Docker runs it')
  t.equal((await run(['deploy/image/health-check.ts'], { PORT: '1' })).code, 1)
})

t.test('R11.1 the commands work under the environment of the image, which is made for the service', async t => {
  const redis = await startRedis(t)
  const { body: message } = buildEnvelope({ model_id: 'm', token_symbol: 't', metric_name: 'auc', baseline_value: 0.5, current_value: 0.75, model_name: 'm', model_version: '1' }, { correlationId: 'c' })
  await redis.cli('lpush', 'hokusai:model_ready_queue', message)
  const env = { HOST: '0.0.0.0', DATABASE_URL: 'sqlite:/data/breakwater.db', ECS_CONTAINER_METADATA_URI_V4: 'http://169.254.170.2/v4/x', REDIS_URL: redis.url }
  t.match(await run(['scripts/breakwater.ts', 'consume', '--once'], env), { code: 0, stdout: `${message}\n` })
  const status = await run(['scripts/breakwater.ts', 'queue', 'status', '--json'], { ...env, ECS_CONTAINER_METADATA_URI_V4: '' })
  t.match(status, { code: 2 }, 'its journal is elsewhere, the queue is shown')
  t.equal(JSON.parse(status.stdout).waiting, 0)
})

interface Instruction { name: string, value: string }

/** Comments and line ends taken away, as Docker does it. */
function instructions (text: string): Instruction[] {
  const lines = text.split('\n').filter(line => !/^\s*#/.test(line)).join('\n').replaceAll(/\\\n\s*/g, '').split('\n')
  return lines.filter(line => line.trim() !== '').map(line => {
    const [, name, value] = /^([A-Z]+) +(.*)$/.exec(line)!
    return { name: name!, value: value!.trim() }
  })
}

function stagesOf (all: Instruction[]): Instruction[][] {
  return all.reduce<Instruction[][]>((found, instruction) => {
    if (instruction.name === 'FROM') found.push([])
    found.at(-1)?.push(instruction)
    return found
  }, [])
}

function values (some: Instruction[], wanted: string): string[] {
  return some.filter(({ name }) => name === wanted).map(({ value }) => value)
}

/** Docker's rules as far as the file uses them: the last pattern decides that names the file or a folder above it. */
function dockerignore (text: string): (name: string) => boolean {
  const patterns = text.split('\n').filter(line => line !== '' && !line.startsWith('#')).map(line => {
    const source = line.replace(/^!/, '').split('/').map(part => part === '**' ? '(?:.*/)?' : `${part.replaceAll('.', '\\.').replaceAll('*', '[^/]*')}/`).join('')
    return { lets: line.startsWith('!'), matches: new RegExp(`^${source.replace(/\/$/, '')}(?:/.*)?$`) }
  })
  return name => patterns.findLast(({ matches }) => matches.test(name))?.lets ?? true
}

async function listening (t: Test, handle: RequestListener): Promise<string> {
  const server = createServer(handle)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return String((server.address() as AddressInfo).port)
}

async function run (args: string[], env: NodeJS.ProcessEnv) {
  const child = spawn(process.execPath, args, { cwd: root, env: { PATH: process.env.PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (data: Buffer) => { output[name] += data })
  const [code] = await once(child, 'close')
  return { code: code as number | null, ...output }
}
