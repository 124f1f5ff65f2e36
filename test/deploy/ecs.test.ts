import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadConfig } from '../../services/config/load.ts'
import { variableNames } from '../../services/config/schema.ts'
import { readDocument } from '../../services/doctor/documents/read-document.ts'
import type { Field } from '../../services/doctor/documents/field.ts'
import { examineFiles } from '../../services/doctor/examine.ts'

const root = join(import.meta.dirname, '../..')
const file = join(root, 'deploy/ecs/breakwater.yaml')
const secret = (name: string) => `arn:aws:secretsmanager:eu-west-1:123456789012:secret:${name}`
const parameters = {
  Cluster: 'production',
  Image: '123456789012.dkr.ecr.eu-west-1.amazonaws.com/breakwater:1.4.2',
  RepositoryArn: 'arn:aws:ecr:eu-west-1:123456789012:repository/breakwater',
  VpcId: 'vpc-1',
  Subnets: 'subnet-1,subnet-2',
  ListenerArn: 'arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/main/1/2',
  HostHeader: 'models.example.com',
  LoadBalancerSecurityGroup: 'sg-1',
  CacheSecurityGroup: 'sg-2',
  DatabaseSecurityGroup: 'sg-3',
  RedisUrl: 'rediss://master.events.ab12cd.euw1.cache.amazonaws.com:6379',
  RedisAuthTokenSecretArn: secret('redis'),
  ApiKeysSecretArn: secret('api-keys'),
  DatabaseUrlSecretArn: secret('database')
}
const template = await readDocument(file, parameters)
const properties = (name: string, of: Field = template): any => of.at('Resources', name, 'Properties').value
const container = () => properties('TaskDefinition').ContainerDefinitions[0]

t.test('R11.2 every number is the one that the service is made for', async t => {
  const { HealthCheck, StopTimeout, PortMappings } = container()
  const group = properties('TargetGroup')
  const service = properties('Service')
  t.match(HealthCheck, { Interval: 10, Timeout: 2, Retries: 3, StartPeriod: 10 })
  t.match(HealthCheck.Command.at(-1), 'http://127.0.0.1:3000/health/live')
  t.strictSame(HealthCheck.Command.slice(0, 2), ['CMD', 'node'])
  t.match(group, {
    HealthCheckPath: '/health/alb', HealthCheckIntervalSeconds: 10, HealthCheckTimeoutSeconds: 2, HealthyThresholdCount: 2, UnhealthyThresholdCount: 3, Matcher: { HttpCode: '200' }, TargetType: 'ip', Port: 3000
  })
  t.strictSame(group.TargetGroupAttributes, [{ Key: 'deregistration_delay.timeout_seconds', Value: '20' }])
  t.match(service, { HealthCheckGracePeriodSeconds: 30, DeploymentConfiguration: { DeploymentCircuitBreaker: { Enable: true, Rollback: true }, MinimumHealthyPercent: 100 } })
  t.equal(StopTimeout, 30)
  t.equal(PortMappings[0].ContainerPort, 3000)
  t.match(service.LoadBalancers, [{ ContainerName: container().Name, ContainerPort: 3000 }])
})

t.test('R11.2 every variable is one of ours, and our own loader takes the values', async t => {
  const { Environment, Secrets } = container()
  const names = [...Environment, ...Secrets].map(({ Name }: { Name: string }) => Name)
  for (const name of names) t.ok((variableNames as string[]).includes(name), name)
  t.equal(new Set(names).size, names.length, 'each once')
  t.strictSame(Secrets, [
    { Name: 'REDIS_AUTH_TOKEN', ValueFrom: secret('redis') }, { Name: 'API_KEYS', ValueFrom: secret('api-keys') }, { Name: 'DATABASE_URL', ValueFrom: secret('database') }
  ])
  const values = Object.fromEntries(Environment.map(({ Name, Value }: { Name: string, Value: string }) => [Name, Value]))
  const secrets = { REDIS_AUTH_TOKEN: 'token', API_KEYS: `deploy:write:${'0'.repeat(64)}`, DATABASE_URL: 'postgres://app:password@db.example.com:5432/app' }
  const { config, errors, warnings } = loadConfig({ ...values, ...secrets, ECS_CONTAINER_METADATA_URI_V4: 'http://169.254.170.2/v4' })
  t.strictSame([errors, warnings], [[], []])
  t.match(config.redis.resolution.target, { tls: true, host: 'master.events.ab12cd.euw1.cache.amazonaws.com', port: 6379, auth: 'token' })
  t.match(config.process, { host: '0.0.0.0', port: 3000, drainMs: 5000 })
  t.equal(config.metrics.mode, 'emf', 'the alarms of deploy/cloudwatch live on these')
})

t.test('R11.2 our own doctor finds nothing, with these parameters and with the defaults alone', async t => {
  const inspect = async (templateParameters: Record<string, string>) => await examineFiles({ taskDefinitions: [file], parameters: [], services: [], container: null, templateParameters })
  t.strictSame(await inspect(parameters), [])
  t.strictSame(await inspect({}), [])
  const bare = await inspect({ ...parameters, RedisUrl: 'master.events.ab12cd.euw1.cache.amazonaws.com' })
  t.match(bare, [{ code: 'FST_BRK_ECS_TEMPLATE_PARAMETER', severity: 'error', corrected: /^rediss:/ }, { code: 'FST_BRK_ECS_REDIS_BARE_TLS' }], 'and it does look at them')
})

