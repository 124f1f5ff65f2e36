import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Teardown } from './redis-server.ts'

/** How a deployment of a revision goes: so many looks until it ends, and how. */
export interface Course {
  looks?: number
  /** `returned`: the circuit breaker brings the last completed revision back. `failed`: ECS gives up and leaves it so. Default `completed`. */
  end?: 'completed' | 'never' | 'failed' | 'returned'
  /** What GET /health answers while the revision runs. Default 200 `healthy`. */
  health?: { code: number, status: string }
}

/** Answers one call of an action with an error, or with none at all. */
export interface Fault {
  action: string
  /** Calls of the action that are let through before. Default 0. */
  after?: number
  times: number
  /** `silent`: no answer. `cut`: the work is done, and the connection breaks before the answer. */
  type: string | 'silent' | 'cut'
  status?: number
  message?: string
}

interface Deployment {
  id: string,
  status: 'PRIMARY' | 'ACTIVE' | 'INACTIVE',
  taskDefinition: string,
  rolloutState: string,
  rolloutStateReason: string
  desiredCount: number,
  runningCount: number,
  pendingCount: number,
  failedTasks: number,
  createdAt: number,
  looks: number
}

type Input = Record<string, any>

const ACCOUNT = 'arn:aws:ecs:eu-central-1:123456789012'
const PREFIX = 'AmazonEC2ContainerServiceV20141113.'
const json = (document: object) => JSON.stringify(document, (name, value) => name === 'looks' ? undefined : value)

export async function startEcsStub (t: Teardown): Promise<EcsStub> {
  const stub = new EcsStub()
  await stub.listen()
  t.teardown(() => stub.close())
  return stub
}

/**
 * One service in one cluster, behind the wire protocol of ECS (JSON 1.1). Time passes by looking: each DescribeServices brings the
 * newest deployment one step on. The service's own health is at `/health`.
 */
export class EcsStub {
  readonly cluster = 'production'
  readonly service = 'breakwater'
  readonly calls: { action: string, input: Input }[] = []
  readonly courses = new Map<number, Course>()
  readonly faults: Fault[] = []
  desired = 2
  controller = 'ECS'
  status = 'ACTIVE'
  /** DescribeServices shows what was before an update for so many looks: ECS is eventually consistent. */
  lagLooks = 0
  /** Runs before the answer to each call. */
  onCall: (action: string) => void = () => {}
  readonly #definitions = new Map<string, Input>()
  readonly #past: { taskDefinition: string, status: string }[] = []
  #deployments: Deployment[] = []
  #stale: { deployments: Deployment[], looks: number } | null = null
  #events: { id: string, message: string }[] = []
  #clock = 1_700_000_000
  readonly #server: Server = createServer((request, response) => { void this.#serve(request, response) })

