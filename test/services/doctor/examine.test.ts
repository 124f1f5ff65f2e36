import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { about, variableNames } from '../../../services/config/schema.ts'
import { codes, fillCodeTables, sections } from '../../../services/doctor/codes.ts'
import { examineFiles } from '../../../services/doctor/examine.ts'
import { expected } from '../../../services/doctor/expected-numbers.ts'
import { CLOSE_CAP_MS } from '../../../server.ts'
import { CANARY, alarms, codesOf, examine, goodTask, secretArn, variables } from './world.ts'

const root = join(import.meta.dirname, '../../..')
const seen = new Set<string>(Object.values<string[]>(JSON.parse(readFileSync(join(root, 'test/fixtures/task-definitions/expected.json'), 'utf8'))).flat())
const examineSeen: typeof examine = async (...args) => {
  const findings = await examine(...args)
  for (const { code } of findings) seen.add(code)
  return findings
}

const parameter = (name: string, value: string, more: object = {}) => ({ Name: name, Type: 'String', Value: value, Version: 1, DataType: 'text', ...more })

t.test('R11.2 --ssm: a bare host name in one parameter is an error, with the value that is right', async t => {
  const ssm = { Parameters: [parameter('/prod/breakwater/REDIS_URL', 'events.ab12cd.ng.0001.euw1.cache.amazonaws.com')] }
  const findings = await examineSeen(t, { ssm })
  t.strictSame(alarms(findings), ['FST_BRK_ECS_REDIS_BARE'])
  t.match(findings.find(({ code }) => code === 'FST_BRK_ECS_REDIS_BARE'), { corrected: 'REDIS_URL=rediss://events.ab12cd.ng.0001.euw1.cache.amazonaws.com:6379', path: 'Parameters[0].Value', line: 6 })
})

t.test('R11.2 --ssm: what the task takes from a parameter counts as if it stood in the task', async t => {
  const task = goodTask({
    environment: [],
    secrets: [{ name: 'REDIS_URL', valueFrom: 'arn:aws:ssm:eu-west-1:123456789012:parameter/prod/redis-address' }, ...['REDIS_AUTH_TOKEN', 'API_KEYS', 'DATABASE_URL'].map((name) => ({ name, valueFrom: secretArn(name) }))]
  })
  t.strictSame(alarms(await examineSeen(t, { task })), [], 'without the export, nothing is known and nothing alleged')
  const address = (value: string) => ({ Parameters: [parameter('/prod/redis-address', value)], InvalidParameters: [] })
  t.strictSame(alarms(await examineSeen(t, { task, ssm: address('rediss://cache.example.com:6379') })), [])
  t.strictSame(alarms(await examineSeen(t, { task, ssm: address('cache.example.com') })), ['FST_BRK_ECS_REDIS_BARE'])
  t.strictSame(alarms(await examineSeen(t, { task, ssm: address('redis://a b') })), ['FST_BRK_CONFIG_HOST'])
  const withToken = await examineSeen(t, { task, ssm: address(`rediss://:${CANARY}@cache.example.com`) })
  t.strictSame(alarms(withToken), ['FST_BRK_ECS_SSM_SECRET'])
  t.notMatch(JSON.stringify(withToken), CANARY)
  const bare = goodTask({ environment: variables({ REDIS_TLS_ENABLED: 'true' }), secrets: (task.containerDefinitions as { secrets: object[] }[])[0]!.secrets })
  const findings = await examineSeen(t, { task: bare, ssm: address('cache.example.com') })
  t.strictSame([alarms(findings), codesOf(findings)], [[], ['FST_BRK_ECS_REDIS_BARE_TLS']], 'TLS is stated: a remark only')
})

t.test('R2.1 --ssm: secrets do not come from parameters', async t => {
  const ssm = {
    Parameters: [
      parameter('/prod/breakwater/REDIS_AUTH_TOKEN', `${CANARY}-token`, { Type: 'SecureString' }),
      parameter('/prod/breakwater/database-url', `postgres://app:${CANARY}@db.example.com/app`, { Type: 'SecureString' }),
      parameter('/prod/breakwater/api_keys', 'AQICAHh0Q2lwaGVydGV4dA==', { Type: 'SecureString' }),
      parameter('/prod/other/PASSWORD', CANARY)
    ]
  }
  const findings = await examineSeen(t, { ssm })
  t.strictSame(alarms(findings), ['FST_BRK_ECS_SSM_SECRET'])
  t.equal(findings.length, 3, 'token, database and keys; not what belongs to others')
  t.notMatch(JSON.stringify(findings), CANARY)
})

