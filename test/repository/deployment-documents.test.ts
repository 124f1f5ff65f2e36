import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { readFlags as readRollbackFlags } from '../../scripts/rollback/flags.ts'
import { readFlags as readVerifyFlags } from '../../scripts/verify/flags.ts'
import * as errors from '../../services/deployment/errors.ts'
import { USAGE as DOCTOR_USAGE } from '../../services/doctor/doctor.ts'
import { blocksOf, readDocument, root, shell, startWorld, toRun } from '../helpers/documents.ts'
import { startEcsStub } from '../helpers/ecs-stub.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

const documents = { deployment: readDocument('docs/deployment.md'), rollback: readDocument('docs/rollback.md') }
const KEY = 'canary-1b7e'
const ENV = { VERIFY_KEY: KEY, KEY, REPOSITORY: 'registry/breakwater', CACHE_GROUP: 'sg-1', TASK_GROUP: 'sg-2', REDIS_PID: '1' }

t.test('R11.4 docs/deployment.md: every command that needs no AWS, as it stands there', async (t) => {
  const { redis, cwd, local } = await startWorld(t, KEY)
  const [key, doctor, verify, event, checks, drill, ...others] = toRun(documents.deployment)
  t.same(others, [])
  t.match(JSON.parse(await shell(key!, cwd, {})), { key: /^brk_/, entry: /^deploy:write:[0-9a-f]{64}$/ })
  await shell(doctor!.replaceAll(' deploy/ecs', ` ${root}/deploy/ecs`), cwd, {})
  t.match(await shell(local(verify!), cwd, { KEY }), /ok {3}event: .*\n.*: good\n$/)
  t.match(await shell(local(event!), cwd, ENV), /(ok {3}event: [^]*){2}/)
  const file = blocksOf(documents.deployment).find(({ language }) => language === 'json')!.code
  writeFileSync(join(cwd, 'checks.json'), local(file))
  t.match(await shell(local(checks!), cwd, { ...ENV, PREDICT_AUTHORIZATION: 'Bearer x' }), /ok {3}models: [^]*ok {3}predict: [^]*ok {3}predict: /)
  const pid = /process_id:(\d+)/.exec(await redis.cli('info', 'server'))![1]!
  t.match(await shell(local(drill!), cwd, { ...ENV, REDIS_PID: pid }), /ok {3}drill: recovered: /)
})

t.test('R11.2 docs/rollback.md: every command that needs no AWS, against a stub of its API', async (t) => {
  const { cwd, local } = await startWorld(t, KEY)
  const stub = await startEcsStub(t)
  for (const revision of [40, 41, 42]) stub.register(revision)
  stub.deployed(40, 41, 42)
  const env = { ...ENV, AWS_REGION: 'eu-central-1', AWS_ENDPOINT_URL_ECS: stub.url, AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' }
  const [first, verify, named, ...others] = toRun(documents.rollback)
  t.same(others, [])
  const previous = await shell(local(first!).replace(/(--health-url \S+)/, '$1 --yes --interval 0.1'), cwd, env)
  t.match(previous, /Nothing was changed\.\n[^]*breakwater:41 runs\. Health: 200 ok\.\n$/)
  t.match(await shell(local(verify!), cwd, env), /: good\n$/)
  t.match(await shell(named!.replaceAll('--yes', '--yes --interval 0.1'), cwd, env), /breakwater:41 runs already[^]*"outcome": "rolled_back"/)
  t.same(stub.updates, [41, 42])
})

t.test('commands that need AWS: they read as shell, and our parts of them as our options', async (t) => {
  const blocks = Object.values(documents).flatMap(blocksOf).filter(({ needs }) => needs === 'AWS')
  t.ok(blocks.length >= 6)
  const cwd = await temporaryDirectory(t)
  for (const file of ['task-definition.json', 'ssm.json', 'parameters.txt']) writeFileSync(join(cwd, file), '')
  const record = 'npx () { shift; printf \'%s\\0\' "$@"; printf \'\\n\'; }; aws () { :; }; docker () { :; }\n'
  for (const { code } of blocks) {
    const output = await shell(`${record}${code}`, cwd, ENV)
    for (const line of output.split('\n').filter((one) => one !== '')) {
      const [command, ...args] = line.split('\0').slice(0, -1)
      if (command === 'doctor') {
        for (const flag of args.filter((one) => one.startsWith('--'))) t.ok(DOCTOR_USAGE.includes(flag), `doctor ${flag}`)
      } else t.notMatch(command === 'verify' ? readVerifyFlags(args, ENV) : readRollbackFlags(args), { wrong: String }, line)
    }
  }
})

t.test('the template is what the documents say: its name, its health paths, and old revisions stay', async (t) => {
  const tags = ['Ref', 'Sub', 'GetAtt', 'If', 'Join'].map((name) => ({ tag: `!${name}`, resolve: (value: string) => value }))
  const { Parameters, Resources } = parse(readFileSync(join(root, 'deploy/ecs/breakwater.yaml'), 'utf8'), { customTags: tags })
  t.equal(Parameters.ServiceName.Default, 'breakwater')
  for (const [, name] of documents.deployment.matchAll(/(?:--parameter | )(\w+)=(?:rediss|registry|"\$REPO)/g)) t.ok(Parameters[name!], name!)
  t.match(Resources.TaskDefinition, { Type: 'AWS::ECS::TaskDefinition', UpdateReplacePolicy: 'Retain', DeletionPolicy: 'Retain' })
  t.match(Resources.TargetGroup.Properties.HealthCheckPath, '/health/alb')
  t.match(Resources.Service.Properties.DeploymentConfiguration.DeploymentCircuitBreaker, { Rollback: true })
})

t.test('every error has a line', async (t) => {
  const codes = Object.values(errors).map((CodedError) => new (CodedError as unknown as new () => { code: string })().code)
  const listed = [...documents.rollback.matchAll(/^\| `(FST_BRK_\w+)`/gm)].map(([, code]) => code)
  t.same(new Set(listed), new Set(codes))
})
