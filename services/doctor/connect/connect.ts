import { readFile } from 'node:fs/promises'
import { describeRedis } from '../../config/describe.ts'
import type { RedisDescription } from '../../config/describe.ts'
import type { Variables } from '../../config/environment.ts'
import { loadConfig } from '../../config/load.ts'
import type { Config } from '../../config/load.ts'
import { classify } from '../../redis/classify.ts'
import { neededPermissions } from './permissions.ts'
import type { PermissionResult } from './permissions.ts'
import { askSentinels } from './sentinels.ts'
import { openSocket, resolveHost, shakeHands, speaksTls } from './reach.ts'
import type { Reaching } from './reach.ts'
import { Session } from './session.ts'
import { StepFailure, Steps } from './steps.ts'
import type { Outcome, Step } from './steps.ts'
import { tryPermissions } from './try-permissions.ts'

export interface ConnectReport {
  valid: boolean
  redis: RedisDescription
  steps: readonly Step[]
  permissions: readonly PermissionResult[]
}

/**
 * Connects to Redis as the service would, step by step. Each step has a deadline: REDIS_CONNECT_TIMEOUT_MS until there is a connection,
 * REDIS_COMMAND_TIMEOUT_MS for each command. Changes nothing in Redis and never throws.
 */
export async function examineConnection (env: Variables): Promise<ConnectReport> {
  const { config, errors } = loadConfig(env)
  const steps = new Steps()
  let permissions: PermissionResult[] = []
  const ca = await readAuthority(config.redis.tlsCaFile)
  await steps.run('configuration', async () => checkConfiguration(config, ca, errors.filter(({ variable }) => variable.startsWith('REDIS_')).map(({ message, remedy }) => `${message} ${remedy}`)))
  const { target } = config.redis.resolution
  if (target !== null && !steps.failed) {
    const reaching: Reaching = { target, timeoutMs: config.redis.connectTimeoutMs, ca: Buffer.isBuffer(ca) ? ca : undefined }
    const primary = target.sentinel === undefined ? reaching : await findPrimary(steps, reaching, config.redis.commandTimeoutMs)
    if (primary !== null) permissions = await reachAndTalk(steps, primary, config)
  }
  return { valid: !steps.failed, redis: describeRedis(config.redis.resolution), steps: steps.list, permissions }
}

/** An error code where the file cannot be read. */
async function readAuthority (file: string | null): Promise<Buffer | string | null> {
  return file === null ? null : await readFile(file).catch((err: NodeJS.ErrnoException) => err.code ?? 'unreadable')
}

function checkConfiguration ({ redis }: Config, ca: Buffer | string | null, errors: string[]): Outcome {
  if (errors.length > 0) throw new StepFailure('the configuration is invalid', errors.join(' '))
  if (redis.resolution.target === null) throw new StepFailure('Redis is disabled: neither REDIS_URL nor REDIS_HOST is set', 'Set REDIS_URL=rediss://HOST:6379.')
  if (typeof ca === 'string') throw new StepFailure(`REDIS_TLS_CA_FILE cannot be read (${ca})`, 'Mount the file, or correct its path.')
  return { state: 'ok', detail: `${describeRedis(redis.resolution).url}` }
}

/** Sentinels say where the primary is; from there on it is a server like any other. */
async function findPrimary (steps: Steps, reaching: Reaching, commandTimeoutMs: number): Promise<Reaching | null> {
  let primary: Reaching | null = null
  await steps.run('sentinel', async () => {
    const { host, port } = await askSentinels(reaching, commandTimeoutMs)
    primary = { ...reaching, target: { ...reaching.target, host, port, sentinel: undefined, topology: 'single' } }
    return { state: 'ok', detail: `the primary is ${host} port ${port}` }
  })
  return primary
}

async function reachAndTalk (steps: Steps, reaching: Reaching, config: Config): Promise<PermissionResult[]> {
  const { target } = reaching
  if (target.path !== null) steps.skip('dns', 'a socket has no name')
  else await steps.run('dns', async () => await resolveHost(reaching))
  await steps.run('tcp', async () => await openSocket(reaching))
  if (target.tls) await steps.run('tls', async () => await shakeHands(reaching))
  else steps.skip('tls', 'TLS is off')
  const session = new Session(reaching, config.redis.commandTimeoutMs)
  try {
    await steps.run('auth', async () => await authenticate(session, reaching))
    await steps.run('ping', async () => { await session.call('ping'); return { state: 'ok', detail: 'PONG' } })
    await steps.run('role', async () => await askRole(session))
    await steps.run('cluster', async () => await askCluster(session, target.topology))
    return await askPermissions(steps, session, config)
  } finally {
    await session.close()
  }
}

