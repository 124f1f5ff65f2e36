import { ServiceChanged } from '../errors.ts'
import { isTransient } from './ecs-errors.ts'
import { makePlan } from './plan.ts'
import type { Plan } from './plan.ts'
import { primaryOf, shortName } from './state.ts'
import type { Ecs } from './state.ts'
import { waitHealthy } from './wait-healthy.ts'
import type { HealthResult } from './wait-healthy.ts'
import { waitStable } from './wait-stable.ts'
import type { Waited } from './wait-stable.ts'

export type Outcome =
  /** The target runs. */
  | 'rolled_back'
  /** The target ran before; nothing was changed. */
  | 'already_deployed'
  /** The target failed, and the revision before runs again. */
  | 'undone'
  /** The target failed, and so did the return. */
  | 'undo_failed'
  /** The target failed, and there is nothing to return to. */
  | 'not_undone'
  /** The target failed, and ECS itself returned. */
  | 'returned_by_ecs'
  /** Somebody else deployed meanwhile. */
  | 'superseded'
  | 'interrupted'

export interface Result {
  outcome: Outcome
  /** What is the case now, and what to do about it: sentences for people. */
  message: string
  /** Why the target was given up. */
  reason: string | null
  /** Task definition that ECS was last told to run, as far as this run knows. */
  now: string
  health: HealthResult | null
}

export interface RollbackOptions {
  ecs: Ecs
  /** Of the service, through its load balancer. Null: ECS' word is enough. */
  healthUrl: string | null
  /** For the target to become stable, and once more for the return. */
  timeoutMs: number
  healthTimeoutMs: number
  intervalMs: number
  /** Stops the waiting, not what ECS is doing. */
  signal: AbortSignal
  onProgress: (line: string) => void
}

/** Deploys an earlier revision and makes sure that it works, or returns. It keeps no state: what ECS shows is what it goes on from. */
export class Rollback {
  readonly #options: RollbackOptions

  constructor (options: RollbackOptions) {
    this.#options = options
  }

  /** Changes nothing. @throws the errors of services/deployment/errors.ts */
  async plan (revision: string): Promise<Plan> {
    return await makePlan(this.#options.ecs, revision)
  }

  /** @throws FST_BRK_ECS_SERVICE_CHANGED, and what only a person can repair; the error says what state is left */
  async run (plan: Plan): Promise<Result> {
    const { signal } = this.#options
    if (signal.aborted) return { outcome: 'interrupted', message: 'Nothing was changed.', reason: null, now: plan.from, health: null }
    if (plan.complete) return await this.#verifyOnly(plan)
    if (plan.action !== 'none') await this.#update(plan)
    else this.#say(`${shortName(plan.to)} is on its way already: waiting for it.`)
    const waited = await this.#guarded(plan.to, () => this.#wait(plan.to))
    if (waited.outcome !== 'stable') return await this.#unstable(plan, waited)
    const health = await this.#health()
    if (signal.aborted && health?.ok === false) return this.#interrupted(plan, plan.to)
    if (health?.ok === false) return await this.#undo(plan, `it is stable but not healthy: ${health.detail}`, health)
    return { outcome: 'rolled_back', message: `${shortName(plan.to)} runs.`, reason: null, now: plan.to, health }
  }

  async #verifyOnly (plan: Plan): Promise<Result> {
    const { to } = plan
    const health = await this.#health()
    if (this.#options.signal.aborted && health?.ok === false) return this.#interrupted(plan, to)
    const message = health?.ok === false
      ? `${shortName(to)} was deployed before and is not healthy. Nothing was changed: name another revision to go to.`
      : `${shortName(to)} runs already. Nothing was changed.`
    return { outcome: 'already_deployed', message, reason: health?.ok === false ? health.detail : null, now: to, health }
  }

  async #update ({ to, deploymentId, action }: Plan): Promise<void> {
    const { ecs } = this.#options
    const service = await ecs.service()
    const { id, taskDefinition } = primaryOf(service)!
    if (id !== deploymentId) throw new ServiceChanged(service.name, shortName(taskDefinition))
    this.#say(`Deploying ${shortName(to)}.`)
    await this.#tell(to, action === 'force')
  }

