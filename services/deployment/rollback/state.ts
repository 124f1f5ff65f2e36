/** What ECS tells of a service, without what a rollback has no use for. */
export interface ServiceState {
  name: string
  controller: string
  desired: number
  /** Newest first; the first one is what ECS is bringing about. */
  deployments: DeploymentState[]
  /** Newest first. */
  events: { id: string, message: string }[]
}

export interface DeploymentState {
  id: string
  primary: boolean
  /** ARN of the task definition. */
  taskDefinition: string
  state: 'IN_PROGRESS' | 'COMPLETED' | 'FAILED'
  reason: string
  desired: number
  running: number
  pending: number
  failed: number
}

/** A deployment of the past. ECS keeps 90 days of them. */
export interface PastDeployment {
  /** ARN of the task definition it brought, or null where ECS has forgotten it. */
  taskDefinition: string | null
  status: string
}

export interface ContainerState {
  name: string
  image: string
  /** CPU units, MiB; null: not set for the container. */
  cpu: number | null
  memory: number | null
  environment: Map<string, string>
  /** Name → where the value comes from. */
  secrets: Map<string, string>
  /** Everything else, by its name in ECS, as JSON. */
  other: Map<string, string>
}

export interface TaskDefinitionState {
  arn: string
  family: string
  status: string
  cpu: string | null
  memory: string | null
  containers: ContainerState[]
  other: Map<string, string>
}

/** The part of the ECS API that a rollback uses, for one service. */
export interface Ecs {
  service (): Promise<ServiceState>
  /** Null: there is no such task definition. */
  taskDefinition (reference: string): Promise<TaskDefinitionState | null>
  /** Names (`family:41`) of the newest revisions that can be deployed. */
  activeRevisions (family: string): Promise<string[]>
  /** Newest first; at most the last hundred. */
  history (): Promise<PastDeployment[]>
  update (taskDefinition: string, force: boolean): Promise<ServiceState>
}

export function primaryOf (service: ServiceState): DeploymentState | undefined {
  return service.deployments.find(({ primary }) => primary)
}

/** `family:41` for an ARN, which is too long for people. */
export function shortName (arn: string): string {
  return arn.slice(arn.lastIndexOf('/') + 1)
}
