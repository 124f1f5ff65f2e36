import type { Change } from '../../services/deployment/rollback/changes.ts'
import type { Plan } from '../../services/deployment/rollback/plan.ts'
import { shortName } from '../../services/deployment/rollback/state.ts'
import { printable } from '../text.ts'

const SIGNS = { added: '+', removed: '-', changed: '~' }
const KINDS = { image: '', size: '', environment: 'environment ', secret: 'secret ', container: 'container ', other: '' }

/** What will change, for people. */
export function planText (plan: Plan, { service, cluster }: { service: string, cluster: string }): string {
  const { from, to, undoTo, changes, warnings, action, complete } = plan
  const lines = [
    `service   ${service} in ${cluster}, ${plan.desired} tasks`,
    `now       ${shortName(from)}`,
    `then      ${shortName(to)}${action !== 'none' ? '' : complete ? ' (deployed already)' : ' (on its way already)'}`,
    `on failure ${undoTo === null ? 'there is nothing to return to' : `back to ${shortName(undoTo)}`}`,
    ...changes.length === 0 ? ['No difference between the two.'] : changes.map(changeLine),
    ...warnings.map((warning) => `Warning: ${warning}`)
  ]
  return lines.map((line) => `${printable(line)}\n`).join('')
}

function changeLine ({ container, kind, name, change, from, to }: Change): string {
  const place = container === null ? 'task' : container
  const values = change === 'changed' ? [from, to] : [change === 'added' ? to : from]
  const shown = values.every((value) => value === null) ? '' : `: ${values.map((value) => value ?? '***').join(' → ')}`
  return `  ${SIGNS[change]} ${place}: ${KINDS[kind]}${name}${shown}`
}
