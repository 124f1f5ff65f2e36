import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { coverageProblems } from './check-coverage.ts'
import { missingPackages, provide } from './check-prerequisites.ts'
import { runTests } from './check-tests.ts'

/** `npm test`: every check, each to its end, and the true sum on the last line. */
const checks = [
  ['lint', 'npm', 'run', '--silent', 'lint'],
  ['typecheck', 'npm', 'run', '--silent', 'typecheck'],
  ['type tests', 'npm', 'run', '--silent', 'test:types'],
  ['package', 'npm', 'run', '--silent', 'check:package']
] as const

export async function checkAll (testFiles: string[]): Promise<number> {
  let passed = 0
  let failed = 0
  const report = (name: string, ok: boolean, startedAt: number) => {
    console.log(`${ok ? 'ok    ' : 'FAILED'} ${name} (${((performance.now() - startedAt) / 1000).toFixed(1)} s)`)
    if (ok) passed++
    else failed++
  }

  for (const [name, command, ...args] of checks) {
    const startedAt = performance.now()
    report(name, spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'] }).status === 0, startedAt)
  }

  await provide(missingPackages(process.env), process.env)
  buildTapWhenNeeded()
  const startedAt = performance.now()
  const tests = await runTests(testFiles)
  report('tests ended well, none skipped', tests.ok, startedAt)
  if (testFiles.length === 0) {
    const problems = coverageProblems(readFileSync('.tap/report/coverage-summary.json', 'utf8'))
    for (const problem of problems) console.log(problem)
    report('coverage', problems.length === 0, performance.now())
  }

  console.log(`\nassertions: ${tests.passed} passed, ${tests.failed} failed; checks: ${passed} passed, ${failed} failed`)
  console.log(`${tests.passed + passed} passed, ${tests.failed + failed} failed`)
  return tests.failed + failed === 0 ? 0 : 1
}

/** tap generates its test class from the plugins of `.taprc`; the first run after `npm ci` would do so and then fail once. */
function buildTapWhenNeeded (): void {
  const built = 'node_modules/@tapjs/test/test-built/dist/esm/index.js'
  if (existsSync(built) && !readFileSync(built, 'utf8').includes('\n@tapjs/typescript')) return
  spawnSync('tap', ['build'], { stdio: ['ignore', 'ignore', 'inherit'] })
}

if (import.meta.main) process.exitCode = await checkAll(parseArgs({ allowPositionals: true }).positionals)
