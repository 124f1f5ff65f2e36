import { variableNames } from '../../config/schema.ts'
import { isMap } from './field.ts'
import type { Field } from './field.ts'

export interface TaskDefinition {
  field: Field
  /** `containers`: only a list of them, as Terraform's `container_definitions`; what belongs to the task is not in the file. */
  form: 'plain' | 'template' | 'containers'
  containers: Field[]
}

/** Names so common that other programs read them too. */
const COMMON = new Set(['PORT', 'HOST', 'LOG_LEVEL', 'METRICS'])
const OWN: ReadonlySet<string> = new Set(variableNames.filter((name) => !COMMON.has(name) && !name.startsWith('OTEL_')))

/** Every task definition of a file: input of `register-task-definition`, output of `describe-task-definition`, or a template. */
export function readTaskDefinitions (document: Field): TaskDefinition[] {
  if (Array.isArray(document.value)) return looksLikeContainers(document) ? [{ field: document, form: 'containers', containers: document.items }] : []
  const described = document.at('taskDefinition')
  for (const field of [described, document]) {
    const containers = field.at('containerDefinitions')
    if (!containers.absent) return [{ field, form: 'plain', containers: containers.items.filter(({ value }) => isMap(value)) }]
  }
  return resourcesOf(document, 'AWS::ECS::TaskDefinition').map((field) => ({
    field, form: 'template', containers: field.at('ContainerDefinitions').items.filter(({ value }) => isMap(value))
  }))
}

/** Properties of all resources of one type in a template. */
export function resourcesOf (document: Field, type: string): Field[] {
  return document.at('Resources').entries.filter(([, resource]) => resource.at('Type').text === type).map(([, resource]) => resource.at('Properties'))
}

function looksLikeContainers (document: Field): boolean {
  return document.items.length > 0 && document.items.every((item) => !item.at('name').absent && !item.at('image').absent)
}

/**
 * The containers of a task that run the service: the one that is named, else those that have variables of ours or an image of our name, else the
 * only one of a plain file.
 */
export function serviceContainers (task: TaskDefinition, wanted: string | null, onlyTask: boolean): Field[] {
  const { containers, form } = task
  if (wanted !== null) return containers.filter((container) => container.at('name').text === wanted)
  const own = containers.filter((container) => score(container) > 0)
  // A sidecar may be told where Redis is, too: whoever is told most, and everybody with the same image, is the service.
  const most = Math.max(0, ...own.map(score))
  const first = own.find((container) => score(container) === most)
  if (first !== undefined) return own.filter((container) => container === first || sameImage(container, first))
  const [only] = containers
  return containers.length === 1 && onlyTask && form !== 'template' ? [only!] : []
}

function score (container: Field): number {
  const names = [...container.at('environment').items, ...container.at('secrets').items].map((entry) => entry.at('name').text ?? '')
  const image = /\bbreakwater\b/i.test(container.at('image').pattern ?? '') ? 3 : 0
  return image + names.filter((name) => OWN.has(name)).length
}

function sameImage (one: Field, other: Field): boolean {
  const image = one.at('image').text
  return image !== null && image === other.at('image').text
}
