import { describeRedis } from '../../config/describe.ts'
import { UNKNOWN } from '../documents/field.ts'
import type { Field } from '../documents/field.ts'
import { hasPassword, isOwnSecret, isSecret } from '../secret-names.ts'
import { readVariables } from '../variables.ts'
import type { Variable } from '../variables.ts'
import type { Context } from './context.ts'

const ARN = new RegExp(`^arn:[^:]+:secretsmanager:[^:]*:[^:]*:secret:[^:]+((?::[^:]*)*)$|^${UNKNOWN}((?::[^:]*)*)$`)
const EXAMPLE = 'arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME'
const NAME_OF_PARAMETER = /^[\w./-]+$/

/** Where secrets stand, and where they come from. No value is ever repeated here. */
export function checkSecrets (context: Context): void {
  const { container, surroundings, neighbours } = context
  for (const variable of surroundings.variables) checkVariable(context, variable, context.name)
  // A sidecar that is told our token betrays it just as well.
  for (const other of neighbours) {
    for (const variable of readVariables(other, () => null).variables) {
      if (variable.origin === 'environment') checkPlain(context, variable, other.at('name').text)
    }
  }
  checkLogOptions(context, container)
  checkExecutionRole(context)
}

function checkVariable (context: Context, variable: Variable, container: string | null): void {
  if (variable.origin === 'environment') {
    checkPlain(context, variable, container)
    checkUrl(context, variable)
    return
  }
  const { name, entry } = variable
  const from = entry.at('valueFrom')
  const source = sourceOf(from)
  if (source === 'parameter' && isKeptFromParameters(variable)) {
    context.add('FST_BRK_ECS_SSM_SECRET', from, `${name} comes from an SSM parameter; a \`valueFrom\` that is no ARN is the name of one. Secrets come from Secrets Manager, which rotates them and has its own permissions.`,
      `"valueFrom": "${EXAMPLE}"`)
  }
  if (source === 'malformed') {
    context.add('FST_BRK_ECS_SECRET_REFERENCE', from, `The \`valueFrom\` of ${name} is neither the ARN of a secret nor the name of a parameter. Behind the ARN, either nothing follows or all of JSON key, version stage and version, each of which may be empty.`,
      `"valueFrom": "${EXAMPLE}:JSON-KEY::"`)
  }
}

function checkPlain ({ findings }: Context, { name, field, entry, value }: Variable, container: string | null): void {
  if (!isSecret(name, value) || value?.trim() === '') return
  const reference = field.pattern?.includes('{{resolve:') === true ? ' A dynamic reference is replaced when the template is deployed, so the task definition has the secret itself.' : ''
  findings.add('FST_BRK_ECS_PLAIN_SECRET', entry.at('value'), {
    container,
    explanation: `${name} is in \`environment\`: everybody who may call DescribeTaskDefinition reads it, in every revision, for ever.${reference}`,
    corrected: `"secrets": [{ "name": "${name}", "valueFrom": "${EXAMPLE}" }]; then replace the secret, because the old revisions keep it`
  })
}

function checkUrl (context: Context, { name, field, value }: Variable): void {
  if (value === null || !hasPassword(value) || !/^(REDIS_URL|DATABASE_URL)$|_(URL|URI|DSN)$/.test(name)) return
  const { url, scheme, host, port, db } = describeRedis(context.loaded.config.redis.resolution)
  const address = name === 'REDIS_URL' && url !== null && host !== null ? `${scheme}://${host}:${port}/${db}` : null
  context.add('FST_BRK_ECS_URL_CREDENTIALS', field, `${name} in \`environment\` contains a password, which everybody who may call DescribeTaskDefinition reads.`,
    address === null
      ? `"secrets": [{ "name": "${name}", "valueFrom": "${EXAMPLE}" }]`
      : `"${name}": "${address}" in environment, and REDIS_AUTH_TOKEN in secrets`)
}

function sourceOf (from: Field): 'secret' | 'parameter' | 'malformed' | 'unknown' {
  const text = from.pattern?.trim() ?? ''
  const [whole, ...suffixes] = ARN.exec(text) ?? []
  if (whole !== undefined) return [0, 3].includes((suffixes.find((suffix) => suffix !== undefined) ?? '').split(':').length - 1) ? 'secret' : 'malformed'
  if (/^arn:[^:]+:ssm:/.test(text)) return 'parameter'
  if (text.includes(UNKNOWN) || from.unknown) return 'unknown'
  return NAME_OF_PARAMETER.test(text) ? 'parameter' : 'malformed'
}

/** An address is a secret only if it has a password. */
function isKeptFromParameters ({ name, value }: Variable): boolean {
  if (isOwnSecret(name)) return true
  if (name === 'DATABASE_URL') return value === null || hasPassword(value)
  return name === 'REDIS_URL' && value !== null && hasPassword(value)
}

function checkLogOptions (context: Context, container: Field): void {
  for (const [name, option] of container.at('logConfiguration', 'options').entries) {
    if (!/token|api_?key|password/i.test(name) || (option.pattern ?? '').trim() === '') continue
    context.add('FST_BRK_ECS_PLAIN_SECRET', option, `The option ${name} of the log driver is in the task definition in plain text.`,
      `"secretOptions": [{ "name": "${name}", "valueFrom": "${EXAMPLE}" }]`)
  }
}

function checkExecutionRole (context: Context): void {
  const { task, whole, fargate, container } = context
  const role = task.field.at('executionRoleArn')
  if (!whole || (role.pattern ?? '').trim() !== '') return
  const needs = [
    task.containers.some((each) => each.at('secrets').items.length > 0) ? 'secrets' : '',
    fargate === true && container.at('logConfiguration', 'logDriver').text === 'awslogs' ? 'the log group' : '',
    fargate === true && /\.dkr\.ecr\./.test(container.at('image').pattern ?? '') ? 'the image in ECR' : ''
  ].filter((need) => need !== '')
  if (needs.length === 0) return
  context.add('FST_BRK_ECS_EXECUTION_ROLE', role, `There is no executionRoleArn, so ECS may not reach ${needs.join(', ')}: the task stops with ResourceInitializationError.`,
    '"executionRoleArn": "arn:aws:iam::ACCOUNT:role/ROLE" with secretsmanager:GetSecretValue on these secrets; see deploy/ecs')
}