  /** An answer that got lost leaves open whether ECS has heard. It is asked, because the next step is the same if it has. */
  async #tell (taskDefinition: string, force = false): Promise<void> {
    const { ecs } = this.#options
    try {
      await ecs.update(taskDefinition, force)
    } catch (err) {
      if (!isTransient(err)) throw err
      const now = await ecs.service().catch(() => null)
      if (now === null || primaryOf(now)?.taskDefinition !== taskDefinition) throw err
    }
  }

  async #wait (target: string): Promise<Waited> {
    const { ecs, timeoutMs, intervalMs, signal, onProgress } = this.#options
    return await waitStable({ ecs, target, timeoutMs, intervalMs, signal, onProgress })
  }

  async #health (): Promise<HealthResult | null> {
    const { healthUrl: url, healthTimeoutMs: timeoutMs, intervalMs, signal, onProgress } = this.#options
    return url === null ? null : await waitHealthy({ url, timeoutMs, intervalMs: Math.min(intervalMs, 1000), signal, onProgress })
  }

  async #unstable (plan: Plan, waited: Exclude<Waited, { outcome: 'stable' }>): Promise<Result> {
    switch (waited.outcome) {
      case 'interrupted': return this.#interrupted(plan, plan.to)
      case 'superseded': {
        const message = `Somebody else deployed ${shortName(waited.by)} meanwhile. It is left alone: look at the service, then run the command again if it is still needed.`
        return { outcome: 'superseded', message, reason: null, now: waited.by, health: null }
      }
      case 'returned': return await this.#followReturn(plan, waited.to, waited.reason)
      default: return await this.#undo(plan, waited.reason, null)
    }
  }

  async #followReturn (plan: Plan, to: string, reason: string): Promise<Result> {
    this.#say(`ECS gave ${shortName(plan.to)} up and returns to ${shortName(to)} by itself: ${reason}`)
    const waited = await this.#guarded(to, () => this.#wait(to))
    if (waited.outcome === 'interrupted') return this.#interrupted(plan, to)
    const end = waited.outcome === 'stable' ? 'which runs again' : 'which is not stable yet: look at the events of the service'
    return { outcome: 'returned_by_ecs', message: `${shortName(plan.to)} failed; ECS returned to ${shortName(to)}, ${end}.`, reason, now: to, health: null }
  }

  async #undo (plan: Plan, reason: string, health: HealthResult | null): Promise<Result> {
    const { to, undoTo } = plan
    if (undoTo === null) {
      const message = `${shortName(to)} failed, and no other revision was complete when this began: there is nothing to return to. It stays the one that ECS tries to run. Name a revision that is known to work.`
      return { outcome: 'not_undone', message, reason, now: to, health }
    }
    this.#say(`${shortName(to)} failed: ${reason}. Returning to ${shortName(undoTo)}.`)
    await this.#guarded(to, () => this.#tell(undoTo))
    const waited = await this.#guarded(undoTo, () => this.#wait(undoTo))
    if (waited.outcome === 'interrupted') return this.#interrupted(plan, undoTo)
    const failure = waited.outcome === 'stable' ? null : 'reason' in waited ? waited.reason : `${shortName(waited.by)} was deployed meanwhile`
    if (failure === null) return { outcome: 'undone', message: `${shortName(to)} failed; ${shortName(undoTo)}, which ran before, runs again.`, reason, now: undoTo, health }
    const message = `${shortName(to)} failed, and the return to ${shortName(undoTo)} too: ${failure}. Look at the events of the service and name a revision that is known to work.`
    return { outcome: 'undo_failed', message, reason, now: undoTo, health }
  }

  #interrupted ({ to, undoTo }: Plan, now: string): Result {
    const goOn = now === to
      ? `ECS keeps deploying ${shortName(to)}, or runs it already. Run the same command again to wait for it${undoTo === null ? '.' : `, or roll back to ${shortName(undoTo)} to return.`}`
      : `${shortName(to)} failed, and the return to ${shortName(now)} goes on in ECS. Roll back to ${shortName(now)} to wait for it.`
    return { outcome: 'interrupted', message: goOn, reason: null, now, health: null }
  }

  /** From the update on, an error must say what was left behind. */
  async #guarded<T> (now: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (err) {
      (err as Error).message += ` ECS was told to deploy ${shortName(now)} and goes on with it; run the same command again to wait for it.`
      throw err
    }
  }

  #say (line: string): void {
    this.#options.onProgress(line)
  }
}
