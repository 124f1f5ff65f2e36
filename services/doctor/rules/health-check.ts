import type { Code } from '../codes.ts'
import { UNKNOWN } from '../documents/field.ts'
import type { Field } from '../documents/field.ts'
import { expected, healthCommand } from '../expected-numbers.ts'
import type { Context } from './context.ts'

/** What ECS accepts. @see https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html */
const RANGES = { interval: [5, 300], timeout: [2, 60], retries: [1, 10], startPeriod: [0, 300] } as const
const DEFAULTS = { interval: 30, timeout: 5, retries: 3 }
const TOOL = /(?:^|[\s;&|(/"'])(curl|wget|nc)(?=\s|$)/
const FETCHED = /\b(https?):\/\/[^\s/:'"`)]+(?::(\d+|[^/\s]*))?(\/[^\s'"`)?#,;]*)?/

/** The container's own check. The one of the image does not count: ECS ignores it. */
export function checkHealth (context: Context): void {
  const check = context.container.at('healthCheck')
  if (check.unknown) return
  const [kind] = check.at('command').items
  if (check.absent || kind?.text === 'NONE') {
    context.add('FST_BRK_ECS_HEALTH_MISSING', check, 'There is no container health check, and ECS ignores the HEALTHCHECK of the image: a process that hangs is found by the load balancer only.', correctedCommand(context))
    return
  }
  checkCommand(context, check.at('command'))
  checkNumbers(context, check)
}

function checkCommand (context: Context, command: Field): void {
  const parts = command.items.map((item) => item.pattern ?? '')
  if (command.unknown || command.items.some((item) => item.value === UNKNOWN)) return
  const fault = formFault(command, parts)
  if (fault !== null) {
    add(context, 'FST_BRK_ECS_HEALTH_COMMAND', command, fault)
    return
  }
  const line = parts.slice(1).join(' ')
  const [, tool] = TOOL.exec(line) ?? []
  if (tool !== undefined) add(context, 'FST_BRK_ECS_HEALTH_TOOL', command, `The check runs ${tool}, which the image does not have: every check fails, and every task is killed. The image has Node.`)
  checkVerdict(context, command, line)
  checkRequest(context, command, line)
}

function formFault (command: Field, [kind, ...rest]: string[]): string | null {
  if (!Array.isArray(command.value)) return 'The command is not a list of texts.'
  if (kind !== 'CMD' && kind !== 'CMD-SHELL') return 'The list must begin with "CMD" or "CMD-SHELL", as a text of its own.'
  if (rest.length === 0) return 'There is no command.'
  if (kind === 'CMD-SHELL') return rest.length === 1 ? null : 'CMD-SHELL takes one text: the shell ignores what follows the first.'
  if (rest.length === 1 && /\s/.test(rest[0]!)) return 'CMD takes a program and each argument as a text of its own; there is no program with spaces in its name.'
  return rest.some((part) => part === '||' || part === '&&') ? 'CMD has no shell: || and && are passed as arguments.' : null
}

function checkVerdict (context: Context, command: Field, line: string): void {
  const deaf = /(\|\||;)\s*(exit 0|true|:)\s*$/.test(line)
  const anyAnswer = /\bfetch\(/.test(line) && !/\.(ok|status)\b/.test(line)
  const curlAnswer = /\bcurl\b/.test(line) && !/\s(-[a-zA-Z]*f|--fail)/.test(line)
  if (deaf || anyAnswer || curlAnswer) {
    add(context, 'FST_BRK_ECS_HEALTH_NEVER_FAILS', command, `The check succeeds ${deaf ? 'whatever happens' : 'with any answer, 503 included'}: a service that is ill is never replaced.`)
  }
}

function checkRequest (context: Context, command: Field, line: string): void {
  const [whole, protocol, port, direct] = FETCHED.exec(line) ?? []
  if (whole === undefined) {
    const [, asked] = /\bpath\s*:\s*['"`](\/[^'"`?]*)/.exec(line) ?? []
    if (asked !== undefined) checkPath(context, command, asked)
    return
  }
  // A port that is an expression hides where the path begins.
  const path = port === undefined || /^\d+$/.test(port) ? direct ?? '/' : /\/[a-z][\w/-]*(?=['"`)\s]|$)/.exec(line.slice(line.indexOf(whole) + protocol!.length + 3))?.[0]
  if (protocol === 'https') add(context, 'FST_BRK_ECS_HEALTH_PROTOCOL', command, 'The check speaks TLS; the service listens without, and the load balancer ends TLS.')
  if (path !== undefined) checkPath(context, command, path)
  const wanted = context.loaded.config.process.port
  if ((port === undefined || /^\d+$/.test(port)) && context.isCertain('PORT') && protocol === 'http' && Number(port ?? 80) !== wanted) {
    add(context, 'FST_BRK_ECS_HEALTH_PORT', command, `The check asks port ${port ?? 80}; the service listens on ${wanted}.`)
  }
}

function checkPath (context: Context, command: Field, path: string): void {
  if (path === expected.containerPath || path.includes(UNKNOWN)) return
  add(context, 'FST_BRK_ECS_HEALTH_PATH', command, `The check asks ${path}: ${meaningOf(path)}`)
}

function meaningOf (path: string): string {
  if (path === '/health') return 'when the database fails it says 503, and ECS replaces tasks that are not at fault.'
  if (path === '/health/ready' || path === '/health/alb') return 'readiness ends when the task drains or waits, and ECS would kill it for that. Only the load balancer asks it.'
  return 'there is no such route, so every check fails.'
}

function checkNumbers (context: Context, check: Field): void {
  for (const [name, [least, most]] of Object.entries(RANGES)) {
    const number = check.at(name).number
    if (number !== null && (number < least || number > most)) {
      context.add('FST_BRK_ECS_HEALTH_RANGE', check.at(name), `${name} is ${number}; ECS takes ${least} to ${most}.`, `"${name}": ${recommended(name)}`)
    }
  }
  const [interval, timeout, retries] = (['interval', 'timeout', 'retries'] as const).map((name) => numberOr(check.at(name), DEFAULTS[name]))
  if (interval !== null && timeout !== null && timeout! >= interval!) {
    context.add('FST_BRK_ECS_HEALTH_TIMEOUT', check.at('timeout'), `A check may take ${timeout} s, and one begins every ${interval} s.`, `"interval": ${expected.intervalSeconds}, "timeout": ${expected.timeoutSeconds}`)
  }
  if (retries === 1) context.add('FST_BRK_ECS_HEALTH_EAGER', check.at('retries'), 'With one retry, a single slow answer kills the task.', `"retries": ${expected.retries}`)
  if (numberOr(check.at('startPeriod'), 0) === 0) {
    context.add('FST_BRK_ECS_START_PERIOD', check.at('startPeriod'), 'Checks that fail while the service starts count as failures.', `"startPeriod": ${expected.startPeriodSeconds}`)
  }
}

/** Null: only the deployment knows. */
function numberOr (field: Field, fallback: number): number | null {
  return field.absent ? fallback : field.number
}

function recommended (name: string): number {
  return { interval: expected.intervalSeconds, timeout: expected.timeoutSeconds, retries: expected.retries }[name] ?? expected.startPeriodSeconds
}

function add (context: Context, code: Code, field: Field, explanation: string): void {
  context.add(code, field, explanation, correctedCommand(context))
}

function correctedCommand ({ loaded }: Context): string {
  return `"healthCheck": { "command": ${JSON.stringify(healthCommand(loaded.config.process.port))}, "interval": ${expected.intervalSeconds}, "timeout": ${expected.timeoutSeconds}, "retries": ${expected.retries}, "startPeriod": ${expected.startPeriodSeconds} }`
}
