import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'

const root = resolve(import.meta.dirname, '../..')

/** A tiny project with the same commands, so that the whole of `npm test` can be run in a second or two. */
function project (t: Test, { lint = 'true', test }: { lint?: string, test: string }) {
  const directory = mkdtempSync(join(tmpdir(), 'breakwater-check-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const scripts = { lint, typecheck: 'true', 'test:types': 'true', 'check:package': 'true' }
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ type: 'module', scripts }))
  writeFileSync(join(directory, 'source.ts'), 'export const sum = (a: number, b: number) => a > 0 ? a + b : b > 0 ? b : a\n')
  mkdirSync(join(directory, 'test'))
  writeFileSync(join(directory, 'test/a.test.ts'), `import t from 'tap'\nimport { sum } from '../source.ts'\n${test}\n`)
  symlinkSync(join(root, '.taprc'), join(directory, '.taprc'))
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  return (...args: string[]) => {
    const { status, stdout } = spawnSync(process.execPath, [`${root}/scripts/check-all.ts`, ...args], { cwd: directory, env: { PATH: process.env.PATH, HOME: process.env.HOME } })
    return { status, lines: stdout.toString().trimEnd().split('\n') }
  }
}

const GOOD = "t.equal(sum(1, 2), 3)\nt.equal(sum(0, 2), 2)\nt.equal(sum(0, 0), 0)\nt.test('named', async t => { t.ok(true) })"

t.test('all good: exit code 0, and the last line is the true sum', async t => {
  const { status, lines } = project(t, { test: GOOD })()
  t.equal(status, 0, lines.join('\n'))
  t.equal(lines.at(-2), 'assertions: 4 passed, 0 failed; checks: 6 passed, 0 failed')
  t.equal(lines.at(-1), '10 passed, 0 failed')
})

t.test('what is wrong is shown and counted: a check, a test, a skipped test, missing coverage', async t => {
  const run = project(t, { lint: 'false', test: "t.test('sums', async t => { t.equal(sum(1, 2), 4, 'wrong sum') })\nt.ok(1)\nt.skip('later')" })
  const { status, lines } = run()
  t.equal(status, 1)
  t.ok(lines.some(line => /FAILED lint/.test(line)))
  t.ok(lines.some(line => /sums > not ok 1 - wrong sum/.test(line)))
  t.ok(lines.some(line => /^coverage of branches: \d\d\.\d\d %/.test(line)))
  t.equal(lines.at(-2), 'assertions: 1 passed, 1 failed; checks: 3 passed, 3 failed')
  t.equal(lines.at(-1), '4 passed, 4 failed')
})

t.test('with files named, only those run, and coverage is not judged', async t => {
  const { status, lines } = project(t, { test: 't.equal(sum(1, 2), 3)' })('test/a.test.ts')
  t.equal(status, 0, lines.join('\n'))
  t.equal(lines.at(-1), '6 passed, 0 failed')
})
