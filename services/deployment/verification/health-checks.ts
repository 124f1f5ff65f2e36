import { ask, jsonOf } from '../request.ts'
import type { Reply } from '../request.ts'
import { describe, failed, passed, warned } from './check.ts'
import type { Check, Target } from './check.ts'

/** What a health answer means where it is not the good one. */
const ROUTES: [path: string, meaning: string][] = [
  ['/health', 'a critical dependency is down'],
  ['/health/live', 'the process does not turn; ECS replaces the task'],
  ['/health/ready', 'new work is not welcome'],
  ['/health/alb', 'the load balancer takes the task out']
]

/** All four routes at once: each must answer 200 within the deadline of the target. Never rejects. */
export async function checkHealth (target: Target): Promise<Check[]> {
  return await Promise.all(ROUTES.map(([path, meaning]) => checkRoute(target, path, meaning)))
}

async function checkRoute ({ url, timeoutMs, signal }: Target, path: string, meaning: string): Promise<Check> {
  const name = `GET ${path}`
  try {
    const reply = await ask({ url: `${url}${path}`, timeoutMs, signal })
    if (reply.status !== 200) return failed(name, `${describeHealth(reply)}: ${meaning}`, reply.latencyMs)
    const { status, checks } = jsonOf(reply.body) ?? {}
    if (typeof status !== 'string') return failed(name, `200, but the body is not that of this service: ${describe(reply)}`, reply.latencyMs)
    const bad = notGood(checks)
    return status === 'degraded' ? warned(name, `degraded: ${bad}`, reply.latencyMs) : passed(name, status, reply.latencyMs)
  } catch (err) {
    return failed(name, (err as Error).message)
  }
}

function describeHealth (reply: Reply): string {
  const { status, reason, checks } = jsonOf(reply.body) ?? {}
  if (typeof status !== 'string') return describe(reply)
  return [`${reply.status} ${status}`, typeof reason === 'string' ? reason : '', notGood(checks)].filter((part) => part !== '').join(', ')
}

/** Names and statuses of the checks that are not good. */
export function notGood (checks: unknown): string {
  if (typeof checks !== 'object' || checks === null) return ''
  return Object.entries(checks).filter(([, status]) => status !== 'ok' && status !== 'disabled').map(([name, status]) => `${name} ${status}`).join(', ')
}
