import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { doctor } from '../../services/config/doctor.ts'

const script = fileURLToPath(new URL('../../scripts/doctor.ts', import.meta.url))

async function run (args: string[], env: Record<string, string>) {
  const child = spawn(process.execPath, [script, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const exited = new Promise<number | null>(resolve => child.once('close', resolve))
  const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited])
  return { stdout, stderr, exitCode }
}

const good = { REDIS_URL: 'rediss://app:s3cret@cache.example.com:6380/2' }

t.test('exit code 0: valid; JSON and nothing else on standard output', async t => {
  const { stdout, stderr, exitCode } = await run(['--print', '--json'], good)
  t.equal(exitCode, 0)
  t.equal(stderr, '')
  t.same(JSON.parse(stdout), {
    valid: true,
    redis: {
      state: 'configured',
      url: 'rediss://app:***@cache.example.com:6380/2',
      scheme: 'rediss',
      host: 'cache.example.com',
      port: 6380,
      path: null,
      tls: true,
      db: 2,
      username: 'app',
      auth: 'token',
      topology: 'single',
      sources: { scheme: 'REDIS_URL', host: 'REDIS_URL', port: 'REDIS_URL', tls: 'REDIS_URL', db: 'REDIS_URL', username: 'REDIS_URL', auth: 'REDIS_URL', topology: 'default' }
    },
    errors: [],
    warnings: []
  })
})

t.test('exit code 1: invalid, with every problem', async t => {
  const { stdout, exitCode } = await run(['--print', '--json'], { REDIS_URL: 'redis://:s3cret@h:0', REDIS_TLS_ENABLED: 'maybe', PORT: 'abc' })
  t.equal(exitCode, 1)
  const report = JSON.parse(stdout)
  t.match(report, { valid: false, redis: { state: 'invalid', host: null } })
  t.same(report.errors.map(({ variable }: { variable: string }) => variable), ['PORT', 'REDIS_TLS_ENABLED', 'REDIS_URL'])
  for (const problem of report.errors) t.same(Object.keys(problem), ['code', 'variable', 'message', 'remedy'])
  t.notMatch(stdout, /s3cret/)
})

t.test('exit code 2: valid with warnings, as text', async t => {
  const { stdout, stderr, exitCode } = await run(['--print'], { REDIS_HOST: 'cache.example.com', REDIS_PORT: '7000' })
  t.equal(exitCode, 2)
  t.equal(stderr, '')
  t.match(stdout, /^Redis is configured\.\n/)
  t.match(stdout, / {2}host {6}cache\.example\.com {3}\(REDIS_HOST\)\n/)
  t.match(stdout, / {2}port {6}7000 {3}\(REDIS_PORT\)\n/)
  t.match(stdout, /Warning FST_BRK_CONFIG_NO_TOKEN\n/)
  t.match(stdout, /\nValid, with 1 warning\.\n$/)
})

t.test('wrong usage: exit code 1, help on standard error', async t => {
  for (const args of [['--jsno'], ['--print', 'extra']]) {
    const { stdout, stderr, exitCode } = await run(args, good)
    t.equal(exitCode, 1)
    t.equal(stdout, '')
    t.match(stderr, /doctor --print \[--json\]/)
  }
})

t.test('the text for each verdict', async t => {
  t.match(doctor([], good), { exitCode: 0, stdout: /\nValid\.\n$/ })
  t.match(doctor(['--print'], {}), { exitCode: 0, stdout: 'Redis is disabled.\n\nValid.\n' })
  t.match(doctor(['--print'], { PORT: 'x', HOST: 'a b' }), { exitCode: 1, stdout: /Error FST_BRK_CONFIG_PORT\n {2}PORT is "x".*\n[^]*Invalid: 2 errors, 0 warnings\.\n$/ })
  t.match(doctor(['--help'], {}), { exitCode: 0, stdout: /Exit code/, stderr: '' })
  t.equal(doctor(['--print', '--json'], {}).stdout, `${JSON.stringify(JSON.parse(doctor(['--json'], {}).stdout), null, 2)}\n`)
})
