import { resourcesOf } from '../documents/task-definitions.ts'
import type { TaskDefinition } from '../documents/task-definitions.ts'
import { isMap } from '../documents/field.ts'
import type { Field } from '../documents/field.ts'
import { expected } from '../expected-numbers.ts'
import type { Findings } from '../findings.ts'
import type { Context } from '../rules/context.ts'

/** Services of `describe-services`, of `create-service` input, or of a template. */
export function readServices (document: Field): Field[] {
  const listed = document.at('services').items.filter(({ value }) => isMap(value))
  if (listed.length > 0) return listed
  if (!document.at('Resources').absent) return resourcesOf(document, 'AWS::ECS::Service')
  return ['serviceName', 'loadBalancers', 'deploymentConfiguration'].some((name) => !document.at(name).absent) ? [document] : []
}

/** Whether a service runs this task definition, as far as the files tell. */
export function runs (service: Field, { field }: TaskDefinition): boolean {
  const { reference } = service.at('taskDefinition')
  if (reference !== null && field.path[0] === 'Resources' && field.document === service.document) return reference === field.path[1]
  const [, family] = /(?:^|\/)([\w-]+)(?::\d+)?$/.exec(service.at('taskDefinition').text ?? '') ?? []
  const own = field.at('family').text
  return family === undefined || own === null || family === own
}

/** `context`: null where no task definition is known. */
export function checkService (findings: Findings, service: Field, contexts: readonly Context[]): void {
  const add = (code: Parameters<Findings['add']>[0], field: Field, explanation: string, corrected: string) => findings.add(code, field, { explanation, corrected })
  const balancers = service.at('loadBalancers')
  const grace = service.at('healthCheckGracePeriodSeconds')
  if (balancers.items.length > 0 && !grace.unknown && (grace.number ?? 0) === 0) {
    add('FST_BRK_ECS_GRACE_PERIOD', grace, `The grace period is ${grace.absent ? 'not set, which means 0' : '0'}: the load balancer's checks count while the task still starts, and after a few such tasks the deployment is rolled back.`, `"healthCheckGracePeriodSeconds": ${expected.gracePeriodSeconds}`)
  }
  checkDeployment(service, add)
  for (const balancer of balancers.items) checkBalancer(balancer, contexts, add)
}

type Add = (code: Parameters<Findings['add']>[0], field: Field, explanation: string, corrected: string) => void

function checkDeployment (service: Field, add: Add): void {
  const configuration = service.at('deploymentConfiguration')
  const controller = service.at('deploymentController', 'type').text ?? 'ECS'
  if (controller !== 'ECS' || configuration.unknown) return
  const guarded = ['deploymentCircuitBreaker', 'alarms'].some((name) => {
    const guard = configuration.at(name)
    return guard.unknown || (guard.at('enable').flag !== false && !guard.absent && guard.at('rollback').flag !== false)
  })
  if (!guarded) {
    add('FST_BRK_ECS_CIRCUIT_BREAKER', configuration.at('deploymentCircuitBreaker'), 'A deployment whose tasks never become healthy goes on for ever.', '"deploymentCircuitBreaker": { "enable": true, "rollback": true }')
  }
  const percent = configuration.at('minimumHealthyPercent')
  if (percent.number === 0 && service.at('desiredCount').number !== 0 && service.at('schedulingStrategy').text !== 'DAEMON') {
    add('FST_BRK_ECS_HEALTHY_PERCENT', percent, 'minimumHealthyPercent is 0: a deployment stops all tasks before it starts new ones.', '"minimumHealthyPercent": 100, "maximumPercent": 200')
  }
}

function checkBalancer (balancer: Field, contexts: readonly Context[], add: Add): void {
  const [name, port] = [balancer.at('containerName'), balancer.at('containerPort')]
  if (contexts.length === 0 || name.text === null) return
  const { task } = contexts[0]!
  const container = task.containers.find((each) => each.at('name').text === name.text)
  if (container === undefined) {
    if (task.containers.every((each) => each.at('name').text !== null)) {
      add('FST_BRK_ECS_LOAD_BALANCER_PORT', name, `The load balancer is sent to the container ${name.text}, which the task does not have.`, `"containerName": "${contexts[0]!.name}"`)
    }
    return
  }
  const mapped = container.at('portMappings').items.map((mapping) => mapping.at('containerPort'))
  if (port.number === null || mapped.some((each) => each.number === null) || mapped.some((each) => each.number === port.number)) return
  add('FST_BRK_ECS_LOAD_BALANCER_PORT', port, `The load balancer is sent to port ${port.number} of ${name.text}, which maps ${mapped.map(({ text }) => text).join(', ') || 'none'}.`, `"containerPort": ${mapped[0]?.number ?? contexts[0]!.loaded.config.process.port}`)
}