t.test('R2.1 every secret that the service knows is found in plain text, and none is shown', async t => {
  const secrets = variableNames.filter((name) => about(name).secret === true)
  t.ok(secrets.length >= 4)
  for (const name of secrets) {
    const value = name.endsWith('_URL') ? `postgres://app:${CANARY}@db.example.com/app` : `authorization=${CANARY}`
    const findings = await examineSeen(t, { task: goodTask({ environment: variables({ [name]: value }), secrets: [] }) })
    t.match(alarms(findings).join(), /FST_BRK_ECS_(PLAIN_SECRET|URL_CREDENTIALS)/, name)
    t.notMatch(JSON.stringify(findings), CANARY, name)
    const marked = await examineSeen(t, { task: goodTask({ environment: variables({ [name]: `postgres://app:<${CANARY}>@db.example.com/app` }), secrets: [] }) })
    t.match(alarms(marked).join(), /FST_BRK_ECS_PLACEHOLDER/, `${name}: as a placeholder`)
    t.notMatch(JSON.stringify(marked), CANARY, name)
  }
})

t.test('R11.2 --ssm: blank, quoted, listed, missing and misspelt parameters', async t => {
  const check = async (...parameters: object[]) => alarms(await examineSeen(t, { ssm: { Parameters: parameters } }))
  t.strictSame(await check(parameter('/p/REDIS_HOST', ' ')), ['FST_BRK_ECS_SSM_BLANK'])
  t.strictSame(await check(parameter('/p/LOG_LEVEL', '"info"')), ['FST_BRK_CONFIG_CHOICE', 'FST_BRK_ECS_SSM_BLANK'])
  t.strictSame(await check(parameter('/p/REDIS_URL', 'CHANGEME')), ['FST_BRK_ECS_PLACEHOLDER', 'FST_BRK_ECS_REDIS_BARE', 'FST_BRK_ECS_SSM_BLANK'])
  t.strictSame(await check(parameter('/p/CORS_ORIGINS', 'https://a.example.com,https://b.example.com', { Type: 'StringList' })), ['FST_BRK_ECS_SSM_TYPE'])
  t.strictSame(await check(parameter('/p/PORT', '80 80'), parameter('/p/UNRELATED', '')), ['FST_BRK_CONFIG_PORT'])
  t.strictSame(alarms(await examineSeen(t, { ssm: { Parameters: [], InvalidParameters: ['/p/REDIS_URL', '/p/OTHER'] } })), ['FST_BRK_ECS_SSM_MISSING'])
  t.strictSame(alarms(await examineSeen(t, { ssm: { Parameter: parameter('/p/DRAIN_MS', '5s') } })), ['FST_BRK_CONFIG_INTEGER'])
  t.strictSame(alarms(await examineSeen(t, { ssm: { Items: [] } })), ['FST_BRK_ECS_FILE'])
  const task = goodTask({ environment: [], secrets: [{ name: 'REDIS_URL', valueFrom: '/p/REDIS_ADDRESS' }, { name: 'API_KEYS', valueFrom: secretArn('k') }, { name: 'DATABASE_URL', valueFrom: secretArn('d') }] })
  t.strictSame(alarms(await examineSeen(t, { task, ssm: { Parameters: [parameter('/p/LOG_LEVEL', 'info')] } })), ['FST_BRK_ECS_SSM_MISSING'], 'its siblings are in the export, it is not')
  t.strictSame(alarms(await examineSeen(t, { task, ssm: { Parameters: [parameter('/q/LOG_LEVEL', 'info')] } })), [], 'another folder says nothing')
  t.strictSame(alarms(await examineSeen(t, { task, ssm: { Parameters: [], InvalidParameters: ['/p/REDIS_ADDRESS'] } })), ['FST_BRK_ECS_SSM_MISSING'])
})

const service = {
  serviceName: 'breakwater',
  taskDefinition: 'arn:aws:ecs:eu-west-1:123456789012:task-definition/breakwater:7',
  desiredCount: 2,
  healthCheckGracePeriodSeconds: 30,
  loadBalancers: [{ containerName: 'breakwater', containerPort: 3000, targetGroupArn: 'arn:aws:elasticloadbalancing:…' }],
  deploymentConfiguration: { deploymentCircuitBreaker: { enable: true, rollback: true }, minimumHealthyPercent: 100, maximumPercent: 200 }
}
const group = {
  TargetGroupName: 'breakwater', Protocol: 'HTTP', Port: 3000, TargetType: 'ip', HealthCheckProtocol: 'HTTP', HealthCheckPort: 'traffic-port', HealthCheckPath: '/health/alb', HealthCheckIntervalSeconds: 10, HealthCheckTimeoutSeconds: 2, Matcher: { HttpCode: '200' }
}

