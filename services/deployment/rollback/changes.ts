import { maskUrl } from '../../config/masking.ts'
import { about, variableNames } from '../../config/schema.ts'
import type { VariableName } from '../../config/schema.ts'
import type { ContainerState, TaskDefinitionState } from './state.ts'

/** One difference between two task definitions. Null: not there, or not to be shown. */
export interface Change {
  container: string | null
  kind: 'image' | 'size' | 'environment' | 'secret' | 'container' | 'other'
  name: string
  change: 'added' | 'removed' | 'changed'
  from: string | null
  to: string | null
}

const MASK = '***'
const LONGEST_SHOWN = 120

/** What a deployment of `to` changes for tasks that run `from`. No value of a secret is in it. */
export function changesBetween (from: TaskDefinitionState, to: TaskDefinitionState): Change[] {
  const containers = [...new Set([...from.containers, ...to.containers].map(({ name }) => name))]
  return [
    ...differences(sizes(from), sizes(to), null, 'size', shown),
    ...containers.flatMap((name) => containerChanges(name, byName(from, name), byName(to, name))),
    ...differences(from.other, to.other, null, 'other', hidden)
  ]
}

function containerChanges (name: string, from: ContainerState | undefined, to: ContainerState | undefined): Change[] {
  if (from === undefined || to === undefined) {
    const change = from === undefined ? 'added' : 'removed'
    return [{ container: name, kind: 'container', name, change, from: from?.image ?? null, to: to?.image ?? null }]
  }
  return [
    ...differences(new Map([['image', from.image]]), new Map([['image', to.image]]), name, 'image', shown),
    ...differences(sizes(from), sizes(to), name, 'size', shown),
    ...differences(from.environment, to.environment, name, 'environment', shownVariable),
    ...differences(from.secrets, to.secrets, name, 'secret', shownSource),
    ...differences(from.other, to.other, name, 'other', hidden)
  ]
}

type Show = (value: string, name: string) => string | null

function differences (from: Map<string, string>, to: Map<string, string>, container: string | null, kind: Change['kind'], show: Show): Change[] {
  const names = [...new Set([...from.keys(), ...to.keys()])].filter((name) => from.get(name) !== to.get(name)).sort()
  return names.map((name) => {
    const [before, after] = [from.get(name), to.get(name)]
    const change = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed'
    return { container, kind, name, change, from: before === undefined ? null : show(before, name), to: after === undefined ? null : show(after, name) }
  })
}

function sizes ({ cpu, memory }: { cpu: string | number | null, memory: string | number | null }): Map<string, string> {
  return new Map(Object.entries({ cpu, memory }).filter(([, size]) => size !== null).map(([name, size]) => [name, String(size)]))
}

function byName ({ containers }: TaskDefinitionState, wanted: string): ContainerState | undefined {
  return containers.find(({ name }) => name === wanted)
}

function shown (value: string): string {
  return value.length > LONGEST_SHOWN ? `${value.slice(0, LONGEST_SHOWN)}…` : value
}

function hidden (): null {
  return null
}

/** Of a variable that is not ours nobody knows whether its value is a secret; of ours the schema knows. */
function shownVariable (value: string, name: string): string {
  const known = (variableNames as string[]).includes(name) && about(name as VariableName).secret !== true
  if (!known) return MASK
  return /@|:\/\//.test(value) ? maskUrl(value) : shown(value)
}

/** Where a secret comes from is none, unless somebody wrote the secret itself there. */
function shownSource (valueFrom: string): string {
  const isArn = /^arn:[\w-]+:(secretsmanager|ssm):[\w-]*:\d*:/.test(valueFrom)
  return isArn ? shown(shortSource(valueFrom)) : MASK
}

function shortSource (arn: string): string {
  return arn.split(':').slice(5).join(':')
}
