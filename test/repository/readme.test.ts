import { execFileSync, spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { choosePort } from '../../scripts/dev/processes.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { until } from '../helpers/until.ts'

const root = resolve(import.meta.dirname, '../..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

function blocks (language: string): string[] {
  return [...readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'))].map(match => match[1]!.trim())
}

/** The repository as a clone has it, seen through links, with data of its own. */
function clone (t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'breakwater-readme-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  for (const name of readdirSync(root).filter(name => !['data', '.tap', 'dist', '.git'].includes(name))) {
    symlinkSync(join(root, name), join(directory, name))
  }
  return directory
}

/** The environment of a shell, without what npm and tap put into that of a test. */
function shell (overrides: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, HOME: process.env.HOME, ...overrides }
}

function run (block: string, cwd: string, port: number, env: NodeJS.ProcessEnv = {}): string {
  const script = `set -eu; unset NODE_OPTIONS\n${block.replaceAll('localhost:3000', `localhost:${port}`)}`
  return execFileSync('bash', ['-c', script], { cwd, env: shell(env), timeout: 20_000 }).toString()
}

/** The compiler cannot run under the loader that tap puts into NODE_OPTIONS. @returns what it complains about. */
function compile (cwd: string, options: string): string {
  return spawnSync('sh', ['-c', `unset NODE_OPTIONS; exec tsc ${options}`], { cwd }).stdout.toString()
}

async function stop (child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit')
  process.kill(-child.pid!, 'SIGINT')
  await exited
}

function isAlive (pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const [runCommand, testCommand, firstEvent, outage, doctor, ...others] = blocks('bash')

t.test('the README has the blocks that this test executes, and no other', async t => {
  t.equal(runCommand, 'npm ci && npm run dev')
  t.equal(testCommand, 'npm ci && npm test')
  t.match(firstEvent, /curl .*models/)
  t.match(outage, /kill -STOP/)
  t.match(doctor, /npm run doctor/)
  t.strictSame(others, [])
})

t.test('npm ci has a lock file that fits, and CI runs the test command', async t => {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages['']
  for (const kind of ['dependencies', 'devDependencies', 'peerDependencies', 'engines']) t.strictSame(lock[kind], manifest[kind], kind)
  t.match(manifest.scripts, { dev: 'node scripts/dev.ts', test: 'node scripts/check-all.ts', start: 'node --max-semi-space-size=4 server.ts' })
  const ci = readFileSync(join(root, '.ci/run'), 'utf8')
  t.match(ci, /^npm ci .*\nnpm test$/m)
  t.ok(statSync(join(root, '.ci/run')).mode & 0o100, '.ci/run can be executed')
  for (const [name, command] of Object.entries<string>(manifest.scripts)) {
    for (const [, file] of command.matchAll(/node (?:--\S+ )*(\S+\.ts)/g)) t.ok(existsSync(join(root, file!)), `npm run ${name}: ${file}`)
  }
})

t.test('quick start: npm run dev, a registration, its event, an outage, the next event', async t => {
  const cwd = clone(t)
  const port = await choosePort(0)
  const dev = spawn('bash', ['-c', `unset NODE_OPTIONS; ${runCommand!.split('&& ')[1]}`], { cwd, env: shell({ PORT: String(port) }), detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  dev.stdout.on('data', data => { output += data })
  t.teardown(() => { if (dev.exitCode === null && dev.signalCode === null) process.kill(-dev.pid!, 'SIGTERM') })
  await until(() => output.includes('Ctrl-C stops everything'))

  const [registered, event] = run(firstEvent!, cwd, port).trim().split('\n').map(line => JSON.parse(line))
  t.match(registered, { model_name: 'churn', version: '1', event: { message_id: String } })
  t.match(event, { message_id: registered.event.message_id, message_type: 'model_ready_to_deploy', payload: { model_version: '1' } })

  // A terminal is one process: what the block before exported is there.
  const exported = firstEvent!.split('\n').filter(line => line.startsWith('export ')).join('\n')
  const [during, health, afterwards] = run(`${exported}\n${outage}`, cwd, port).trim().split('\n').map(line => JSON.parse(line))
  t.match(during, { model_name: 'churn', version: '2', event: { message_id: String } })
  t.match(health.status, /^(healthy|degraded)$/)
  t.match(afterwards, { message_id: during.event.message_id, payload: { model_version: '2' } })
  await stop(dev)
  const redisPid = Number(readFileSync(join(cwd, 'data/redis/pid'), 'utf8'))
  await until(() => !isAlive(redisPid))
})

t.test('the doctor command', async t => {
  const printed = run(doctor!, clone(t), 0, { REDIS_URL: 'rediss://:hunter2@cache.example.com' })
  t.match(printed, /cache\.example\.com/)
  t.notMatch(printed, /hunter2/)
})

t.test('the example of another service', async t => {
  const redis = await startRedis(t)
  const cwd = clone(t)
  t.equal(compile(root, `-p tsconfig.build.json --outDir ${cwd}/dist`), '')
  // Node resolves links to their target: the package must find its own build, so these two are copies.
  for (const name of ['package.json', 'tsconfig.json']) {
    rmSync(join(cwd, name))
    writeFileSync(join(cwd, name), readFileSync(join(root, name)))
  }
  const required = spawnSync(process.execPath, ['-p', 'typeof require("fastify-breakwater/redis").default'], { cwd })
  t.equal(required.stdout.toString().trim(), 'function', 'CommonJS can require it')

  const port = await choosePort(0)
  writeFileSync(join(cwd, 'sibling.ts'), blocks('ts')[0]!.replace('3001', String(port)))
  const types = compile(cwd, '--noEmit --ignoreConfig --module nodenext --target es2024 --lib es2024,esnext.disposable --types node --skipLibCheck --strict sibling.ts')
  t.equal(types, '', 'it compiles against the declarations of the package')
  const sibling = spawn(process.execPath, ['sibling.ts'], { cwd, env: shell({ REDIS_URL: redis.url }), stdio: 'inherit' })
  t.teardown(() => { sibling.kill('SIGKILL') })
  const get = (path: string) => fetch(`http://localhost:${port}${path}`).then(async response => await response.json() as object, () => null)
  await until(() => get('/visits'))
  t.match(await get('/visits'), { visits: Number })
  t.match(await get('/health'), { status: String })
})

t.test('every plugin can be imported by its own path, and only what is compiled is published', async t => {
  const plugins = globSync('plugins/*.ts', { cwd: root }).filter(file => readFileSync(join(root, file), 'utf8').includes('export default fp('))
  for (const file of plugins) {
    const name = basename(file, '.ts')
    t.strictSame(manifest.exports[`./${name}`], { types: `./dist/plugins/${name}.d.ts`, default: `./dist/plugins/${name}.js` })
  }
  t.strictSame(manifest.files, ['dist', 'schemas'])
})

t.test('links lead somewhere, and every dependency is explained', async t => {
  for (const [, target] of readme.matchAll(/\]\(([^)#]+)\)/g)) t.ok(existsSync(join(root, target!)), target!)
  const explained = readFileSync(join(root, 'docs/dependencies.md'), 'utf8')
  const names = ['dependencies', 'devDependencies', 'peerDependencies'].flatMap(kind => Object.keys(manifest[kind]))
  for (const name of names) t.match(explained, `\`${name}\``, name)
})