t.test('R11.2 --service: describe-services and describe-target-groups', async t => {
  const task = goodTask()
  const check = async (changes: object) => alarms(await examineSeen(t, { task, service: { services: [{ ...service, ...changes }] } }))
  t.strictSame(await check({}), [])
  t.strictSame(await check({ healthCheckGracePeriodSeconds: 0 }), ['FST_BRK_ECS_GRACE_PERIOD'])
  t.strictSame(await check({ healthCheckGracePeriodSeconds: undefined }), ['FST_BRK_ECS_GRACE_PERIOD'], 'the default is 0')
  t.strictSame(await check({ healthCheckGracePeriodSeconds: 0, loadBalancers: [] }), [], 'nobody checks a worker')
  t.strictSame(await check({ deploymentConfiguration: {} }), ['FST_BRK_ECS_CIRCUIT_BREAKER'])
  t.strictSame(await check({ deploymentConfiguration: {}, deploymentController: { type: 'CODE_DEPLOY' } }), [])
  t.strictSame(await check({ loadBalancers: [{ containerName: 'web', containerPort: 3000 }] }), ['FST_BRK_ECS_LOAD_BALANCER_PORT'])
  t.strictSame(await check({ taskDefinition: 'other:3', healthCheckGracePeriodSeconds: 0 }), ['FST_BRK_ECS_NO_SERVICE'], 'the service of another task: nothing is examined, and that is said')
  t.strictSame(alarms(await examineSeen(t, { service: { ...service, healthCheckGracePeriodSeconds: 0 } })), ['FST_BRK_ECS_GRACE_PERIOD'], 'input of create-service, without a task')

  const checkGroup = async (changes: object) => alarms(await examineSeen(t, { task, service: { TargetGroups: [{ ...group, ...changes }] } }))
  t.strictSame(await checkGroup({}), [])
  t.strictSame(await checkGroup({ HealthCheckPath: '/health/live' }), ['FST_BRK_ECS_TARGET_PATH'])
  t.strictSame(await checkGroup({ HealthCheckPath: '/health/ready' }), ['FST_BRK_ECS_TARGET_PATH'])
  t.strictSame(await checkGroup({ HealthCheckPort: '80' }), ['FST_BRK_ECS_TARGET_PROTOCOL'])
  t.strictSame(await checkGroup({ TargetType: 'instance' }), ['FST_BRK_ECS_TARGET_TYPE'])
  t.strictSame(await checkGroup({ Matcher: { HttpCode: '200-399' } }), ['FST_BRK_ECS_TARGET_MATCHER'])
  t.strictSame(alarms(await examineSeen(t, { service: { failures: [] } })), ['FST_BRK_ECS_FILE'])
})

t.test('R11.2 remarks do not fail a pipeline', async t => {
  const findings = await examineSeen(t, { task: goodTask({ healthCheck: { command: ['NONE'] }, readonlyRootFilesystem: false }) })
  t.strictSame([alarms(findings), codesOf(findings)], [[], ['FST_BRK_ECS_HEALTH_MISSING', 'FST_BRK_ECS_READ_ONLY_ROOT']])
  const template = (value: string) => ({
    Resources: {
      Task: { Type: 'AWS::ECS::TaskDefinition', Properties: goodTask() },
      Group: { Type: 'AWS::ElasticLoadBalancingV2::TargetGroup', Properties: { ...group, TargetGroupAttributes: [{ Key: 'deregistration_delay.timeout_seconds', Value: value }] } },
      Service: { Type: 'AWS::ECS::Service', Properties: { ...service, taskDefinition: { Ref: 'Task' } } }
    }
  })
  t.strictSame(codesOf(await examineSeen(t, { task: template('300') })), ['FST_BRK_ECS_DEREGISTRATION'])
  t.strictSame(codesOf(await examineSeen(t, { task: template('20') })), [])
})

t.test('R11.2 the container: by its variables, its image, its name, or as the only one', async t => {
  const [own] = goodTask().containerDefinitions as object[]
  const sidecar = { name: 'agent', image: 'agent:latest', environment: variables({ REDIS_HOST: 'cache.example.com' }) }
  t.strictSame(alarms(await examineSeen(t, { task: { ...goodTask(), containerDefinitions: [sidecar, own] } })), [], 'a sidecar that knows one of our variables is not the service')
  t.ok(alarms(await examineSeen(t, { task: { ...goodTask(), containerDefinitions: [sidecar, own] } }, { container: 'agent' })).includes('FST_BRK_ECS_IMAGE_TAG'))
  t.strictSame(alarms(await examineSeen(t, { task: goodTask() }, { container: 'nobody' })), ['FST_BRK_ECS_CONTAINER_UNKNOWN'])
  const nginx = { name: 'web', image: 'nginx:1.29' }
  t.strictSame(alarms(await examineSeen(t, { task: { containerDefinitions: [nginx, { ...nginx, name: 'other' }] } })), ['FST_BRK_ECS_NO_SERVICE'], 'what examines nothing is not green')
  t.ok(alarms(await examineSeen(t, { task: { containerDefinitions: [nginx] } })).includes('FST_BRK_ECS_REDIS_DISABLED'), 'the only one has forgotten its variables')
})

