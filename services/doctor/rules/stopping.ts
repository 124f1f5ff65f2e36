import { expected } from '../expected-numbers.ts'
import type { Context } from './context.ts'

const MOST_ON_FARGATE = 120
const MANAGERS = new Set(['npm', 'npx', 'yarn', 'pnpm'])

/** SIGTERM must arrive, and there must be time to drain and close. */
export function checkStopping (context: Context): void {
  checkTimeout(context)
  checkSignals(context)
}

function checkTimeout (context: Context): void {
  const { container, fargate, loaded } = context
  const field = container.at('stopTimeout')
  const seconds = field.absent ? expected.defaultStopTimeoutSeconds : field.number
  if (seconds === null) return
  if (fargate === true && (seconds > MOST_ON_FARGATE || seconds < 1)) {
    context.add('FST_BRK_ECS_STOP_TIMEOUT_RANGE', field, `stopTimeout is ${seconds}; Fargate takes 1 to ${MOST_ON_FARGATE}.`, `"stopTimeout": ${expected.stopTimeoutSeconds}`)
    return
  }
  const { drainMs } = loaded.config.process
  const needed = Math.ceil(drainMs / 1000) + expected.closeCapSeconds
  if (!context.isCertain('DRAIN_MS') || seconds >= needed) return
  const reason = `stopTimeout is ${seconds} s${field.absent ? ' (the default)' : ''}, but the service drains for ${drainMs} ms (DRAIN_MS) and then closes within ${expected.closeCapSeconds} s: it is killed in between, and requests with it.`
  const corrected = fargate === true && needed > MOST_ON_FARGATE ? 'DRAIN_MS=5000' : `"stopTimeout": ${Math.max(needed, expected.stopTimeoutSeconds)}`
  context.add('FST_BRK_ECS_STOP_TIMEOUT', field, reason, corrected)
}

function checkSignals (context: Context): void {
  const parts = ['entryPoint', 'command'].flatMap((name) => context.container.at(name).items)
  const words = parts.map((part) => part.text ?? '')
  const [program = '', ...rest] = words.map((word, index) => index === 0 ? word.split('/').at(-1)! : word)
  const inner = /^(ba|da|a)?sh$/.test(program) ? rest.find((word) => !word.startsWith('-')) ?? '' : null
  const manager = MANAGERS.has((inner ?? program).trim().split(/\s+/)[0]!)
  const shell = inner !== null && !/^\s*exec\s|[;&]\s*exec\s/.test(inner)
  if (parts.length === 0 || (!manager && !shell)) return
  context.add('FST_BRK_ECS_SIGNALS', parts[0]!, `${manager ? 'A package manager' : 'A shell'} runs the service and keeps SIGTERM to itself: nothing drains, and the task is killed when its stop timeout is over.`,
    '"command": ["node", "--max-semi-space-size=4", "server.ts"], or no command: the image has it')
}