  get url (): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` }

  get healthUrl (): string { return `${this.url}/health` }

  /** Of the revision that runs, whatever is on its way. */
  get running (): number { return revisionOf((this.#deployments.find(({ rolloutState }) => rolloutState === 'COMPLETED') ?? this.#deployments[0])!.taskDefinition) }

  /** What ECS was told last. */
  get wanted (): number { return revisionOf(this.#deployments[0]!.taskDefinition) }

  get updates (): number[] { return this.calls.filter(({ action }) => action === 'UpdateService').map(({ input }) => revisionOf(input.taskDefinition)) }

  arn (revision: number, family = 'breakwater'): string { return `${ACCOUNT}:task-definition/${family}:${revision}` }

  async listen (): Promise<void> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
  }

  close (): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }

  register (revision: number, definition: Input = {}): void {
    const { family = 'breakwater', containers = [{}], status = 'ACTIVE', ...rest } = definition
    this.#definitions.set(this.arn(revision, family), {
      taskDefinitionArn: this.arn(revision, family),
      family,
      revision,
      status,
      cpu: '256',
      memory: '512',
      ...rest,
      containerDefinitions: containers.map((container: Input) => ({ name: 'api', image: `registry/breakwater:${revision}`, cpu: 0, environment: [], ...container }))
    })
  }

  deregister (revision: number): void { this.#definitions.get(this.arn(revision))!.status = 'INACTIVE' }

  /** Makes the past: deployments that completed, oldest first. */
  deployed (...revisions: number[]): void {
    for (const revision of revisions) {
      this.begin(revision)
      this.#complete(this.#deployments[0]!)
    }
  }

  /** Somebody deploys. */
  begin (revision: number): void {
    for (const deployment of this.#deployments) {
      deployment.status = 'ACTIVE'
      this.#end(deployment, 'STOPPED')
    }
    this.#add(this.arn(revision), '')
    this.#past.unshift({ taskDefinition: this.arn(revision), status: 'IN_PROGRESS' })
  }

  /** ECS remembers nothing of the past. */
  forget (): void { this.#past.length = 0 }

  #add (taskDefinition: string, rolloutStateReason: string): void {
    this.#deployments.unshift({
      id: `ecs-svc/${++this.#clock}`,
      status: 'PRIMARY',
      taskDefinition,
      rolloutState: 'IN_PROGRESS',
      rolloutStateReason,
      desiredCount: this.desired,
      runningCount: 0,
      pendingCount: this.desired,
      failedTasks: 0,
      createdAt: this.#clock,
      looks: 0
    })
  }

  #end ({ taskDefinition }: Deployment, status: string): void {
    const entry = this.#past.find((past) => past.taskDefinition === taskDefinition)
    if (entry?.status === 'IN_PROGRESS') entry.status = status
  }

  #complete (deployment: Deployment): void {
    Object.assign(deployment, { rolloutState: 'COMPLETED', runningCount: this.desired, pendingCount: 0 })
    this.#end(deployment, 'SUCCESSFUL')
    this.#deployments = [deployment]
  }

  #step (): void {
    const [primary] = this.#deployments
    if (primary?.rolloutState !== 'IN_PROGRESS') return
    const { looks = 2, end = 'completed' } = this.courses.get(revisionOf(primary.taskDefinition)) ?? {}
    if (end !== 'completed') primary.failedTasks++
    if (++primary.looks < looks || end === 'never') return
    if (end === 'completed' || primary.rolloutStateReason !== '') this.#complete(primary)
    else this.#fail(primary, end === 'returned')
  }

  #fail (primary: Deployment, returns: boolean): void {
    Object.assign(primary, { rolloutState: 'FAILED', rolloutStateReason: 'ECS deployment circuit breaker: tasks failed to start.' })
    this.#events.unshift({ id: primary.id, message: `(service ${this.service}) deployment ${primary.id} deployment failed: tasks failed to start.` })
    this.#end(primary, returns ? 'ROLLBACK_SUCCESSFUL' : 'STOPPED')
    if (!returns) return
    primary.status = 'ACTIVE'
    const last = this.#deployments.find(({ rolloutState }) => rolloutState === 'COMPLETED')!
    this.#add(last.taskDefinition, `ECS deployment circuit breaker: rolling back to deploymentId ${last.id}.`)
  }

  async #serve (request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.url === '/health') return this.#health(response)
    let body = ''
    for await (const chunk of request) body += chunk
    const action = String(request.headers['x-amz-target']).replace(PREFIX, '')
    const input = JSON.parse(body) as Input
    this.calls.push({ action, input })
    this.onCall(action)
    const fault = this.#fault(action)
    if (fault?.type === 'silent') return
    if (fault !== null && fault.type !== 'cut') return refuse(response, fault.status ?? 400, fault.type, fault.message ?? 'planned')
    try {
      const answer = this.#answer(action, input)
      if (fault === null) response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end(json(answer))
      else request.socket.destroy()
    } catch (err) {
      refuse(response, 400, (err as Error).name, (err as Error).message)
    }
  }

  #fault (action: string): Fault | null {
    const fault = this.faults.find((one) => one.action === action && one.times > 0)
    if (fault === undefined || (fault.after ?? 0) > 0) {
      if (fault?.after !== undefined) fault.after--
      return null
    }
    fault.times--
    return fault
  }

  #health (response: ServerResponse): void {
    const { code, status } = this.courses.get(this.running)?.health ?? { code: 200, status: 'healthy' }
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify({ status }))
  }

  #answer (action: string, input: Input): object {
    if (input.cluster !== undefined && input.cluster !== this.cluster) throw named('ClusterNotFoundException', 'Cluster not found.')
    switch (action) {
      case 'DescribeServices': return this.#describe(input)
      case 'DescribeTaskDefinition': return { taskDefinition: this.#find(input.taskDefinition) ?? fail('ClientException', 'Unable to describe task definition.') }
      case 'ListTaskDefinitions': return { taskDefinitionArns: this.#active(input.familyPrefix) }
      case 'ListServiceDeployments': return { serviceDeployments: this.#history() }
      case 'DescribeServiceRevisions': return { serviceRevisions: input.serviceRevisionArns.map((arn: string) => ({ serviceRevisionArn: arn, taskDefinition: this.arn(Number(arn.split('/').at(-1))) })) }
      case 'UpdateService': return this.#update(input)
      default: throw named('UnknownOperationException', action)
    }
  }

  #describe ({ services: [name] }: Input): object {
    if (name !== this.service) return { services: [], failures: [{ arn: name, reason: 'MISSING' }] }
    if (this.#stale !== null && this.#stale.looks-- > 0) return { services: [this.#snapshot(this.#stale.deployments)], failures: [] }
    this.#step()
    return { services: [this.#snapshot(this.#deployments)], failures: [] }
  }

  #snapshot (deployments: Deployment[]): object {
    return {
      serviceName: this.service,
      status: this.status,
      desiredCount: this.desired,
      deployments,
      events: this.#events,
      deploymentController: { type: this.controller }
    }
  }

  #update ({ service, taskDefinition, forceNewDeployment }: Input): object {
    if (service !== this.service) throw named('ServiceNotFoundException', 'Service not found.')
    const found = this.#find(taskDefinition)
    if (found === undefined) throw named('ClientException', 'Unable to find task definition.')
    if (found.status !== 'ACTIVE') throw named('ClientException', 'TaskDefinition is inactive')
    // Without forceNewDeployment, the same task definition again begins nothing.
    if (this.#deployments[0]!.taskDefinition !== found.taskDefinitionArn || forceNewDeployment === true) {
      this.#stale = { deployments: structuredClone(this.#deployments), looks: this.lagLooks }
      this.begin(found.revision)
    }
    return { service: this.#snapshot(this.#deployments) }
  }

  #find (reference: string): Input | undefined {
    return this.#definitions.get(reference.startsWith('arn:') ? reference : `${ACCOUNT}:task-definition/${reference}`)
  }

  #active (family: string): string[] {
    return [...this.#definitions.values()].filter((one) => one.status === 'ACTIVE' && one.family === family).map(({ taskDefinitionArn }) => taskDefinitionArn).reverse()
  }

  #history (): object[] {
    const entries = this.#past.map(({ taskDefinition, status }, age) => ({
      status, createdAt: this.#clock - age, targetServiceRevisionArn: `${ACCOUNT}:service-revision/${this.cluster}/${this.service}/${revisionOf(taskDefinition)}`
    }))
    // The order is not documented.
    return entries.toReversed()
  }
}

function revisionOf (reference: string): number {
  return Number(reference.split(':').at(-1))
}

function refuse (response: ServerResponse, status: number, type: string, message: string): void {
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify({ __type: type, message }))
}

function named (name: string, message: string): Error {
  return Object.assign(new Error(message), { name })
}

function fail (name: string, message: string): never {
  throw named(name, message)
}
