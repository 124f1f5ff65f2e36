import { setTimeout as delay } from 'node:timers/promises'
import { isTransient } from './ecs-errors.ts'
import { primaryOf } from './state.ts'
import type { DeploymentState, Ecs, ServiceState } from './state.ts'

export type Waited =
  | { outcome: 'stable', service: ServiceState }
  /** ECS gave the deployment up and changed nothing back. */
  | { outcome: 'failed', reason: string }
  /** ECS gave the deployment up and went back by itself. */
  | { outcome: 'returned', to: string, reason: string }
  /** Somebody deployed something else. */
  | { outcome: 'superseded', by: string }
  | { outcome: 'timeout', reason: string }
  | { outcome: 'interrupted' }

export interface WaitOptions {
  ecs: Ecs
  /** ARN of the task definition that is on its way. */
  target: string
  timeoutMs: number
  intervalMs: number
  signal: AbortSignal
  onProgress: (line: string) => void
}

/**
 * How often a service is looked at again before it is believed that a deployment failed for good, or that ours is not there: ECS may
 * be about to return by itself, and what it describes can be older than what it has accepted.
 */
const PATIENCE_LOOKS = 6

/** Waits until the newest deployment is complete, or it is clear that it will not be. @throws what only a person can repair, such as credentials that expired */
export async function waitStable (options: WaitOptions): Promise<Waited> {
  const { ecs, timeoutMs, intervalMs, signal, onProgress } = options
  const startedAt = performance.now()
  const watch = new Watch(options.target)
  let said = ''
  for (;;) {
    const service = await look(ecs, onProgress)
    const waited = service === null ? null : watch.judge(service)
    if (service !== null && said !== (said = watch.describe(service))) onProgress(said)
    if (waited !== null) return waited
    if (signal.aborted) return { outcome: 'interrupted' }
    if (performance.now() - startedAt > timeoutMs) return { outcome: 'timeout', reason: `not stable within ${timeoutMs / 1000} s; ${said}` }
    await delay(intervalMs, undefined, { signal }).catch(() => {})
  }
}

/** Null: no answer this time. */
async function look (ecs: Ecs, onProgress: (line: string) => void): Promise<ServiceState | null> {
  try {
    return await ecs.service()
  } catch (err) {
    if (!isTransient(err)) throw err
    onProgress(`${(err as Error).message} Asking again.`)
    return null
  }
}

/** What is known of the deployment from look to look. */
class Watch {
  readonly #target: string
  #id: string | null = null
  #failedLooks = 0
  #lostLooks = 0

  constructor (target: string) {
    this.#target = target
  }

  judge (service: ServiceState): Waited | null {
    const primary = primaryOf(service)
    if (primary === undefined) return null
    if (primary.taskDefinition !== this.#target) return this.#lost(service, primary)
    this.#id = primary.id
    if (primary.state === 'FAILED') return this.#failed(primary)
    const stable = primary.state === 'COMPLETED' && primary.running >= service.desired
    return stable ? { outcome: 'stable', service } : null
  }

  describe (service: ServiceState): string {
    const primary = primaryOf(service)
    if (primary === undefined) return 'no deployment'
    const { running, pending, failed, state } = primary
    return `${running} of ${service.desired} running, ${pending} pending, ${failed} failed; ${state}${this.#old(service)}`
  }

  #old ({ deployments }: ServiceState): string {
    const others = deployments.filter(({ primary }) => !primary).reduce((sum, { running }) => sum + running, 0)
    return others === 0 ? '' : `, ${others} of other revisions still running`
  }

  #failed ({ reason }: DeploymentState): Waited | null {
    return ++this.#failedLooks < PATIENCE_LOOKS ? null : { outcome: 'failed', reason: reason === '' ? 'the deployment failed' : reason }
  }

  #lost (service: ServiceState, primary: DeploymentState): Waited | null {
    this.#lostLooks++
    if (this.#id === null && this.#lostLooks < PATIENCE_LOOKS) return null
    const own = service.deployments.find(({ id }) => id === this.#id)
    const byEcs = own?.state === 'FAILED' || /roll(ing|ed) back/i.test(primary.reason)
    if (!byEcs) return { outcome: 'superseded', by: primary.taskDefinition }
    return { outcome: 'returned', to: primary.taskDefinition, reason: own?.reason || primary.reason }
  }
}
