import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseEnv } from 'node:util'
import t from 'tap'
import { generate } from '../../../scripts/generate-config-docs.ts'
import { envExample, fillMarkers } from '../../../services/config/documentation.ts'
import { loadConfig } from '../../../services/config/load.ts'
import { rules } from '../../../services/config/problems.ts'
import { sections, variableNames } from '../../../services/config/schema.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const read = (name: string) => readFileSync(join(root, name), 'utf8')

t.test('R1.8 .env.example and the tables are what the schema says', async t => {
  const remedy = 'run: node scripts/generate-config-docs.ts'
  const page = read('docs/configuration.md')
  t.equal(read('.env.example'), envExample(), remedy)
  t.equal(page, fillMarkers(page), remedy)
  for (const name of variableNames) t.match(page, `| \`${name}\` |`)
  for (const code of Object.keys(rules)) t.match(page, `| \`${code}\` |`)
})

t.test('every link of a remedy and of the page leads to a heading', async t => {
  const page = read('docs/configuration.md')
  const headings = [...page.matchAll(/^#+ (.*)$/gm)].map(([, title]) => title!.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-'))
  const anchors = [...Object.values(rules).map(({ anchor }) => anchor), ...[...page.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor!)]
  for (const anchor of new Set(anchors)) t.ok(headings.includes(anchor), anchor)
})

t.test('the examples of .env.example are valid, each by itself and all together', async t => {
  const examples = parseEnv(envExample().replace(/^# (?=[A-Z_]+=)/gm, ''))
  t.same(Object.keys(examples).sort(), variableNames.toSorted())
  // Where credentials come from is one of three.
  const { REDIS_AUTH_SECRET_ARN, REDIS_AUTH_SECRET_KEY, REDIS_IAM_CACHE_NAME, ...together } = examples
  t.ok(REDIS_AUTH_SECRET_ARN && REDIS_AUTH_SECRET_KEY && REDIS_IAM_CACHE_NAME)
  t.same(loadConfig(together).errors, [])
  for (const [name, value] of Object.entries(examples)) t.same(loadConfig({ [name]: value }).errors, [], name)
  t.same(parseEnv(envExample()), {}, 'as it is, it sets nothing')
  for (const title of Object.values(sections)) t.match(envExample(), `# ---- ${title} ----`)
})

t.test('the generator writes what is out of date, and --check fails on drift', async t => {
  const directory = mkdtempSync(join(tmpdir(), 'brk-docs-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  for (const name of ['services/config', 'scripts/generate-config-docs.ts', 'docs/configuration.md', 'package.json']) {
    cpSync(join(root, name), join(directory, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  const run = (...args: string[]) => spawnSync(process.execPath, ['scripts/generate-config-docs.ts', ...args], { cwd: directory, encoding: 'utf8' })

  t.match(run('--check'), { status: 1, stdout: /^\.env\.example is out of date/ })
  t.match(run(), { status: 0, stdout: '.env.example written\n' })
  t.equal(readFileSync(join(directory, '.env.example'), 'utf8'), envExample())
  const page = join(directory, 'docs/configuration.md')
  writeFileSync(page, readFileSync(page, 'utf8').replace('| `PORT` |', '| `PRT` |'))
  rmSync(join(directory, '.env.example'))
  t.same(generate(directory, { write: false }), ['.env.example', 'docs/configuration.md'])
  t.same(generate(directory, { write: true }), ['.env.example', 'docs/configuration.md'])
  t.same(generate(directory, { write: true }), [])
  t.match(run('--check'), { status: 0, stdout: '' })
  t.match(spawnSync(process.execPath, [join(root, 'scripts/generate-config-docs.ts'), '--check'], { encoding: 'utf8' }), { status: 0, stdout: '' })
})
