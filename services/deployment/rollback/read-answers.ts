import type { ContainerDefinition, Deployment, Service, TaskDefinition } from '@aws-sdk/client-ecs'
import type { ContainerState, DeploymentState, ServiceState, TaskDefinitionState } from './state.ts'

const SHOWN_BY_THEMSELVES = ['name', 'image', 'cpu', 'memory', 'environment', 'secrets']
/** What belongs to the registration, not to the tasks. */
const OF_THE_REGISTRATION = [
  'taskDefinitionArn', 'family', 'revision', 'status', 'registeredAt', 'registeredBy', 'deregisteredAt', 'requiresAttributes',
  'compatibilities', 'containerDefinitions', 'cpu', 'memory'
]

export function readService (service: Service): ServiceState {
  return {
    name: service.serviceName ?? '',
    controller: service.deploymentController?.type ?? 'ECS',
    desired: service.desiredCount ?? 0,
    deployments: (service.deployments ?? []).map(readDeployment),
    events: (service.events ?? []).map(({ id = '', message = '' }) => ({ id, message }))
  }
}

function readDeployment (deployment: Deployment): DeploymentState {
  const { desiredCount = 0, runningCount = 0, pendingCount = 0, failedTasks = 0 } = deployment
  return {
    id: deployment.id ?? '',
    primary: deployment.status === 'PRIMARY',
    taskDefinition: deployment.taskDefinition ?? '',
    state: deployment.rolloutState ?? 'IN_PROGRESS',
    reason: deployment.rolloutStateReason ?? '',
    desired: desiredCount,
    running: runningCount,
    pending: pendingCount,
    failed: failedTasks
  }
}

export function readTaskDefinition (definition: TaskDefinition): TaskDefinitionState {
  return {
    arn: definition.taskDefinitionArn ?? '',
    family: definition.family ?? '',
    status: definition.status ?? '',
    cpu: definition.cpu ?? null,
    memory: definition.memory ?? null,
    containers: (definition.containerDefinitions ?? []).map(readContainer),
    other: others(definition, OF_THE_REGISTRATION)
  }
}

function readContainer (container: ContainerDefinition): ContainerState {
  return {
    name: container.name ?? '',
    image: container.image ?? '',
    // ECS answers 0 where nothing was set.
    cpu: container.cpu || null,
    memory: container.memory ?? container.memoryReservation ?? null,
    environment: new Map((container.environment ?? []).map(({ name = '', value = '' }) => [name, value])),
    secrets: new Map((container.secrets ?? []).map(({ name = '', valueFrom = '' }) => [name, valueFrom])),
    other: others(container, SHOWN_BY_THEMSELVES)
  }
}

function others (definition: object, known: string[]): Map<string, string> {
  const rest = Object.entries(definition).filter(([name, value]) => !known.includes(name) && value !== undefined && !isEmpty(value))
  return new Map(rest.map(([name, value]) => [name, JSON.stringify(value)]))
}

/** ECS fills in empty lists where the registration said nothing. */
function isEmpty (value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}
