import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { deadLinks, readDocument, root, shell, shellBlocks, startWorld, toRun } from '../helpers/documents.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

const files = globSync(['*.md', 'docs/*.md', '.github/*.md', '{deploy,examples,service}/**/*.md'], { cwd: root }).toSorted()
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }

/** Documents whose commands other tests execute: readme.test.ts, deployment-documents.test.ts, test/package. */
const elsewhere = ['CONTRIBUTING.md', 'README.md', 'docs/deployment.md', 'docs/package.md', 'docs/rollback.md']

t.test('R11.4 every link inside the repository leads to a file and to a heading', async (t) => {
  t.ok(files.length > 25)
  for (const file of files) t.strictSame(deadLinks(file), [], file)
})

t.test('R11.4 commands that the documents name exist', async (t) => {
  const help = await shell('npx breakwater --help', root, {})
  const commands = [...help.matchAll(/^ {2}breakwater (\w+)/gm)].map(([, name]) => name!)
  for (const file of files) {
    const document = readDocument(file)
    for (const [command, name] of document.matchAll(/npm run (?:--silent )?([a-z]+(?::[a-z-]+)?(?:-[a-z]+)*)/g)) t.ok(name! in scripts, `${file}: ${command}`)
    for (const [command, name] of document.matchAll(/(?:npx|`) ?breakwater ([a-z]+)/g)) t.ok(commands.includes(name!), `${file}: ${command}`)
  }
})

/** What each document has the reader run, and what has to come out. Null: test/routes/contract.test.ts runs it. */
const expectations: Record<string, (RegExp | null)[]> = {
  'docs/api.md': [/^HTTP\/1\.1 201 Created[^]*"message_id"/, null],
  'docs/doctor.md': [/./],
  'docs/publishing.md': [/^\d+\n\d+\n$/],
  'docs/troubleshooting.md': [/./]
}
const KEY = 'canary-8e21'

t.test('R11.4 every command is executed by a test, or says what it needs', async (t) => {
  const rest = files.filter((file) => !elsewhere.includes(file) && toRun(readDocument(file)).length > 0)
  t.strictSame(rest, Object.keys(expectations))
  const { redis, cwd, local } = await startWorld(t, KEY)
  writeFileSync(join(cwd, '.curlrc'), `silent\nheader = "x-api-key: ${KEY}"\n`)
  writeFileSync(join(cwd, 'service.log'), ['one', 'two'].map((envelope) => `${JSON.stringify({ level: 40, event: 'message_not_queued', envelope })}\n`).join(''))
  for (const file of rest) {
    for (const [index, code] of toRun(readDocument(file)).entries()) {
      const expected = expectations[file]![index]
      if (expected === null) continue
      const command = local(code.replaceAll('http://127.0.0.1:3000', 'https://models.example.com')).replaceAll(' deploy/ecs', ` ${root}/deploy/ecs`)
      t.match(await shell(command, cwd, { KEY }), expected, `${file}: ${code}`)
    }
  }
  t.strictSame(await redis.cli('lrange', 'hokusai:model_ready_queue', 0, 1), ['two', 'one'])
})

t.test('commands that need something else are at least shell', async (t) => {
  const cwd = await temporaryDirectory(t)
  const marked = files.flatMap((file) => shellBlocks(readDocument(file)).filter(({ needs }) => needs !== null))
  t.ok(marked.length > 5)
  for (const { code, needs } of marked) {
    t.match(needs, /^(AWS|Docker|a registry)$/)
    await t.resolves(shell(`if false; then\n${code}\nfi`, cwd, {}), code)
  }
})