t.test('R11.2 memory, and what the deployment alone knows', async t => {
  t.strictSame(alarms(await examineSeen(t, { task: goodTask({ memory: 300 }) })), ['FST_BRK_ECS_MEMORY_TIGHT'])
  t.strictSame(alarms(await examineSeen(t, { task: goodTask({}, { cpu: '32768', memory: '65536' }) })), [], 'sizes newer than this table')
  const open = { environment: [{ name: 'REDIS_URL', value: { Ref: 'Url' } }, { name: 'PORT', value: { Ref: 'Port' } }, { name: 'DRAIN_MS', value: { Ref: 'Drain' } }], portMappings: [{ containerPort: { Ref: 'Port' } }], stopTimeout: 1, image: { Ref: 'Image' } }
  const template = { Parameters: { Url: { Type: 'String' }, Port: { Type: 'Number' }, Drain: { Type: 'Number' }, Image: { Type: 'String', Default: '' } }, Resources: { Task: { Type: 'AWS::ECS::TaskDefinition', Properties: goodTask(open) } } }
  t.strictSame(alarms(await examineSeen(t, { task: template })), [])
  const given = { Url: 'redis://cache.example.com', Port: '99999', Drain: '0', Image: 'app' }
  t.strictSame(alarms(await examineSeen(t, { task: template }, { templateParameters: given })), ['FST_BRK_CONFIG_PORT', 'FST_BRK_ECS_IMAGE_TAG', 'FST_BRK_ECS_PORT_MAPPING', 'FST_BRK_ECS_STOP_TIMEOUT'])
})

t.test('R11.2 --parameter: what the template itself refuses is found before CloudFormation finds it', async t => {
  const Parameters = { Stage: { Type: 'String', AllowedValues: ['test', 'prod'] }, Url: { Type: 'String', NoEcho: true, AllowedPattern: '^rediss://[a-z.]+' }, Java: { Type: 'String', AllowedPattern: '(?<![' } }
  const template = { Parameters, Resources: { Task: { Type: 'AWS::ECS::TaskDefinition', Properties: goodTask() } } }
  const check = async (templateParameters: Record<string, string>) => await examineSeen(t, { task: template }, { templateParameters })
  t.strictSame(alarms(await check({ Stage: 'prod', Url: 'rediss://cache.example.com', Java: 'x' })), [])
  const findings = await check({ Stage: 'production', Url: CANARY, Stagge: 'x' })
  t.strictSame(findings.map(({ code, path, corrected }) => [code, path, corrected]), [
    ['FST_BRK_ECS_TEMPLATE_PARAMETER', 'Parameters.Stage', 'test, prod'], ['FST_BRK_ECS_TEMPLATE_PARAMETER', 'Parameters.Url', '^rediss://[a-z.]+'], ['FST_BRK_ECS_TEMPLATE_PARAMETER', 'Parameters', 'One of Stage, Url, Java']
  ])
  t.notMatch(JSON.stringify(findings), CANARY)
})

t.test('R11.2 files that are none', async t => {
  for (const text of ['', 'null', '"text"', `{ "token": ${CANARY} }`, '[1, 2', `a: [${CANARY}`, '- just\n- a list']) {
    const findings = await examineSeen(t, { task: text })
    t.match(alarms(findings).join(), /^FST_BRK_ECS_(FILE|NO_TASK_DEFINITION)$/, JSON.stringify(text))
    t.notMatch(JSON.stringify(findings), CANARY)
  }
  t.match(await examineFiles({ taskDefinitions: ['/no/such/file.json'], parameters: [], services: [], container: null, templateParameters: {} }), [{ code: 'FST_BRK_ECS_FILE', explanation: /ENOENT/, line: null }])
})

t.test('R11.2 every code is documented as it is, and has been found by a test', async t => {
  const page = readFileSync(join(root, 'docs/doctor.md'), 'utf8')
  t.equal(page, fillCodeTables(page), 'run: node scripts/generate-doctor-docs.ts')
  for (const section of sections) t.match(page, new RegExp(`^## ${section.replaceAll('-', ' ')}$`, 'mi'), section)
  for (const code of Object.keys(codes)) {
    t.match(page, `| \`${code}\` |`)
    t.ok(seen.has(code), `${code} is found by a fixture or above`)
  }
  const named = [...page.matchAll(/FST_BRK_ECS_\w+/g)].map(([code]) => code)
  for (const code of named) t.ok(code in codes, code)
})

t.test('R7.5 the doctor knows how long the service takes to close', async t => {
  t.equal(expected.closeCapSeconds * 1000, CLOSE_CAP_MS)
})
