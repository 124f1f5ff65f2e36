import { changesBetween } from './changes.ts'
import type { Change } from './changes.ts'
import { findTarget } from './revision.ts'
import { primaryOf } from './state.ts'
import type { Ecs, ServiceState } from './state.ts'

/** What a rollback would do. Task definitions are ARNs. */
export interface Plan {
  /** What runs, or is on its way, before anything is done. */
  from: string
  to: string
  /** Where a failing rollback returns to: the last completed revision. Null: there is none but the target. */
  undoTo: string | null
  /** `none`: the target is on its way or there already. `force`: ECS gave the target up, and begins again only when forced to. */
  action: 'update' | 'force' | 'none'
  /** The target is there and complete. */
  complete: boolean
  desired: number
  changes: Change[]
  warnings: string[]
  /** The deployment that the plan was made for. */
  deploymentId: string
}

/** Reads only. @throws the errors of services/deployment/errors.ts */
export async function makePlan (ecs: Ecs, revision: string): Promise<Plan> {
  const service = await ecs.service()
  const primary = primaryOf(service)!
  const target = await findTarget(ecs, service, revision)
  const undoTo = service.deployments.find(({ state, taskDefinition }) => state === 'COMPLETED' && taskDefinition !== target.arn)?.taskDefinition ?? null
  const from = primary.taskDefinition === target.arn ? undoTo ?? target.arn : primary.taskDefinition
  const before = from === target.arn ? target : await ecs.taskDefinition(from)
  return {
    from,
    to: target.arn,
    undoTo,
    action: primary.taskDefinition !== target.arn ? 'update' : primary.state === 'FAILED' ? 'force' : 'none',
    complete: primary.taskDefinition === target.arn && primary.state === 'COMPLETED',
    desired: service.desired,
    changes: before === null ? [] : changesBetween(before, target),
    warnings: warningsOf(service, before?.family ?? target.family, target.family),
    deploymentId: primary.id
  }
}

function warningsOf (service: ServiceState, from: string, to: string): string[] {
  return [
    ...service.desired === 0 ? ['The desired count is 0: the deployment completes without a single task, which proves nothing.'] : [],
    ...from === to ? [] : [`The target is of another family: ${to} instead of ${from}.`]
  ]
}
