/** `error`: it will not work, or leaks a secret. `warning`: it may not work. `info`: it could be better. */
export type Severity = 'error' | 'warning' | 'info'

interface Meaning {
  severity: Severity
  /** Heading of docs/doctor.md. */
  section: string
  meaning: string
}

const rule = (severity: Severity) => (section: string, meaning: string): Meaning => ({ severity, section, meaning })
const error = rule('error')
const warning = rule('warning')
const info = rule('info')

/** Every finding that the doctor has of its own. The tables of docs/doctor.md are made of it. */
export const codes = {
  FST_BRK_ECS_FILE: error('files', 'The file cannot be read, or is not what it was said to be.'),
  FST_BRK_ECS_NO_TASK_DEFINITION: error('files', 'The file has no task definition.'),
  FST_BRK_ECS_NO_SERVICE: warning('files', 'Nothing in the file belongs to the service, so nothing was examined.'),
  FST_BRK_ECS_CONTAINER_UNKNOWN: error('files', 'The container named with --container is not there.'),
  FST_BRK_ECS_TEMPLATE_PARAMETER: error('files', 'A value given with --parameter is refused by the template, or the template has no such parameter.'),
  FST_BRK_ECS_PLACEHOLDER: error('files', 'A value still has the marks of a template: nothing replaces them in ECS.'),

  FST_BRK_ECS_PLAIN_SECRET: error('secrets', 'A secret stands in `environment`, where everybody who may describe the task definition reads it.'),
  FST_BRK_ECS_URL_CREDENTIALS: error('secrets', 'An address in `environment` contains a password.'),
  FST_BRK_ECS_SSM_SECRET: error('secrets', 'A secret comes from an SSM parameter instead of Secrets Manager.'),
  FST_BRK_ECS_SECRET_REFERENCE: error('secrets', '`valueFrom` is not the ARN of a secret, with an optional JSON key, version stage and version.'),
  FST_BRK_ECS_EXECUTION_ROLE: error('secrets', 'Nothing may fetch the secrets, the image or the log group: there is no `executionRoleArn`.'),

  FST_BRK_ECS_DUPLICATE_VARIABLE: error('variables', 'A variable is given twice.'),
  FST_BRK_ECS_VARIABLE_NAME: error('variables', 'The name of a variable is empty, or has characters that no name has.'),
  FST_BRK_ECS_VALUE_TYPE: error('variables', 'The value of a variable is not a text; ECS takes nothing else.'),
  FST_BRK_ECS_UNKNOWN_VARIABLE: warning('variables', 'Nothing reads the variable, but a known one has a similar name.'),
  FST_BRK_ECS_HOST_LOOPBACK: error('variables', 'The service listens to its own container only; neither load balancer nor neighbours reach it.'),

  FST_BRK_ECS_REDIS_BARE: error('redis-address', 'REDIS_URL has no scheme, and nothing else says whether TLS is used.'),
  FST_BRK_ECS_REDIS_BARE_TLS: info('redis-address', 'REDIS_URL has no scheme; REDIS_TLS_ENABLED decides, and other programs fail on it.'),
  FST_BRK_ECS_REDIS_DISABLED: warning('redis-address', 'Nothing says where Redis is: messages stay in the journal.'),
  FST_BRK_ECS_LOCALHOST: error('redis-address', 'An address leads to the task itself, where nothing else runs.'),
  FST_BRK_ECS_READER_ENDPOINT: error('redis-address', 'The address is that of read replicas: every write is refused.'),
  FST_BRK_ECS_NODE_ENDPOINT: warning('redis-address', 'The address is that of one node, which stays behind in a failover.'),
  FST_BRK_ECS_CLUSTER_ENDPOINT: error('redis-address', 'The address is that of a cluster, but REDIS_CLUSTER is not true.'),

  FST_BRK_ECS_HEALTH_MISSING: info('health-check', 'There is no container health check; ECS ignores that of the image.'),
  FST_BRK_ECS_HEALTH_COMMAND: error('health-check', 'The command of the health check cannot be executed as it is written.'),
  FST_BRK_ECS_HEALTH_TOOL: error('health-check', 'The health check uses a program that the image does not have.'),
  FST_BRK_ECS_HEALTH_PATH: error('health-check', 'The container health check does not ask /health/live.'),
  FST_BRK_ECS_HEALTH_PORT: error('health-check', 'The health check asks another port than the service listens on.'),
  FST_BRK_ECS_HEALTH_PROTOCOL: error('health-check', 'The health check speaks TLS, the service does not.'),
  FST_BRK_ECS_HEALTH_NEVER_FAILS: error('health-check', 'The health check succeeds whatever the service answers.'),
  FST_BRK_ECS_HEALTH_RANGE: error('health-check', 'A number of the health check is outside what ECS accepts.'),
  FST_BRK_ECS_HEALTH_TIMEOUT: warning('health-check', 'A check may take as long as the pause between two, or longer.'),
  FST_BRK_ECS_HEALTH_EAGER: warning('health-check', 'One slow answer is enough to kill the task.'),
  FST_BRK_ECS_START_PERIOD: warning('health-check', 'Failures while the service starts count.'),

  FST_BRK_ECS_STOP_TIMEOUT: error('stopping', 'The container is killed before it has drained and closed.'),
  FST_BRK_ECS_STOP_TIMEOUT_RANGE: error('stopping', 'Fargate accepts a stop timeout from 1 to 120 s.'),
  FST_BRK_ECS_SIGNALS: warning('stopping', 'A shell or a package manager stands between ECS and the service: SIGTERM does not arrive.'),

  FST_BRK_ECS_PORT_MAPPING: error('network', 'No port mapping leads to the port that the service listens on.'),
  FST_BRK_ECS_HOST_PORT: error('network', 'With awsvpc or host networking, the host port must be the container port.'),
  FST_BRK_ECS_NETWORK_MODE: error('network', 'Fargate needs the network mode awsvpc.'),

  FST_BRK_ECS_CPU_MEMORY: error('resources', 'Fargate has no such combination of CPU and memory.'),
  FST_BRK_ECS_MEMORY: error('resources', 'The service has less memory than it needs to start and work.'),
  FST_BRK_ECS_MEMORY_TIGHT: warning('resources', 'The memory is enough for a quiet day only.'),
  FST_BRK_ECS_MEMORY_SUM: error('resources', 'The containers are given more than the task has, or reserve more than their limit.'),
  FST_BRK_ECS_HEAP_LIMIT: error('resources', 'Node may use more heap than the container has memory: it is killed before it collects.'),
  FST_BRK_ECS_PLATFORM: error('resources', 'The platform is none of those the image is built for, or is misspelt.'),

  FST_BRK_ECS_EPHEMERAL_DISK: error('storage', 'ALLOW_NODE_DURABILITY is set, but the database is on a disk that goes with the task.'),
  FST_BRK_ECS_NETWORK_DISK: error('storage', 'SQLite is on a network file system, where its write-ahead log does not work.'),
  FST_BRK_ECS_READ_ONLY_DISK: error('storage', 'The database is on a file system that is mounted read-only.'),
  FST_BRK_ECS_VOLUME: error('storage', 'A mount point names a volume that the task does not have.'),

  FST_BRK_ECS_LOG_MISSING: warning('logs', 'There is no log configuration: what the service says is lost.'),
  FST_BRK_ECS_LOG_OPTIONS: error('logs', 'The log driver lacks an option that it needs.'),
  FST_BRK_ECS_LOG_ROUTER: error('logs', 'Logs go to FireLens, but no container of the task is its router.'),

  FST_BRK_ECS_ESSENTIAL: error('container', 'The task goes on without the service when it exits.'),
  FST_BRK_ECS_DEPENDS_ON: error('container', 'The container waits for one that is not there, that has no health check, or for itself.'),
  FST_BRK_ECS_IMAGE_TAG: warning('container', 'The image has no fixed tag: a rollback starts whatever it means by then.'),
  FST_BRK_ECS_ROOT_USER: warning('container', 'The service runs as root.'),
  FST_BRK_ECS_PRIVILEGED: error('container', 'The container is privileged.'),
  FST_BRK_ECS_READ_ONLY_ROOT: info('container', 'The root file system can be written; the service does not need that.'),

  FST_BRK_ECS_GRACE_PERIOD: warning('service-and-target-group', 'The load balancer\'s checks count from the first second: a task that starts slowly is killed.'),
  FST_BRK_ECS_CIRCUIT_BREAKER: warning('service-and-target-group', 'A deployment that fails is not rolled back by itself.'),
  FST_BRK_ECS_HEALTHY_PERCENT: warning('service-and-target-group', 'A deployment stops every task before it starts a new one.'),
  FST_BRK_ECS_LOAD_BALANCER_PORT: error('service-and-target-group', 'The load balancer is sent to a container or port that the task does not have.'),
  FST_BRK_ECS_TARGET_PATH: error('service-and-target-group', 'The target group does not ask /health/alb.'),
  FST_BRK_ECS_TARGET_MATCHER: error('service-and-target-group', 'The target group takes answers for healthy that are not.'),
  FST_BRK_ECS_TARGET_TIMEOUT: error('service-and-target-group', 'A check of the target group may take as long as the pause between two, or longer.'),
  FST_BRK_ECS_TARGET_PROTOCOL: error('service-and-target-group', 'The target group speaks TLS or TCP, or asks another port than that of the traffic.'),
  FST_BRK_ECS_TARGET_TYPE: error('service-and-target-group', 'Tasks with awsvpc are targets by address: the target type must be ip.'),
  FST_BRK_ECS_DEREGISTRATION: info('service-and-target-group', 'Every deployment waits for minutes for connections that have long ended.'),

  FST_BRK_ECS_SSM_MISSING: error('parameters', 'The parameter that a variable comes from does not exist.'),
  FST_BRK_ECS_SSM_BLANK: error('parameters', 'The value of a parameter is blank, a placeholder, or in quotation marks.'),
  FST_BRK_ECS_SSM_TYPE: error('parameters', 'The parameter is a list; the container gets its text with the commas in it.')
} as const satisfies Record<string, Meaning>

export type Code = keyof typeof codes

/** Headings of docs/doctor.md, in their order. */
export const sections = [...new Set(Object.values(codes).map(({ section }) => section))]

/** Fills every pair of markers `<!-- codes: <section> -->` … `<!-- /codes -->`. */
export function fillCodeTables (markdown: string): string {
  return markdown.replace(/(<!-- codes: ([a-z-]+) -->\n)[^]*?(<!-- \/codes -->)/g, (_all, open: string, section: string, close: string) => {
    const rows = Object.entries<Meaning>(codes).filter(([, row]) => row.section === section)
      .map(([code, { severity, meaning }]) => `| \`${code}\` | ${severity} | ${meaning} |\n`)
    return `${open}| Code | Severity | Meaning |\n|---|---|---|\n${rows.join('')}${close}`
  })
}
