import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { coverageProblems } from '../../scripts/check-coverage.ts'
import { missingPackages, provide } from '../../scripts/check-prerequisites.ts'
import { TapReader } from '../../scripts/check-tests.ts'

const report = (lines: [number, number], branches: [number, number]) => JSON.stringify({
  total: { lines: { covered: lines[0], total: lines[1] }, branches: { covered: branches[0], total: branches[1] } }
})

t.test('coverage below 95 % of lines or branches fails, and so does an empty report', async t => {
  t.strictSame(coverageProblems(report([95, 100], [19, 20])), [])
  t.strictSame(coverageProblems(report([100, 100], [94, 100])), ['coverage of branches: 94.00 %, must be at least 95 %'])
  t.strictSame(coverageProblems(report([0, 0], [0, 0])).length, 2)
})

const FAILING = `TAP version 14
# Subtest: test/a.test.ts
    # Subtest: outer
        # Subtest: inner
            ok 1 - fine
            not ok 2 - wrong
              ---
              diff: |
                -1
                +2
              ...
            not ok 3 - without details
            ok 4 - later
            1..4
        not ok 1 - inner # time=1ms
          ---
          at:
            lineNumber: 3
          ...
        1..1
    not ok 1 - outer
    ok 2 - left out # SKIP why
    1..2
not ok 1 - test/a.test.ts # time=47.022ms
  ---
  exitCode: 1
  ...

ok 2 - test/b.test.ts # time=2ms
File   | % Stmts
# { total: 5, pass: 2, fail: 2, skip: 1 }
# time=762.85ms`

function read (tap: string, exitCode: number | null) {
  const printed: string[] = []
  const reader = new TapReader(line => printed.push(line))
  for (const line of tap.split('\n')) reader.read(line)
  return { printed: printed.join('\n'), run: reader.result(exitCode) }
}

t.test('the report of a test run: files, failures with their details, tap\'s own totals', async t => {
  const { printed, run } = read(FAILING, 1)
  t.strictSame(run, { passed: 2, failed: 2, ok: false })
  t.match(printed, '  test/a.test.ts > outer > inner > not ok 2 - wrong')
  t.match(printed, / -1\n +\+2\n/)
  t.match(printed, 'not ok 3 - without details')
  t.match(printed, 'ok 2 - left out # SKIP why')
  t.match(printed, 'not ok 1 - test/a.test.ts')
  t.match(printed, 'ok 2 - test/b.test.ts')
  t.match(printed, 'File   | % Stmts')
  t.notMatch(printed, 'ok 1 - fine')
  t.notMatch(printed, 'ok 4 - later')
})

t.test('a run is good only when tap says so, something passed and nothing was skipped', async t => {
  const totals = (text: string) => `ok 1 - a\n# { total: 2, ${text} }`
  t.ok(read(totals('pass: 2'), 0).run.ok)
  t.notOk(read(totals('pass: 2'), 1).run.ok)
  t.notOk(read(totals('pass: 2'), null).run.ok)
  t.notOk(read(totals('pass: 1, skip: 1'), 0).run.ok)
  t.notOk(read(totals('pass: 1, todo: 1'), 0).run.ok)
  t.strictSame(read('', 0).run, { passed: 0, failed: 0, ok: false })
  t.equal(read('not ok 1 - test/crashed.test.ts\n# { total: 2, pass: 2 }', 1).run.failed, 1, 'a file that crashed counts')
})

t.test('missing packages are installed in a container as root, else named', async t => {
  const bin = mkdtempSync(join(tmpdir(), 'breakwater-check-'))
  t.teardown(() => rmSync(bin, { recursive: true }))
  const aptGet = (script: string) => {
    writeFileSync(join(bin, 'apt-get'), `#!/bin/sh\n${script}\n`)
    chmodSync(join(bin, 'apt-get'), 0o755)
  }
  const env = { PATH: bin }
  t.ok(missingPackages(env).includes('redis-server'))
  const lines = t.capture(console, 'log')
  await provide([], env)
  await provide(['redis-server'], env, () => true)
  aptGet(`echo "$@" >> ${bin}/log`)
  await provide(['redis-server', 'python3-redis'], env, () => false)
  const isRoot = process.getuid?.() === 0
  await provide(['redis-server', 'python3-redis'], env, () => true)
  aptGet('exit 1')
  await provide(['x'], env, () => true)
  const said = lines().map(call => String(call.args[0]))
  lines.restore()
  t.strictSame(said.slice(0, 2), ['Missing here: sudo apt-get install redis-server', 'Missing here: sudo apt-get install redis-server python3-redis'])
  if (isRoot) {
    t.match(readFileSync(join(bin, 'log'), 'utf8'), /^update -qq\ninstall .* redis-server python3-redis\n$/)
    t.match(said.at(-1), /apt-get update exited with 1; going on without/)
  }
})
