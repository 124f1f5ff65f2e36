import { NoPreviousRevision, RevisionInactive, RevisionInvalid, RevisionNotFound } from '../errors.ts'
import { primaryOf, shortName } from './state.ts'
import type { DeploymentState, Ecs, PastDeployment, ServiceState, TaskDefinitionState } from './state.ts'

const NUMBER = /^[1-9]\d{0,9}$/
const NAMED = /^[\w-]{1,255}:[1-9]\d{0,9}$/
const ARN = /^arn:[\w-]+:ecs:[\w-]+:\d{12}:task-definition\/[\w-]{1,255}:[1-9]\d{0,9}$/

/** @throws FST_BRK_ECS_REVISION_INVALID when it can name no revision; a family alone would mean "whatever is the newest". */
export function checkRevision (text: string): void {
  if (text !== 'previous' && ![NUMBER, NAMED, ARN].some((form) => form.test(text))) throw new RevisionInvalid(JSON.stringify(text))
}

/**
 * The task definition that is meant, and that ECS can start.
 * @throws FST_BRK_ECS_REVISION_NOT_FOUND, FST_BRK_ECS_REVISION_INACTIVE, FST_BRK_ECS_NO_PREVIOUS
 */
export async function findTarget (ecs: Ecs, service: ServiceState, revision: string): Promise<TaskDefinitionState> {
  const primary = primaryOf(service)!
  const family = shortName(primary.taskDefinition).split(':')[0]!
  const reference = revision === 'previous'
    ? previousOf(primary, await ecs.history())
    : NUMBER.test(revision) ? `${family}:${revision}` : revision
  if (reference === null) throw new NoPreviousRevision(shortName(primary.taskDefinition))
  const found = await ecs.taskDefinition(reference)
  if (found?.status === 'ACTIVE') return found
  const name = shortName(reference)
  const choice = choiceOf(await ecs.activeRevisions(name.split(':')[0]!))
  throw found === null ? new RevisionNotFound(name, choice) : new RevisionInactive(name, found.status, choice)
}

/**
 * What completed before that which runs now. Asked twice it does not go to and fro: where the newest step was itself a return to an
 * earlier revision, by a rollback or by ECS' circuit breaker, the answer is that revision, which makes an interrupted rollback
 * continue and a finished one a matter of record.
 */
export function previousOf (primary: DeploymentState, history: PastDeployment[]): string | null {
  const current = primary.taskDefinition
  if (history[0]?.status.startsWith('ROLLBACK_') === true && history[0].taskDefinition !== current) return current
  const completed = history.filter(({ status }) => status === 'SUCCESSFUL').map(({ taskDefinition }) => taskDefinition)
  const index = completed.findIndex((taskDefinition) => taskDefinition !== current)
  if (index === -1) return null
  const before = completed[index]!
  // A deployment that ECS has forgotten the content of must not be skipped: what lies behind it is not the previous one.
  if (before === null) return null
  const returned = completed.slice(index).includes(current) && !isNewer(current, before)
  return returned ? current : before
}

function isNewer (one: string, other: string): boolean {
  const [family, revision] = shortName(one).split(':')
  const [otherFamily, otherRevision] = shortName(other).split(':')
  return family === otherFamily && Number(revision) > Number(otherRevision)
}

function choiceOf (active: string[]): string {
  return active.length === 0 ? 'Its family has none that can be deployed.' : `These can be deployed: ${active.join(', ')}.`
}
