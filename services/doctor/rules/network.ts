import type { Field } from '../documents/field.ts'
import type { Context } from './context.ts'

export function checkNetwork (context: Context): void {
  const { task, fargate, networkMode, whole } = context
  const mode = task.field.at('networkMode')
  if (whole && fargate === true && !mode.unknown && networkMode !== 'awsvpc') {
    context.add('FST_BRK_ECS_NETWORK_MODE', mode, `Fargate takes the network mode awsvpc only; this is ${networkMode ?? 'not set, which means bridge'}.`, '"networkMode": "awsvpc"')
  }
  checkPorts(context)
}

function checkPorts (context: Context): void {
  const { container, loaded, fargate, networkMode, neighbours } = context
  const field = container.at('portMappings')
  const mappings = field.items
  const { port } = loaded.config.process
  if (fargate === true || networkMode === 'awsvpc' || networkMode === 'host') mappings.forEach((mapping) => checkHostPort(context, mapping))
  if (!context.isCertain('PORT') || field.unknown || mappings.some(isOpen) || mappings.some((mapping) => covers(mapping, port))) return
  // A worker listens to nobody, and a proxy in front of the service has the mapping instead.
  if (mappings.length === 0 && (isWorker(container) || neighbours.some((other) => other.at('portMappings').items.length > 0))) return
  const found = mappings.map((mapping) => mapping.at('containerPort').text).join(', ')
  const stated = context.variable('PORT') === null ? `${port}, the image's default` : `${port} (PORT)`
  context.add('FST_BRK_ECS_PORT_MAPPING', field, `The service listens on ${stated}, but ${found === '' ? 'no port is mapped' : `the container maps ${found}`}: no load balancer reaches it.`,
    `"portMappings": [{ "containerPort": ${port}, "protocol": "tcp" }]${found === '' ? '' : `, or PORT=${found.split(', ')[0]}`}`)
}

function checkHostPort (context: Context, mapping: Field): void {
  const [host, container] = [mapping.at('hostPort').number, mapping.at('containerPort').number]
  if (host === null || container === null || host === container || host === 0) return
  context.add('FST_BRK_ECS_HOST_PORT', mapping.at('hostPort'), `hostPort is ${host}, containerPort ${container}. A task with an address of its own has no second port.`, `"hostPort": ${container}, or none`)
}

function isOpen (mapping: Field): boolean {
  return mapping.unknown || mapping.at('containerPort').unknown || mapping.at('containerPortRange').unknown
}

function covers (mapping: Field, port: number): boolean {
  const [, from, to] = /^(\d+)-(\d+)$/.exec(mapping.at('containerPortRange').text ?? '') ?? []
  return mapping.at('containerPort').number === port || (from !== undefined && Number(from) <= port && port <= Number(to))
}

function isWorker (container: Field): boolean {
  const words = ['entryPoint', 'command'].flatMap((name) => container.at(name).items).map((item) => item.pattern ?? '')
  return /consume|worker|queue|relay/.test(words.join(' '))
}
