import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { breakwater } from '../../scripts/breakwater.ts'
import { doctor } from '../../services/doctor/doctor.ts'
import { startRedis } from '../helpers/redis-server.ts'

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
  const wrong = [
    ['--jsno'], ['--print', 'extra'], ['--print', '--connect'], ['--connect', '--task-definition', 'x'], ['--task-definition'], ['--json', '--github', '--ssm', 'x'],
    ['--github'], ['--container', 'x'], ['--parameter', 'A=1'], ['--task-definition', 'x', '--parameter', 'A']
  ]
  for (const args of wrong) {
    const { stdout, stderr, exitCode } = await doctor(args, good)
    t.strictSame([exitCode, stdout], [1, ''], args.join(' '))
    t.match(stderr, /doctor --print \[--json\]/)
  }
  const { stdout, stderr, exitCode } = await run(['--jsno'], good)
  t.strictSame([exitCode, stdout], [1, ''])
  t.match(stderr, /--jsno/)
})

t.test('the text for each verdict', async t => {
  t.match(await doctor([], good), { exitCode: 0, stdout: /\nValid\.\n$/ })
  t.match(await doctor(['--print'], {}), { exitCode: 0, stdout: 'Redis is disabled.\n\nValid.\n' })
  t.match(await doctor(['--print'], { PORT: 'x', HOST: 'a b' }), { exitCode: 1, stdout: /Error FST_BRK_CONFIG_PORT\n {2}PORT is "x".*\n[^]*Invalid: 2 errors, 0 warnings\.\n$/ })
  t.match(await doctor(['--help'], {}), { exitCode: 0, stdout: /Exit code/, stderr: '' })
  const { stdout } = await doctor(['--print', '--json'], {})
  t.equal(stdout, `${JSON.stringify(JSON.parse((await doctor(['--json'], {})).stdout), null, 2)}\n`)
})

const fixture = (name: string) => join(import.meta.dirname, '../fixtures/task-definitions', name)

t.test('R11.2 a task definition: text, JSON and annotations, and the exit codes of a pipeline', async t => {
  const bad = await run(['--task-definition', fixture('bad/token-in-url.json')], {})
  t.equal(bad.exitCode, 1)
  t.match(bad.stdout, /^error FST_BRK_ECS_URL_CREDENTIALS\n {2}\S+token-in-url\.json:\d+ {2}container breakwater {2}taskDefinition\.containerDefinitions\[0\]\.environment\[0\]\.value\n/)
  t.match(bad.stdout, /Correct: "REDIS_URL": "rediss:\/\/master\.events\.ab12cd\.euw1\.cache\.amazonaws\.com:6379\/0"[^]*\nBad: 1 error, 0 warnings\. 1 remark\.\n$/)
  t.notMatch(bad.stdout + bad.stderr, /Canary/)

  const doubtful = await doctor(['--json', '--task-definition', fixture('bad/image-latest.json')], {})
  t.equal(doubtful.exitCode, 2)
  t.match(JSON.parse(doubtful.stdout), {
    valid: true,
    errors: 0,
    warnings: 1,
    findings: [{ code: 'FST_BRK_ECS_IMAGE_TAG', severity: 'warning', line: Number, container: 'breakwater', path: 'taskDefinition.containerDefinitions[0].image', explanation: String, corrected: String, docs: 'docs/doctor.md#container' }, { severity: 'info' }]
  })

  const annotations = await doctor(['--github', '--task-definition', fixture('bad/port-not-mapped.json'), '--task-definition', fixture('bad/image-latest.json')], {})
  t.equal(annotations.exitCode, 1)
  const [first, second, third] = annotations.stdout.split('\n')
  t.match(first, /^::error file=[^,:]+port-not-mapped\.json,line=\d+,title=FST_BRK_ECS_PORT_MAPPING::The service[^\n]+%0ACorrect: [^\n]+%0ASee docs\/doctor\.md#network$/)
  t.match(second, /^::warning /)
  t.match(third, /^::notice /)

  t.match(await doctor(['--task-definition', fixture('good/fargate-plain.json')], {}), { exitCode: 0, stdout: 'Good.\n' })
  t.match(await doctor(['--container', 'nginx', '--task-definition', fixture('good/nginx-in-front.json')], {}), { exitCode: 1 })
  t.match(await doctor(['--parameter', 'Image=a:latest', '--task-definition', join(import.meta.dirname, '../../deploy/ecs/breakwater.yaml')], {}), { exitCode: 2 })
  t.match(await doctor(['--ssm', fixture('good/fargate-plain.json')], {}), { exitCode: 1, stdout: /no exported parameters/ })
})

t.test('R11.2 --connect: text and JSON, and the same exit codes', async t => {
  const redis = await startRedis(t)
  const connected = await run(['--connect', '--json'], { REDIS_URL: redis.url })
  t.match(connected, { exitCode: 0, stderr: '' })
  t.match(JSON.parse(connected.stdout), { valid: true, redis: { state: 'configured', host: '127.0.0.1' }, steps: Array, permissions: [{ command: 'EVALSHA', allowed: true }] })
  await redis.cli('acl', 'setuser', 'app', 'on', '>x', '~*', '&*', '+@all', '-blmove')
  t.match(await doctor(['--connect'], { REDIS_URL: redis.url, REDIS_USERNAME: 'app', REDIS_AUTH_TOKEN: 'x' }), { exitCode: 2, stdout: /permissions +warning .*\n +Enough .*\n\nGood, with warnings\.\n$/ })
  await redis.stop()
  t.match(await doctor(['--connect'], { REDIS_URL: redis.url }), { exitCode: 1, stdout: /tcp +FAILED[^]*Bad: Redis cannot be used like this\.\n$/ })
})

t.test('R11.2 the package\'s command line knows it', async t => {
  t.equal(await breakwater(['doctor', '--task-definition', fixture('good/describe-output.json')], {}), 0)
})