t.test('R11.2 a bare host name, a plain address or a token in the address cannot be deployed', async t => {
  const pattern = new RegExp(template.at('Parameters', 'RedisUrl', 'AllowedPattern').text!)
  t.match(parameters.RedisUrl, pattern)
  t.match(`${parameters.RedisUrl}/3`, pattern)
  for (const url of ['cache.example.com', 'cache.example.com:6379', 'redis://cache.example.com:6379', 'rediss://cache.example.com', 'rediss://:token@cache.example.com:6379', '', ' rediss://a:1']) t.notMatch(url, pattern, url)
  const image = new RegExp(template.at('Parameters', 'Image', 'AllowedPattern').text!)
  t.match(parameters.Image, image)
  t.notMatch('breakwater', image)
  for (const name of ['RedisAuthTokenSecretArn', 'ApiKeysSecretArn', 'DatabaseUrlSecretArn']) {
    const arn = new RegExp(template.at('Parameters', name, 'AllowedPattern').text!)
    t.match(secret('x-Ab12Cd'), arn)
    t.notMatch('arn:aws:ssm:eu-west-1:123456789012:parameter/token', arn)
  }
})

t.test('R11.2 roles permit what is needed and nothing else', async t => {
  const statements = properties('ExecutionRole').Policies.flatMap(({ PolicyDocument }: any) => PolicyDocument.Statement).filter(Boolean)
  const bySid = Object.fromEntries(statements.map((statement: any) => [statement.Sid, statement]))
  t.strictSame(bySid.Secrets.Resource, [secret('redis'), secret('api-keys'), secret('database')])
  t.equal(bySid.Secrets.Action, 'secretsmanager:GetSecretValue')
  t.strictSame(Object.keys(bySid).sort(), ['Image', 'Log', 'Registry', 'Secrets'], 'no key without a key')
  for (const { Sid, Action, Resource } of statements) {
    t.notMatch(JSON.stringify(Action), /\*/, `${Sid}: no action with a wildcard`)
    t.ok(Resource !== '*' || Action === 'ecr:GetAuthorizationToken', `${Sid}: resources are named`)
  }
  t.equal(properties('TaskRole').Policies, undefined, 'the service needs nothing of AWS with a token')
  const iam = await readDocument(file, { ...parameters, CacheArn: 'arn:aws:elasticache:eu-west-1:1:replicationgroup:r', CacheUserArn: 'arn:aws:elasticache:eu-west-1:1:user:u', SecretsKeyArn: 'arn:aws:kms:eu-west-1:1:key/k' })
  t.match(properties('TaskRole', iam).Policies[0].PolicyDocument.Statement, [{ Action: 'elasticache:Connect', Resource: ['arn:aws:elasticache:eu-west-1:1:replicationgroup:r', 'arn:aws:elasticache:eu-west-1:1:user:u'] }])
  t.ok(properties('ExecutionRole', iam).Policies[0].PolicyDocument.Statement.some((statement: any) => statement?.Action === 'kms:Decrypt' && statement.Resource.endsWith('key/k')))
})

t.test('R11.2 network, log and rights of the container', async t => {
  t.match(properties('TaskDefinition'), { NetworkMode: 'awsvpc', RequiresCompatibilities: ['FARGATE'], RuntimePlatform: { CpuArchitecture: 'X86_64' }, Cpu: '512', Memory: '1024' })
  t.match(container(), { ReadonlyRootFilesystem: true, Essential: true, LinuxParameters: { Capabilities: { Drop: ['ALL'] } }, LogConfiguration: { LogDriver: 'awslogs' } })
  t.match(readFileSync(join(root, 'Dockerfile'), 'utf8'), /^ENTRYPOINT \["\/usr\/bin\/tini"/m, 'the init process')
  t.match(properties('LogGroup'), { LogGroupName: '/ecs/breakwater', RetentionInDays: 30 })
  const { SecurityGroupIngress, SecurityGroupEgress } = properties('SecurityGroup')
  t.match(SecurityGroupIngress, [{ FromPort: 3000, SourceSecurityGroupId: 'sg-1' }])
  t.strictSame(SecurityGroupEgress.map(({ FromPort }: any) => FromPort), [6379, 5432, 443])
  t.strictSame(properties('Service').NetworkConfiguration.AwsvpcConfiguration.Subnets, ['subnet-1', 'subnet-2'])
})

t.test('the template refers only to what it has, and every parameter is used and described', async t => {
  const text = JSON.stringify(template.document.original)
  const names = [...text.matchAll(/"Ref":"(\w+)"|\$\{(\w+)\}|"Fn::GetAtt":\["(\w+)"/g)].map(([, ref, sub, attribute]) => ref ?? sub ?? attribute!)
  const { Parameters, Resources } = template.document.original as any
  for (const name of new Set(names)) t.ok(name in Parameters || name in Resources, name)
  for (const [name, { Description }] of Object.entries<any>(Parameters)) {
    t.ok(names.includes(name), `${name} is used`)
    t.type(Description, 'string', name)
  }
  for (const [name, { DependsOn = [] }] of Object.entries<any>(Resources)) for (const other of DependsOn) t.ok(other in Resources, `${name} depends on ${other}`)
  t.notMatch(readFileSync(file, 'utf8'), /: [&*]\w/, 'CloudFormation knows no aliases')
})
