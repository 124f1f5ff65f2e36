import { quote } from '../../config/masking.ts'
import { rules } from '../../config/problems.ts'
import { about, environmentSchema, variableNames } from '../../config/schema.ts'
import type { VariableName } from '../../config/schema.ts'
import { isLoopback } from '../../config/host.ts'
import type { Problem } from '../../config/problems.ts'
import { nearest } from '../../naming/nearest.ts'
import type { Field } from '../documents/field.ts'
import { NAME } from '../variables.ts'
import type { Variable } from '../variables.ts'
import type { Context } from './context.ts'

/** `${NAME}`, `$NAME`, `<name>`, `{{ name }}`: nothing replaces these in ECS. */
const PLACEHOLDER = /\$\{[^}]*\}|^\$[A-Z_]\w*$|<[A-Za-z][\w .-]*>|\{\{\s*[\w.]+\s*\}\}|^(change|replace)[-_ ]?me$/i
const known: readonly string[] = variableNames

/** Names, forms and, through our own loader, values. */
export function checkVariables (context: Context): void {
  const { surroundings, container } = context
  checkShapes(context)
  checkDuplicates(context)
  const names = surroundings.variables.map(({ name }) => name)
  for (const variable of surroundings.variables) checkName(context, variable, names)
  checkPlaceholders(context)
  checkHost(context)
  for (const [severity, problems] of [['error', context.loaded.errors], ['warning', context.loaded.warnings]] as const) {
    for (const problem of problems) reportProblem(context, problem, severity, context.variable(problem.variable)?.field ?? container.at('environment'))
  }
}

/** What the service itself would say at its start. */
export function reportProblem (context: Context, { code, variable, message, remedy }: Problem, severity: 'error' | 'warning', field: Field): void {
  const anchor = (rules as Record<string, { anchor: string }>)[code]?.anchor ?? 'when-it-is-wrong'
  const corrected = correctedValue(context, code, variable) ?? remedy.replace(/ See docs\/.*$/, '')
  context.findings.report({ code, severity, docs: `docs/configuration.md#${anchor}` }, field, { container: context.name, explanation: message, corrected })
}

function correctedValue ({ loaded }: Context, code: string, variable: string): string | null {
  const { target } = loaded.config.redis.resolution
  if (code === 'FST_BRK_CONFIG_TLS_MISMATCH' && target !== null) return `REDIS_TLS_ENABLED=${target.tls}`
  if (code === 'FST_BRK_CONFIG_ELASTICACHE_TLS' && target !== null) return `REDIS_URL=rediss://${target.host}:${target.port}`
  if (code === 'FST_BRK_CONFIG_NO_TOKEN') return '"secrets": [{ "name": "REDIS_AUTH_TOKEN", "valueFrom": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME" }]'
  if (code === 'FST_BRK_CONFIG_AUTH_REQUIRED') return '"secrets": [{ "name": "API_KEYS", "valueFrom": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME" }]; npm run --silent key makes the entries'
  if (code === 'FST_BRK_CONFIG_NODE_DURABILITY') return '"secrets": [{ "name": "DATABASE_URL", "valueFrom": "arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME" }] with postgres://…'
  if (Object.hasOwn(environmentSchema.properties, variable) && /_(BOOLEAN|INTEGER|PORT|CHOICE|TEXT|DB)$/.test(code) && variable !== 'REDIS_URL') {
    return `${variable}=${about(variable as VariableName).examples[0]}`
  }
  return null
}

function checkShapes (context: Context): void {
  for (const key of ['environment', 'secrets']) {
    for (const entry of context.container.at(key).items) {
      const name = entry.at('name')
      const value = entry.at(key === 'secrets' ? 'valueFrom' : 'value')
      if (!entry.unknown && !name.unknown && !NAME.test(name.text ?? '')) {
        context.add('FST_BRK_ECS_VARIABLE_NAME', name, `${name.text === null ? 'An entry has no name' : `${quote(name.text.replace(/=.*$/s, '=***'))} is no name of a variable`}: the service never sees it.`, '"name": "REDIS_URL", without spaces, quotation marks or =')
      }
      if (context.task.form !== 'template' && !value.absent && typeof value.value !== 'string') {
        context.add('FST_BRK_ECS_VALUE_TYPE', value, `The value of ${NAME.test(name.text ?? '') ? name.text : 'a variable'} is a ${typeof value.value}; RegisterTaskDefinition takes texts only.`, `"${value.path.at(-1)}": "${typeof value.value === 'object' ? '…' : 'the same, in quotation marks'}"`)
      }
    }
  }
}

function checkDuplicates (context: Context): void {
  const { variables } = context.surroundings
  for (const [index, { name, entry, origin }] of variables.entries()) {
    const first = variables.findIndex((other) => other.name === name)
    if (first === index) continue
    const both = variables[first]!.origin === origin ? `twice in ${origin}` : 'in environment and in secrets; ECS refuses that'
    context.add('FST_BRK_ECS_DUPLICATE_VARIABLE', entry.at('name'), `${name} is given ${both}.`, `Keep one entry for ${name}${origin === 'secrets' ? ', this one' : ''}`)
  }
}

/** Names that begin with REDIS are looked at by the loader. */
function checkName (context: Context, { name, entry }: Variable, names: string[]): void {
  if (known.includes(name) || /^redis/i.test(name) || name.length < 4) return
  const meant = nearest(name, known.filter((other) => other.includes('_') || other.toLowerCase() === name.toLowerCase()), Math.min(2, Math.floor(name.length / 4)))
  if (meant === null || names.includes(meant)) return
  context.add('FST_BRK_ECS_UNKNOWN_VARIABLE', entry.at('name'), `Nothing reads ${name}. Did you mean ${meant}?`, `"name": "${meant}"`)
}

function checkPlaceholders (context: Context): void {
  const { surroundings, container, task } = context
  const own = surroundings.variables.filter(({ name, value }) => known.includes(name) && value !== null)
  const others = [container.at('image'), task.field.at('executionRoleArn'), task.field.at('taskRoleArn'), container.at('logConfiguration', 'options', 'awslogs-group')]
  const references = surroundings.variables.filter(({ origin }) => origin === 'secrets').map(({ entry }) => entry.at('valueFrom'))
  const hidden = new Set(own.filter(({ name }) => about(name as VariableName).secret).map((variable) => variable.field))
  for (const field of [...own.map((variable) => variable.field), ...others, ...references]) {
    const [mark] = PLACEHOLDER.exec(field.pattern ?? '') ?? []
    if (mark === undefined) continue
    context.add('FST_BRK_ECS_PLACEHOLDER', field, `${hidden.has(field) ? 'The value' : quote(mark)} is the mark of a template; ECS passes it on as it is.`, 'The real value, put in before the task definition is registered (envsubst, Fn::Sub, templatefile)')
  }
}

/** In a task with a proxy, the proxy may be the only one who needs to reach the service. */
function checkHost (context: Context): void {
  const { loaded, neighbours } = context
  const host = context.variable('HOST')
  if (host === null || !context.isCertain('HOST') || !isLoopback(loaded.config.process.host)) return
  if (neighbours.some((other) => other.at('portMappings').items.length > 0)) return
  context.add('FST_BRK_ECS_HOST_LOOPBACK', host.field, `HOST is ${loaded.config.process.host}: health checks of the load balancer are refused, and every deployment is rolled back.`, 'HOST=0.0.0.0, or no HOST: the image sets it')
}