/** A server that wants a token lets strangers connect, and refuses their first command. */
async function authenticate (session: Session, reaching: Reaching): Promise<Outcome> {
  const { target } = reaching
  try {
    await session.open()
    const user = await session.call('acl', 'whoami').catch((err: Error) => {
      if (classify(err).kind === 'configuration') return target.username ?? 'default'
      throw err
    })
    return { state: 'ok', detail: `user ${String(user)}, ${target.auth === 'none' ? 'without a token' : 'with a token'}` }
  } catch (err) {
    const { kind, reason } = classify(err)
    if (!target.tls && target.path === null && (kind === 'transport' || kind === 'timeout') && await speaksTls(reaching)) {
      throw new StepFailure('the server speaks TLS, and the client does not', 'Use rediss://, or REDIS_TLS_ENABLED=true where REDIS_URL has no scheme.')
    }
    if (kind === 'auth' && target.auth === 'none') throw new StepFailure(`Redis wants a token (${reason})`, 'Set REDIS_AUTH_TOKEN, and REDIS_USERNAME for a user other than default.')
    throw err
  }
}

async function askRole (session: Session): Promise<Outcome> {
  const reply = await session.call('role').catch((err: Error) => {
    if (classify(err).kind === 'configuration') return ['unknown']
    throw err
  })
  const [role] = reply as [unknown]
  if (role === 'slave') throw new StepFailure('the server is a replica: every write fails with READONLY', 'Use the primary endpoint; after a failover, its name leads to the new primary within a minute.')
  if (role === 'sentinel') throw new StepFailure('the server is a Sentinel, not a Redis', 'Use the address of the primary.')
  if (role === 'unknown') return { state: 'warning', detail: 'the user may not ask', remedy: 'Permit ROLE (+role), or a demoted primary is noticed by failing writes only.' }
  return { state: 'ok', detail: 'primary' }
}

async function askCluster (session: Session, topology: string): Promise<Outcome> {
  const info = String(await session.call('info', 'cluster').catch((err: Error) => {
    if (classify(err).kind === 'configuration') return ''
    throw err
  }))
  const enabled = info.includes('cluster_enabled:1')
  if (info === '') return { state: 'ok', detail: 'the user may not ask' }
  if (enabled && topology !== 'cluster') throw new StepFailure('the server is part of a cluster, REDIS_CLUSTER is not true', 'Set REDIS_CLUSTER=true, or commands for slots of other nodes fail with MOVED.')
  if (!enabled && topology === 'cluster') throw new StepFailure('REDIS_CLUSTER is true, and the server is no part of a cluster', 'Set REDIS_CLUSTER=false.')
  if (!enabled) return { state: 'ok', detail: 'a single server' }
  const state = /cluster_state:(\w+)/.exec(String(await session.call('cluster', 'info')))?.[1] ?? 'unknown'
  if (state !== 'ok') throw new StepFailure(`the state of the cluster is ${state}`, 'Some slots have no node: look at CLUSTER NODES.')
  return { state: 'ok', detail: 'part of a cluster' }
}

async function askPermissions (steps: Steps, session: Session, { publisher, redis }: Config): Promise<PermissionResult[]> {
  const cluster = redis.resolution.target?.topology === 'cluster'
  const needed = neededPermissions(publisher.queueName, publisher.transport, cluster)
  let results: PermissionResult[] = []
  await steps.run('permissions', async () => {
    results = await tryPermissions(session, publisher.queueName, needed)
    return judge(results)
  })
  return results
}

function judge (results: readonly PermissionResult[]): Outcome {
  const denied = results.filter(({ allowed }) => allowed === false)
  const named = (purpose: (result: PermissionResult) => boolean) => [...new Set(denied.filter(purpose).map(({ command, subject, purpose: who }) => `${command}${subject === '' ? '' : ` ${subject}`} (${who})`))].join(', ')
  const blocking = named(({ purpose }) => purpose === 'publisher')
  if (blocking !== '') throw new StepFailure(`the user may not: ${named(() => true)}`, 'Permit these to the user, for example ACL SETUSER name +@all ~QUEUE* ~{QUEUE}* &QUEUE:pubsub, with the name of the queue.')
  if (denied.length > 0) return { state: 'warning', detail: `the user may publish, but not: ${named(() => true)}`, remedy: 'Enough where another user consumes.' }
  const unknown = results.filter(({ allowed }) => allowed === null)
  if (unknown.length > 0) return { state: 'warning', detail: `this server can only be tried: ${results.length - unknown.length} of ${results.length} are permitted, the others are not known`, remedy: 'ACL GETUSER shows them.' }
  return { state: 'ok', detail: `${results.length} commands` }
}
