import type { ECSClient } from '@aws-sdk/client-ecs'
import { loadPeer } from '../../peers/load-peer.ts'
import { ControllerUnsupported, RegionMissing, ServiceNotFound } from '../errors.ts'
import { translate } from './ecs-errors.ts'
import { readService, readTaskDefinition } from './read-answers.ts'
import type { Ecs, PastDeployment, ServiceState, TaskDefinitionState } from './state.ts'

export interface EcsOptions {
  cluster: string
  service: string
  /** Default: what AWS_REGION or the profile says. */
  region?: string | undefined
  /** Of one call with all its retries. Default 60 s. */
  callTimeoutMs?: number
}

type Sdk = typeof import('@aws-sdk/client-ecs')

const CALL_TIMEOUT_MS = 60_000
/** Throttling is what ECS answers to a busy account, for seconds at a time. */
const MAX_ATTEMPTS = 6
const HISTORY = 100
/** More ARNs than this are refused in one call. */
const REVISIONS_PER_CALL = 20

/** Loads the official SDK, which finds region, credentials and endpoint in its usual places. @throws FST_BRK_PEER_MISSING */
export async function openEcs ({ region, callTimeoutMs = CALL_TIMEOUT_MS, ...names }: EcsOptions): Promise<EcsService> {
  const sdk = await loadPeer('@aws-sdk/client-ecs', 'Command "rollback"', () => import('@aws-sdk/client-ecs'))
  const client = new sdk.ECSClient({
    ...region === undefined ? {} : { region },
    maxAttempts: MAX_ATTEMPTS,
    requestHandler: { connectionTimeout: 5000, requestTimeout: 15_000, throwOnRequestTimeout: true }
  })
  return new EcsService(sdk, client, names, callTimeoutMs)
}

/** One service of ECS. Each call has a deadline, which covers the retries of the SDK and its search for credentials too. */
export class EcsService implements Ecs {
  readonly #sdk: Sdk
  readonly #client: ECSClient
  readonly #names: { cluster: string, service: string }
  readonly #callTimeoutMs: number

  constructor (sdk: Sdk, client: ECSClient, names: { cluster: string, service: string }, callTimeoutMs: number) {
    this.#sdk = sdk
    this.#client = client
    this.#names = names
    this.#callTimeoutMs = callTimeoutMs
  }

  /** @throws FST_BRK_ECS_SERVICE_NOT_FOUND, FST_BRK_ECS_CONTROLLER */
  async service (): Promise<ServiceState> {
    const { cluster, service } = this.#names
    const command = new this.#sdk.DescribeServicesCommand({ cluster, services: [service] })
    const { services, failures } = await this.#call('DescribeServices', (options) => this.#client.send(command, options))
    const [found] = services ?? []
    if (found === undefined || found.status !== 'ACTIVE') throw new ServiceNotFound(service, cluster, found?.status ?? failures?.[0]?.reason ?? 'MISSING')
    const state = readService(found)
    if (state.controller !== 'ECS') throw new ControllerUnsupported(service, state.controller)
    return state
  }

  async taskDefinition (reference: string): Promise<TaskDefinitionState | null> {
    const command = new this.#sdk.DescribeTaskDefinitionCommand({ taskDefinition: reference })
    try {
      const { taskDefinition } = await this.#call('DescribeTaskDefinition', (options) => this.#client.send(command, options))
      return readTaskDefinition(taskDefinition!)
    } catch (err) {
      // ECS has no error of its own for it: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTaskDefinition.html
      if (/Unable to describe task definition/i.test((err as Error).message)) return null
      throw err
    }
  }

  async activeRevisions (family: string): Promise<string[]> {
    const command = new this.#sdk.ListTaskDefinitionsCommand({ familyPrefix: family, status: 'ACTIVE', sort: 'DESC', maxResults: 5 })
    const { taskDefinitionArns = [] } = await this.#call('ListTaskDefinitions', (options) => this.#client.send(command, options))
    return taskDefinitionArns.map((arn) => arn.slice(arn.lastIndexOf('/') + 1))
  }

  async history (): Promise<PastDeployment[]> {
    const command = new this.#sdk.ListServiceDeploymentsCommand({ ...this.#names, maxResults: HISTORY })
    const { serviceDeployments = [] } = await this.#call('ListServiceDeployments', (options) => this.#client.send(command, options))
    const newestFirst = serviceDeployments.toSorted((a, b) => Number(b.createdAt) - Number(a.createdAt))
    const taskDefinitions = await this.#revisions([...new Set(newestFirst.map(({ targetServiceRevisionArn }) => targetServiceRevisionArn!))])
    return newestFirst.map(({ status = '', targetServiceRevisionArn }) => ({ status, taskDefinition: taskDefinitions.get(targetServiceRevisionArn!) ?? null }))
  }

  /** Without `force` it has no effect where the service has this task definition already, so it may be repeated. */
  async update (taskDefinition: string, force: boolean): Promise<ServiceState> {
    const command = new this.#sdk.UpdateServiceCommand({ ...this.#names, taskDefinition, ...force ? { forceNewDeployment: true } : {} })
    const { service } = await this.#call('UpdateService', (options) => this.#client.send(command, options))
    return readService(service!)
  }

  close (): void {
    this.#client.destroy()
  }

  async #revisions (arns: string[]): Promise<Map<string, string>> {
    const found = new Map<string, string>()
    for (let first = 0; first < arns.length; first += REVISIONS_PER_CALL) {
      const command = new this.#sdk.DescribeServiceRevisionsCommand({ serviceRevisionArns: arns.slice(first, first + REVISIONS_PER_CALL) })
      const { serviceRevisions = [] } = await this.#call('DescribeServiceRevisions', (options) => this.#client.send(command, options))
      for (const { serviceRevisionArn, taskDefinition } of serviceRevisions) {
        if (serviceRevisionArn !== undefined && taskDefinition !== undefined) found.set(serviceRevisionArn, taskDefinition)
      }
    }
    return found
  }

  async #call<T> (action: string, send: (options: { abortSignal: AbortSignal }) => Promise<T>): Promise<T> {
    const expiry = Promise.withResolvers<never>()
    const abort = new AbortController()
    // The search for credentials does not look at the signal.
    const timer = setTimeout(() => {
      abort.abort()
      expiry.reject(Object.assign(new Error(`no answer within ${this.#callTimeoutMs} ms`), { name: 'TimeoutError' }))
    }, this.#callTimeoutMs)
    try {
      return await Promise.race([send({ abortSignal: abort.signal }), expiry.promise])
    } catch (err) {
      if (/region (is missing|not accepted)/i.test((err as Error).message)) throw new RegionMissing({ cause: err })
      throw translate(action, err as Error, this.#names)
    } finally {
      clearTimeout(timer)
    }
  }
}
