import { UNKNOWN } from '../documents/field.ts'
import type { Field } from '../documents/field.ts'
import type { Context } from './context.ts'

export function checkContainer (context: Context): void {
  const { container } = context
  if (container.at('essential').flag === false) {
    context.add('FST_BRK_ECS_ESSENTIAL', container.at('essential'), 'When the service exits, the task goes on without it and still counts as running.', '"essential": true')
  }
  for (const dependency of container.at('dependsOn').items) checkDependency(context, dependency)
  checkImage(context)
  checkRights(context)
}

function checkDependency (context: Context, dependency: Field): void {
  const name = dependency.at('containerName')
  const other = context.neighbours.find((neighbour) => neighbour.at('name').text === name.text)
  if (name.unknown || name.text === null || !context.whole) return
  if (other === undefined) {
    const itself = name.text === context.name
    context.add('FST_BRK_ECS_DEPENDS_ON', name, itself ? 'The container waits for itself.' : `The container waits for ${name.text}, which the task does not have.`, 'The name of another container of the task, or no dependsOn')
  } else if (dependency.at('condition').text === 'HEALTHY' && other.at('healthCheck').absent) {
    context.add('FST_BRK_ECS_DEPENDS_ON', dependency.at('condition'), `The container waits until ${name.text} is healthy, but that one has no health check.`, '"condition": "START", or a healthCheck there')
  }
}

function checkImage (context: Context): void {
  const field = context.container.at('image')
  const image = field.pattern ?? ''
  const last = image.split('/').at(-1)!
  const tagged = /[:@]/.test(last)
  if (image === '' || image.endsWith(UNKNOWN) || field.value === UNKNOWN || (tagged && !/:latest$/.test(last))) return
  context.add('FST_BRK_ECS_IMAGE_TAG', field, `The image ${tagged ? 'has the tag latest' : 'has no tag, which means latest'}: tasks of one revision run different code, and a rollback changes nothing.`, 'The tag of the build, or @sha256:…')
}

function checkRights (context: Context): void {
  const { container } = context
  if (/^(root|0)(:|$)/.test(container.at('user').text ?? '')) {
    context.add('FST_BRK_ECS_ROOT_USER', container.at('user'), 'The service runs as root; the image has a user of its own.', '"user": "10001:10001", or none')
  }
  if (container.at('privileged').flag === true) {
    context.add('FST_BRK_ECS_PRIVILEGED', container.at('privileged'), 'The container has every right on its machine; the service needs none. Fargate refuses it.', '"privileged": false')
  }
  const root = container.at('readonlyRootFilesystem')
  if (root.flag !== true && !root.unknown) {
    context.add('FST_BRK_ECS_READ_ONLY_ROOT', root, 'The root file system can be written. With PostgreSQL the service writes nothing.', '"readonlyRootFilesystem": true')
  }
}
