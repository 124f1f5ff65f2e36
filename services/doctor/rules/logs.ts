import type { Context } from './context.ts'

const ON_FARGATE = ['awslogs', 'awsfirelens', 'splunk']
const AWSLOGS = '"logConfiguration": { "logDriver": "awslogs", "options": { "awslogs-group": "/ecs/breakwater", "awslogs-region": "REGION", "awslogs-stream-prefix": "breakwater" } }'

export function checkLogs (context: Context): void {
  const { container, fargate } = context
  const configuration = container.at('logConfiguration')
  const driver = configuration.at('logDriver').text
  if (configuration.unknown || configuration.at('logDriver').unknown) return
  if (driver === null || driver === 'none') {
    context.add('FST_BRK_ECS_LOG_MISSING', configuration, 'There is no log configuration: why a task stopped, and its metrics with METRICS=emf, are lost.', AWSLOGS)
  } else if (fargate === true && !ON_FARGATE.includes(driver)) {
    context.add('FST_BRK_ECS_LOG_OPTIONS', configuration.at('logDriver'), `Fargate has no log driver ${driver}.`, AWSLOGS)
  } else if (driver === 'awslogs') checkAwslogs(context)
  else if (driver === 'awsfirelens') checkRouter(context)
}

function checkAwslogs (context: Context): void {
  const options = context.container.at('logConfiguration', 'options')
  const needed = ['awslogs-group', 'awslogs-region', ...context.fargate === true ? ['awslogs-stream-prefix'] : []]
  const missing = options.unknown ? [] : needed.filter((name) => (options.at(name).pattern ?? '').trim() === '')
  if (missing.length === 0) return
  context.add('FST_BRK_ECS_LOG_OPTIONS', options, `awslogs has no ${missing.join(', ')}: the container does not start.`, AWSLOGS)
}

function checkRouter (context: Context): void {
  const { neighbours, container } = context
  if (neighbours.some((other) => !other.at('firelensConfiguration').absent)) return
  context.add('FST_BRK_ECS_LOG_ROUTER', container.at('logConfiguration', 'logDriver'), 'The log driver is awsfirelens, but no container of the task has a firelensConfiguration.', '"firelensConfiguration": { "type": "fluentbit" } in a container with an aws-for-fluent-bit image')
}
