import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Test } from 'tap'
import { openEcs } from '../../services/deployment/rollback/ecs-client.ts'
import { startEcsStub } from '../helpers/ecs-stub.ts'
import type { EcsStub } from '../helpers/ecs-stub.ts'
import { until } from '../helpers/until.ts'

const script = join(import.meta.dirname, '../../scripts/breakwater.ts')
const CANARY = 'canary-4be1'

interface Ran { stdout: string, stderr: string, exitCode: number | null }
interface Running { child: ChildProcess, ended: Promise<Ran> }

/** As a user would: another process, the official SDK, its usual variables. */
function start (stub: EcsStub, args: string[], env: Record<string, string> = {}, names = ['--cluster', 'production', '--service', 'breakwater']): Running {
  const child = spawn(process.execPath, [script, 'rollback', ...names, '--interval', '0.02', ...args], {
    env: {
      PATH: process.env.PATH ?? '',
      HOME: '/nonexistent',
      AWS_REGION: 'eu-central-1',
      AWS_ENDPOINT_URL_ECS: stub.url,
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
      AWS_SECRET_ACCESS_KEY: CANARY,
      AWS_SESSION_TOKEN: `${CANARY}-session`,
      ...env
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  const ended = Promise.all([text(child.stdout), text(child.stderr), exited]).then(([stdout, stderr, exitCode]) => ({ stdout, stderr, exitCode }))
  return { child, ended }
}

const run = (stub: EcsStub, args: string[], env: Record<string, string> = {}, names?: string[]) => start(stub, args, env, names).ended
const to = (revision: string, ...more: string[]) => ['--revision', revision, '--yes', ...more]

/** 40, 41 and 42 completed, one after another. */
async function threeRevisions (t: Test): Promise<EcsStub> {
  const stub = await startEcsStub(t)
  for (const revision of [40, 41, 42]) stub.register(revision)
  stub.deployed(40, 41, 42)
  return stub
}

t.test('R11.2 a dry run shows what would change, masks what could be secret, and changes nothing', async (t) => {
  const stub = await startEcsStub(t)
  const secret = (name: string, valueFrom: string) => ({ name, valueFrom })
  const arn = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:redis-token-AbCdEf'
  stub.register(41, {
    cpu: '256',
    containers: [{
      environment: [{ name: 'LOG_LEVEL', value: 'info' }, { name: 'REDIS_URL', value: `rediss://:${CANARY}1@old:6379` }, { name: 'VENDOR_KEY', value: `${CANARY}2` }, { name: 'CORS_ORIGINS', value: 'https://a.example.com' }],
      secrets: [secret('REDIS_AUTH_TOKEN', arn), secret('PASTED', `${CANARY}3`)],
      command: ['node', `--token=${CANARY}4`]
    }, { name: 'sidecar', image: 'otel:1' }]
  })
  stub.register(42, {
    cpu: '512',
    containers: [{
      environment: [{ name: 'LOG_LEVEL', value: 'debug' }, { name: 'REDIS_URL', value: `${CANARY}5` }, { name: 'VENDOR_KEY', value: `${CANARY}6` }, { name: 'METRICS', value: 'emf\u001b[31m' }],
      secrets: [secret('REDIS_AUTH_TOKEN', `${arn}:new::`), secret('PASTED', `${CANARY}7`)],
      command: ['node', `--token=${CANARY}8`]
    }],
    volumes: [{ name: 'data' }]
  })
  stub.deployed(41, 42)
  const { stdout, stderr, exitCode } = await run(stub, ['--revision', 'previous', '--dry-run'])
  t.equal(exitCode, 0)
  t.match(stdout, /now {7}breakwater:42\nthen {6}breakwater:41\non failure back to breakwater:42\n/)
  for (const line of [
    '  ~ task: cpu: 512 → 256', '  ~ api: image: registry/breakwater:42 → registry/breakwater:41', '  ~ api: environment LOG_LEVEL: debug → info',
    '  ~ api: environment REDIS_URL: *** → ***', '  ~ api: environment VENDOR_KEY: *** → ***', '  - api: environment METRICS: emf\ufffd[31m',
    '  + api: environment CORS_ORIGINS: https://a.example.com', '  ~ api: secret PASTED: *** → ***', '  ~ api: secret REDIS_AUTH_TOKEN: secret:redis-token-AbCdEf:new:: → secret:redis-token-AbCdEf',
    '  ~ api: command', '  + sidecar: container sidecar: otel:1', '  - task: volumes', 'This was a dry run. Nothing was changed.'
  ]) t.ok(stdout.split('\n').includes(line), line)
  const document = await run(stub, ['--revision', '41', '--dry-run', '--json'])
  t.match(JSON.parse(document.stdout), { outcome: 'planned', dry_run: true, from: stub.arn(42), to: stub.arn(41), now: stub.arn(42), undo_to: stub.arn(42), exit_code: 0 })
  t.notMatch(stdout + stderr + document.stdout + document.stderr, CANARY)
  t.same(stub.updates, [])
})

t.test('R11.2 a rollback to a number, a name, an ARN: updates once, waits, verifies health, says so', async (t) => {
  const stub = await threeRevisions(t)
  stub.courses.set(41, { looks: 4 })
  const { stdout, stderr, exitCode } = await run(stub, to('41', '--health-url', stub.healthUrl))
  t.equal(exitCode, 0)
  t.match(stdout, /breakwater:41 runs\. Health: 200 healthy\.\n$/)
  t.match(stderr, /Deploying breakwater:41\.\n.*0 of 2 running, 2 pending, 0 failed; IN_PROGRESS, 2 of other revisions still running\n.*2 of 2 running.*COMPLETED\n.*health: 200 healthy\n$/)
  t.same([stub.updates, stub.running], [[41], 41])
  t.match(await run(stub, to('breakwater:42', '--json')), { exitCode: 0, stdout: /"outcome": "rolled_back"/ })
  t.match(await run(stub, to(stub.arn(40))), { exitCode: 0, stdout: /breakwater:40 runs\.\n$/ })
  t.same(stub.updates, [41, 42, 40])
  t.notMatch(JSON.stringify(stub.calls), /forceNewDeployment|desiredCount/, 'nothing but the task definition changes')
})

t.test('previous: what completed before; asked again it does not go to and fro', async (t) => {
  const stub = await threeRevisions(t)
  t.match(await run(stub, to('previous')), { exitCode: 0, stdout: /breakwater:41 runs\.\n$/ })
  t.match(await run(stub, to('previous', '--health-url', stub.healthUrl)), { exitCode: 0, stdout: /breakwater:41 runs already\. Nothing was changed\. Health: 200 healthy\.\n$/ })
  t.same(stub.updates, [41])
  stub.register(43)
  stub.deployed(43)
  stub.begin(43)
  t.match(await run(stub, to('previous')), { exitCode: 0, stdout: /breakwater:41 runs\.\n$/ }, 'a second deployment of the same revision is not the previous one')

  stub.forget()
  t.match(await run(stub, to('previous')), { exitCode: 1, stderr: /ran before breakwater:41 is not in the deployments.*Name the revision\.\n$/ })
})

t.test('previous, while a deployment is stuck: back to the last completed one', async (t) => {
  const stub = await threeRevisions(t)
  stub.register(43)
  stub.courses.set(43, { end: 'never' })
  stub.begin(43)
  const { stdout, exitCode } = await run(stub, to('previous'))
  t.match(stdout, /now {7}breakwater:43\nthen {6}breakwater:42\non failure there is nothing to return to\n/)
  t.same([exitCode, stub.running, stub.updates], [0, 42, [42]])
})

t.test('previous, after the circuit breaker returned: nothing to do', async (t) => {
  const stub = await threeRevisions(t)
  stub.register(43)
  stub.courses.set(43, { end: 'returned' })
  stub.begin(43)
  t.match(await run(stub, to('43')), { exitCode: 1, stderr: /ECS gave breakwater:43 up and returns to breakwater:42 by itself: ECS deployment circuit breaker[^]*breakwater:43 failed; ECS returned to breakwater:42, which runs again/ })
  t.match(await run(stub, to('previous')), { exitCode: 0, stdout: /breakwater:42 runs already/ })
  t.same(stub.updates, [])
})

t.test('a revision that does not exist, that was deregistered, or that names none', async (t) => {
  const stub = await threeRevisions(t)
  stub.deregister(40)
  t.match(await run(stub, to('99')), { exitCode: 1, stderr: 'There is no task definition breakwater:99. These can be deployed: breakwater:42, breakwater:41.\n' })
  t.match(await run(stub, to('other:7')), { exitCode: 1, stderr: /no task definition other:7\. Its family has none that can be deployed/ })
  t.match(await run(stub, to('40', '--json')), { exitCode: 1, stdout: /"code": "FST_BRK_ECS_REVISION_INACTIVE",\n.*breakwater:40 is INACTIVE/, stderr: '' })
  for (const revision of ['breakwater', '0', '-1', '41; rm', 'previously']) t.match(await run(stub, [`--revision=${revision}`]), { exitCode: 1, stderr: /is no revision/ }, revision)
  t.same(stub.updates, [])
})

t.test('a service that cannot be rolled back here', async (t) => {
  const stub = await threeRevisions(t)
  t.match(await run(stub, to('41'), {}, ['--cluster', 'production', '--service', 'wrong']), { exitCode: 1, stderr: /no active service wrong in the cluster production \(MISSING\)/ })
  t.match(await run(stub, to('41'), {}, ['--cluster', 'wrong', '--service', 'breakwater']), { exitCode: 1, stderr: /in the cluster wrong \(ClusterNotFoundException\)/ })
  stub.status = 'DRAINING'
  t.match(await run(stub, to('41')), { exitCode: 1, stderr: /\(DRAINING\)/ })
  stub.status = 'ACTIVE'
  stub.controller = 'CODE_DEPLOY'
  t.match(await run(stub, to('41')), { exitCode: 1, stderr: /is deployed by CODE_DEPLOY, not by ECS itself/ })
  t.same(stub.updates, [])
})

t.test('a deployment that never stabilises, or that ECS gives up, is undone', async (t) => {
  const stub = await threeRevisions(t)
  stub.courses.set(41, { end: 'never' })
  const { stdout, exitCode } = await run(stub, to('41', '--timeout', '0.4', '--json'))
  t.equal(exitCode, 1)
  t.match(JSON.parse(stdout), { outcome: 'undone', reason: /^not stable within 0\.4 s; 0 of 2 running/, now: stub.arn(42), message: /breakwater:42, which ran before, runs again/ })
  t.same([stub.updates, stub.running], [[41, 42], 42])

  stub.courses.set(40, { end: 'failed' })
  t.match(await run(stub, to('40')), { exitCode: 1, stderr: /breakwater:40 failed: ECS deployment circuit breaker.*\. Returning to breakwater:42\.[^]*ECS: \(service breakwater\) deployment .* failed/ })
  t.same([stub.updates, stub.running], [[41, 42, 40, 42], 42])

  stub.register(43)
  stub.courses.set(43, { looks: 1, end: 'failed' })
  stub.begin(43)
  stub.lagLooks = 2
  t.match(await run(stub, to('43', '--dry-run')), { exitCode: 0 })
  stub.courses.delete(43)
  t.match(await run(stub, to('43')), { exitCode: 0, stdout: /breakwater:43 runs\.\n$/ }, 'what ECS gave up is begun again when it is named')
  t.match(stub.calls.filter(({ action }) => action === 'UpdateService').map(({ input }) => input.forceNewDeployment === true), [false, false, false, false, true])
})

t.test('the circuit breaker returns by itself: that is awaited, and not done twice', async (t) => {
  const stub = await threeRevisions(t)
  stub.courses.set(41, { looks: 3, end: 'returned' })
  const { stdout, exitCode } = await run(stub, to('41', '--json'))
  t.match(JSON.parse(stdout), { outcome: 'returned_by_ecs', exit_code: 1, now: stub.arn(42), events: [/deployment failed/] })
  t.same([exitCode, stub.updates, stub.running], [1, [41], 42])
})

t.test('health fails: undone; degraded: rolled back, with a warning; unhealthy from before: said', async (t) => {
  const stub = await threeRevisions(t)
  stub.courses.set(41, { health: { code: 503, status: 'unhealthy' } })
  t.match(await run(stub, to('41', '--health-url', stub.healthUrl, '--health-timeout', '0.2')), { exitCode: 1, stderr: /breakwater:41 failed: it is stable but not healthy: 503 unhealthy\. Returning to breakwater:42\./ })
  t.same([stub.updates, stub.running], [[41, 42], 42])

  stub.courses.set(40, { health: { code: 200, status: 'degraded' } })
  t.match(await run(stub, to('40', '--health-url', stub.healthUrl)), { exitCode: 2, stdout: /breakwater:40 runs\. Health: 200 degraded\./ })
  stub.courses.set(40, { health: { code: 200, status: 'unhealthy' } })
  t.match(await run(stub, to('40', '--health-url', stub.healthUrl, '--health-timeout', '0.1')), { exitCode: 1, stderr: /breakwater:40 was deployed before and is not healthy\. Nothing was changed/ })
  t.same([stub.updates, stub.running], [[41, 42, 40], 40])
  t.match(await run(stub, to('42', '--health-url', 'http://127.0.0.1:1/', '--health-timeout', '0.1')), { exitCode: 1, stderr: /not healthy: .*ECONNREFUSED|not healthy: bad port/ })
})

t.test('the return fails too, or there is nothing to return to: said', async (t) => {
  const stub = await threeRevisions(t)
  stub.courses.set(41, { end: 'never' })
  stub.courses.set(42, { end: 'never' })
  t.match(await run(stub, to('41', '--timeout', '0.2')), { exitCode: 1, stderr: /breakwater:41 failed, and the return to breakwater:42 too: not stable within 0\.2 s/ })
  t.same(stub.updates, [41, 42])

  const other = await threeRevisions(t)
  other.register(43)
  for (const revision of [42, 43]) other.courses.set(revision, { end: 'never' })
  other.begin(43)
  t.match(await run(other, to('42', '--timeout', '0.2')), { exitCode: 1, stderr: /no other revision was complete when this began: there is nothing to return to/ })
  t.same(other.updates, [42])
})

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  t.test(`${signal} while waiting: says what is left; run again, it goes on`, async (t) => {
    const stub = await threeRevisions(t)
    stub.courses.set(41, { end: 'never' })
    const { child, ended } = start(stub, to('previous', '--interval', '60'))
    await until(() => stub.updates.length > 0 && stub.calls.at(-1)?.action === 'DescribeServices')
    child.kill(signal)
    t.match(await ended, { exitCode: 1, stderr: /ECS keeps deploying breakwater:41, or runs it already\. Run the same command again to wait for it, or roll back to breakwater:42 to return\./ })
    stub.courses.set(41, { looks: 12 })
    t.match(await run(stub, to('previous')), { exitCode: 0, stderr: /breakwater:41 is on its way already: waiting for it\./, stdout: /breakwater:41 runs\.\n$/ })
    t.same([stub.updates, stub.running], [[41], 41], 'nothing was deployed twice')
  })
}

t.test('killed half-way and run again: it goes on, and still returns if the target fails', async (t) => {
  const stub = await threeRevisions(t)
  stub.courses.set(41, { end: 'never' })
  const { child, ended } = start(stub, to('previous'))
  await until(() => stub.updates.length > 0)
  child.kill('SIGKILL')
  t.match(await ended, { exitCode: null })
  t.match(await run(stub, to('previous', '--timeout', '0.2')), { exitCode: 1, stderr: /on its way already[^]*runs again/ })
  t.same([stub.updates, stub.running], [[41, 42], 42])
})

t.test('interrupted on the way back: says what is left', async (t) => {
  const stub = await threeRevisions(t)
  for (const revision of [41, 42]) stub.courses.set(revision, { end: 'never' })
  const { child, ended } = start(stub, to('41', '--timeout', '0.1'))
  await until(() => stub.updates.length > 1)
  child.kill('SIGINT')
  t.match(await ended, { exitCode: 1, stderr: /breakwater:41 failed, and the return to breakwater:42 goes on in ECS\. Roll back to breakwater:42 to wait for it\./ })
})

t.test('throttling and lost answers: asked again, deployed once', async (t) => {
  const stub = await threeRevisions(t)
  stub.faults.push({ action: 'DescribeServices', times: 1, type: 'ThrottlingException' }, { action: 'UpdateService', times: 1, type: 'ThrottlingException' })
  t.match(await run(stub, to('41')), { exitCode: 0 })
  t.equal(stub.running, 41)
  stub.faults.push({ action: 'UpdateService', times: 1, type: 'cut' }, { action: 'DescribeServices', times: 1, after: 3, type: 'ServerException', status: 500 })
  t.match(await run(stub, to('42')), { exitCode: 0 })
  t.same([stub.updates.slice(-2), stub.running], [[42, 42], 42], 'the second call found it begun')
})

t.test('ECS describes for a while what was before: no reason to give up', async (t) => {
  const stub = await threeRevisions(t)
  stub.lagLooks = 3
  t.match(await run(stub, to('41')), { exitCode: 0 })
  t.same([stub.updates, stub.running], [[41], 41])
})

t.test('credentials: missing, refused, expired while waiting; permissions; region', async (t) => {
  const stub = await threeRevisions(t)
  const none = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_SESSION_TOKEN: '' }
  const missing = await run(stub, to('41', '--json'), none)
  t.match(missing, { exitCode: 1, stdout: /"outcome": "failed",[^]*"code": "FST_BRK_ECS_CREDENTIALS",\n.*Sign in again/ })
  t.match(await run(stub, to('41'), { AWS_REGION: '' }), { exitCode: 1, stderr: /^No AWS region is set\. Give --region/ })
  t.match(await run(stub, to('41', '--region', 'eu-central-1', '--dry-run'), { AWS_REGION: '' }), { exitCode: 0 })
  t.same(stub.updates, [])

  stub.faults.push({ action: 'UpdateService', times: 1, type: 'AccessDeniedException', message: 'User: x is not authorized to perform: ecs:UpdateService' })
  t.match(await run(stub, to('41')), { exitCode: 1, stderr: /AWS denies ecs:UpdateService: User: x is not authorized/ })
  stub.faults.push({ action: 'DescribeServices', after: 3, times: 99, type: 'ExpiredTokenException', message: 'The security token included in the request is expired' })
  stub.courses.set(41, { end: 'never' })
  const expired = await run(stub, to('41'))
  t.match(expired, { exitCode: 1, stderr: /token included in the request is expired\. Sign in again .* ECS was told to deploy breakwater:41 and goes on with it; run the same command again/ })
  t.notMatch(JSON.stringify([missing, expired]), CANARY)
})

t.test('ECS cannot be reached: said, and safe to repeat', async (t) => {
  const stub = await threeRevisions(t)
  stub.faults.push({ action: 'DescribeServices', times: 9, type: 'silent' })
  Object.assign(process.env, { AWS_REGION: 'eu-central-1', AWS_ENDPOINT_URL_ECS: stub.url, AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' })
  const ecs = await openEcs({ cluster: 'production', service: 'breakwater', callTimeoutMs: 300 })
  t.teardown(() => ecs.close())
  await t.rejects(ecs.service(), { code: 'FST_BRK_ECS_UNAVAILABLE', message: /does not answer DescribeServices: (no answer within 300 ms|Request aborted)/ })
  t.match(await run(stub, to('41'), { AWS_ENDPOINT_URL_ECS: 'http://127.0.0.1:9', AWS_MAX_ATTEMPTS: '1' }), { exitCode: 1, stderr: /ECS does not answer DescribeServices: .*ECONNREFUSED.*It is safe to run the command again/ })
})

t.test('somebody else deploys: before the update nothing is done, after it theirs is left alone', async (t) => {
  const stub = await threeRevisions(t)
  stub.register(43)
  stub.onCall = (action) => {
    if (action !== 'DescribeTaskDefinition' || stub.wanted === 43) return
    stub.begin(43)
  }
  t.match(await run(stub, to('41')), { exitCode: 1, stderr: /The service breakwater changed since the plan was made: it deploys breakwater:43 now\. Nothing was changed/ })
  t.same(stub.updates, [])

  stub.courses.set(41, { end: 'never' })
  stub.onCall = () => {}
  const { ended } = start(stub, to('41'))
  await until(() => stub.calls.filter(({ action }) => action === 'DescribeServices').length > 6 && stub.updates.length > 0)
  stub.begin(43)
  t.match(await ended, { exitCode: 1, stderr: /Somebody else deployed breakwater:43 meanwhile\. It is left alone/ })
  t.same(stub.updates, [41])
})

t.test('no tasks at all prove nothing: a warning', async (t) => {
  const stub = await threeRevisions(t)
  stub.desired = 0
  t.match(await run(stub, to('41')), { exitCode: 2, stdout: /Warning: The desired count is 0/ })
})

/** In a terminal of its own; answers the question, or interrupts. */
async function inTerminal (stub: EcsStub, answer: string): Promise<string> {
  const command = `${process.execPath} ${script} rollback --cluster production --service breakwater --revision 41 --interval 0.02; echo "exit $?"`
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    env: { PATH: process.env.PATH ?? '', TERM: 'dumb', SHELL: '/bin/sh', AWS_REGION: 'eu-central-1', AWS_ENDPOINT_URL_ECS: stub.url, AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' },
    stdio: ['pipe', 'pipe', 'inherit']
  })
  let output = ''
  child.stdout.on('data', (chunk) => { output += chunk })
  await until(() => output.includes('[y/N]'))
  child.stdin.write(answer)
  await until(() => /exit \d/.test(output))
  child.stdin.end()
  return output
}

t.test('it asks before it changes anything; without a terminal it needs --yes', async (t) => {
  const stub = await threeRevisions(t)
  t.match(await run(stub, ['--revision', '41']), { exitCode: 1, stderr: 'Without a terminal to ask, a rollback needs --yes. Nothing was changed.\n' })
  t.match(await inTerminal(stub, 'n\n'), /Deploy breakwater:41 to breakwater\? \[y\/N\][^]*Nothing was changed\.[^]*exit 1/)
  t.match(await inTerminal(stub, '\u0003'), /Nothing was changed\.[^]*exit 1/)
  t.same(stub.updates, [])
  t.match(await inTerminal(stub, 'y\n'), /breakwater:41 runs\.[^]*exit 0/)
  t.same(stub.updates, [41])
})

t.test('usage', async (t) => {
  const stub = await threeRevisions(t)
  t.match(await run(stub, ['--help']), { exitCode: 0, stdout: /breakwater rollback --cluster NAME --service NAME --revision REVISION/, stderr: '' })
  for (const [args, wrong] of [
    [[], /needs --cluster, --service and --revision/], [to('41', '--timeout', '0'), /--timeout must be a number of seconds above 0/], [to('41', '--interval', 'x'), /--interval must be/],
    [to('41', '--health-url', 'ftp://x'), /--health-url must be an http or https URL/], [to('41', '--force'), /Unknown option '--force'/]
  ] as const) t.match(await run(stub, [...args]), { exitCode: 1, stdout: '', stderr: wrong })
  t.same(stub.calls, [])
})
