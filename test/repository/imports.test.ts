import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ESLint } from 'eslint'
import t from 'tap'

const root = resolve(import.meta.dirname, '../..')
/** Programs through and through: a thread, and what measures or torments the service from outside. */
const programs = /\/worker\.ts$|^scripts\/(bench|chaos|failure-matrix|verify-image)\b/
const sources = globSync(['*.ts', '{plugins,routes,services,scripts}/**/*.ts'], { cwd: root })
  .filter(file => !programs.test(file))

t.test('every source file can be imported, and importing does nothing', async t => {
  t.ok(sources.length > 20, `${sources.length} files`)
  const handles = process.getActiveResourcesInfo().length
  const exitCode = process.exitCode
  for (const file of sources) {
    await t.resolves(import(pathToFileURL(join(root, file)).href), file)
  }
  t.equal(process.exitCode, exitCode, 'no script ran')
  t.equal(process.getActiveResourcesInfo().length, handles, 'nothing was opened')
})

const linter = new ESLint({ cwd: root })

async function rulesBrokenBy (file: string, code: string): Promise<string[]> {
  const [result] = await linter.lintText(`${code}\n`, { filePath: join(root, file) })
  return result!.messages.map(message => message.ruleId ?? message.message)
}

t.test('imports go one way: the linter rejects the other', async t => {
  const planted: [file: string, target: string][] = [
    ['services/redis/planted.ts', '../../plugins/redis.ts'],
    ['services/redis/deep/planted.ts', '../../../routes/models/index.ts'],
    ['services/redis/planted.ts', 'fastify'],
    ['services/redis/planted.ts', 'fastify-plugin'],
    ['services/redis/planted.ts', '@fastify/redis'],
    ['services/redis/planted.ts', '../../scripts/dev.ts'],
    ['services/redis/planted.ts', '../../app.ts'],
    ['services/redis/planted.ts', '../../test/helpers/redis-server.ts'],
    ['services/resilience/planted.ts', '../redis/guard.ts'],
    ['services/resilience/planted.ts', '../config/schema.ts'],
    ['services/config/planted.ts', '../resilience/backoff.ts'],
    ['services/journal/planted.ts', '../relay/relay.ts'],
    ['services/journal/sqlite/planted.ts', '../../relay/relay.ts'],
    ['services/health/planted.ts', '../redis/guard.ts'],
    ['plugins/planted.ts', '../routes/health/index.ts'],
    ['plugins/planted.ts', '../app.ts'],
    ['routes/models/planted.ts', '../../server.ts']
  ]
  for (const [file, target] of planted) {
    const label = `${file} → ${target}`
    t.strictSame(await rulesBrokenBy(file, `import '${target}'`), ['no-restricted-imports'], label)
    t.strictSame(await rulesBrokenBy(file, `await import('${target}')`), ['no-restricted-syntax'], `${label}, dynamic`)
  }
})

t.test('imports that follow the direction pass', async t => {
  const allowed: [file: string, target: string][] = [
    ['routes/models/planted.ts', '../../plugins/publisher.ts'],
    ['plugins/planted.ts', '../services/redis/guard.ts'],
    ['plugins/planted.ts', 'fastify-plugin'],
    ['services/redis/planted.ts', '@fastify/error'],
    ['services/redis/planted.ts', '../resilience/circuit-breaker.ts'],
    ['services/relay/planted.ts', '../journal/journal.ts'],
    ['services/journal/sqlite/planted.ts', '../journal.ts'],
    ['scripts/planted.ts', '../services/config/load.ts']
  ]
  for (const [file, target] of allowed) {
    t.strictSame(await rulesBrokenBy(file, `import '${target}'`), [], `${file} → ${target}`)
  }
})

t.test('every service folder has its line in the direction table', async t => {
  const folders = globSync('services/*/', { cwd: root })
  const { default: config } = await import(pathToFileURL(join(root, 'eslint.config.js')).href)
  const names = config.map((part: { name?: string }) => part.name)
  for (const folder of folders) t.ok(names.includes(`breakwater/${folder.replace(/\/$/, '')}`), folder)
})

t.test('the type-aware linter finds a floating promise', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'breakwater-lint-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions: { strict: true, lib: ['es2024'] }, include: ['*.ts'] }))
  writeFileSync(join(directory, 'planted.ts'), 'export async function work () {}\nwork()\n')
  // tap puts its own loader into NODE_OPTIONS, where it is in the linter's way.
  const command = `unset NODE_OPTIONS; oxlint --type-aware -c ${join(root, '.oxlintrc.json')} planted.ts`
  const { stdout } = spawnSync('sh', ['-c', command], { cwd: directory })
  t.match(stdout.toString(), /no-floating-promises/)
})
