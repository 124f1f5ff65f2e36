import type { Code } from '../codes.ts'
import { resourcesOf } from '../documents/task-definitions.ts'
import { isMap } from '../documents/field.ts'
import type { Field } from '../documents/field.ts'
import { expected } from '../expected-numbers.ts'
import type { Findings } from '../findings.ts'
import type { Context } from '../rules/context.ts'

/** A minute and more is too long for a service whose answers take less than a second. */
const LONG_DEREGISTRATION_SECONDS = 120

/** Target groups of `describe-target-groups`, of `create-target-group` input, or of a template. */
export function readTargetGroups (document: Field): Field[] {
  const listed = document.at('TargetGroups').items.filter(({ value }) => isMap(value))
  if (listed.length > 0) return listed
  if (!document.at('Resources').absent) return resourcesOf(document, 'AWS::ElasticLoadBalancingV2::TargetGroup')
  return document.at('HealthCheckPath').absent && document.at('TargetType').absent ? [] : [document]
}

/** Those of a template that a service uses; all of them where it does not say. */
export function targetGroupsOf (services: readonly Field[], groups: readonly Field[]): readonly Field[] {
  const used = new Set(services.flatMap((service) => service.at('loadBalancers').items.map((balancer) => balancer.at('targetGroupArn').reference)))
  used.delete(null)
  return used.size === 0 ? groups : groups.filter(({ path }) => used.has(String(path[1])))
}

export function checkTargetGroup (findings: Findings, group: Field, context: Context | null): void {
  const add = (code: Code, field: Field, explanation: string, corrected: string) => findings.add(code, field, { explanation, corrected })
  const path = group.at('HealthCheckPath')
  if (!path.unknown && path.text !== expected.targetPath) {
    add('FST_BRK_ECS_TARGET_PATH', path, `The target group asks ${path.text ?? '/, its default'}: ${meaningOf(path.text)}`, `"HealthCheckPath": "${expected.targetPath}"`)
  }
  const code = group.at('Matcher', 'HttpCode')
  if (code.text !== null && code.text !== expected.matcher) {
    add('FST_BRK_ECS_TARGET_MATCHER', code, `The matcher is ${code.text}: a service that answers with an error or a redirection counts as healthy, and the service itself says 200 or 503.`, `"Matcher": { "HttpCode": "${expected.matcher}" }`)
  }
  const [interval, timeout] = [group.at('HealthCheckIntervalSeconds'), group.at('HealthCheckTimeoutSeconds')]
  if ((timeout.number ?? 5) >= (interval.number ?? 30) && !timeout.unknown && !interval.unknown) {
    add('FST_BRK_ECS_TARGET_TIMEOUT', timeout, `A check may take ${timeout.number ?? 5} s, and one begins every ${interval.number ?? 30} s.`, `"HealthCheckIntervalSeconds": ${expected.intervalSeconds}, "HealthCheckTimeoutSeconds": ${expected.timeoutSeconds}`)
  }
  checkProtocol(group, context, add)
  if (group.at('TargetType').text !== 'ip' && !group.at('TargetType').unknown && (context?.networkMode === 'awsvpc' || context?.fargate === true)) {
    add('FST_BRK_ECS_TARGET_TYPE', group.at('TargetType'), `The target type is ${group.at('TargetType').text ?? 'instance, the default'}; tasks with awsvpc have an address of their own.`, '"TargetType": "ip"')
  }
  checkDeregistration(group, add)
}

function meaningOf (path: string | null): string {
  if (path === '/health/live') return 'it stays 200 while the task drains, so requests go on arriving until the last moment.'
  if (path === '/health/ready' || path === '/health') return 'it also says 503 for reasons that sending the request elsewhere does not cure.'
  return 'the service answers 404 or demands a key, so no task ever becomes healthy.'
}

type Add = (code: Code, field: Field, explanation: string, corrected: string) => void

function checkProtocol (group: Field, context: Context | null, add: Add): void {
  const field = group.at('HealthCheckProtocol').absent ? group.at('Protocol') : group.at('HealthCheckProtocol')
  if (field.text !== null && field.text !== 'HTTP') {
    add('FST_BRK_ECS_TARGET_PROTOCOL', field, `The check speaks ${field.text}; the service speaks HTTP.`, '"Protocol": "HTTP"')
  }
  const port = group.at('HealthCheckPort')
  if (port.number !== null && context !== null && context.isCertain('PORT') && port.number !== context.loaded.config.process.port) {
    add('FST_BRK_ECS_TARGET_PROTOCOL', port, `The check asks port ${port.number}; the service listens on ${context.loaded.config.process.port}.`, '"HealthCheckPort": "traffic-port"')
  }
}

function checkDeregistration (group: Field, add: Add): void {
  const attributes = group.at('TargetGroupAttributes')
  // describe-target-groups does not list them.
  if (attributes.absent) return
  const delay = attributes.items.find((attribute) => attribute.at('Key').text === 'deregistration_delay.timeout_seconds')?.at('Value')
  if ((delay?.number ?? 300) < LONG_DEREGISTRATION_SECONDS || delay?.unknown === true) return
  add('FST_BRK_ECS_DEREGISTRATION', delay ?? attributes, `The deregistration delay is ${delay?.number ?? 300} s.`, `{ "Key": "deregistration_delay.timeout_seconds", "Value": "${expected.deregistrationSeconds}" }`)
}
