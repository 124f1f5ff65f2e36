import { isLoopback } from '../../config/host.ts'
import { quote } from '../../config/masking.ts'
import type { RedisTarget } from '../../config/redis/redis-target.ts'
import type { Field } from '../documents/field.ts'
import { UNKNOWN } from '../documents/field.ts'
import type { Context } from './context.ts'

/** `replica.name.…` with TLS, `name-ro.…` without; Aurora has `.cluster-ro-`. */
const READER = /^replica\.|^[\w-]+-ro\.|\.cluster-ro-/i
const NODE = /^[\w-]+-\d{3}\..*\.(cache|memorydb)\./i
const CLUSTER = /(^|\.)clustercfg\.|\.serverless\.[\w-]+\.cache\./i
const AMAZON = /\.(cache|memorydb|rds)\.([\w-]+\.)?amazonaws\.com(\.cn)?\.?$/i

/** Addresses that are well-formed and lead to the wrong place. */
export function checkAddresses (context: Context): void {
  const { resolution } = context.loaded.config.redis
  const { target } = resolution
  checkBare(context, target)
  if (resolution.state === 'disabled' && isNowhere(context) && !context.loaded.warnings.some(({ code }) => code === 'FST_BRK_CONFIG_HOST_MISSING')) {
    context.add('FST_BRK_ECS_REDIS_DISABLED', context.container.at('environment'), 'Neither REDIS_URL nor REDIS_HOST is set: registrations are accepted and journaled, and no event ever reaches the queue.', 'REDIS_URL=rediss://PRIMARY-ENDPOINT:6379')
  }
  if (target !== null && target.host !== null) checkRedisHost(context, target, target.host)
  checkDatabaseHost(context)
}

function isNowhere (context: Context): boolean {
  return context.surroundings.complete && !context.surroundings.variables.some(({ name }) => /^REDIS_(URL|HOST|SENTINEL|CLUSTER_NODES)/.test(name))
}

function checkBare (context: Context, target: RedisTarget | null): void {
  const url = context.variable('REDIS_URL')
  const text = url?.value?.trim() ?? ''
  if (url === null || text === '' || context.loaded.errors.some(({ variable }) => variable === 'REDIS_URL') || text.includes('://') || text.startsWith(UNKNOWN)) return
  const address = target?.host === null || target === null || text.includes(UNKNOWN) ? 'HOST:PORT' : `${target.host}:${target.port}`
  if (context.variable('REDIS_TLS_ENABLED') !== null || (context.whole && !context.surroundings.complete)) {
    context.add('FST_BRK_ECS_REDIS_BARE_TLS', url.field, 'REDIS_URL has no scheme. This service asks REDIS_TLS_ENABLED; another program that reads the variable may hang.', `REDIS_URL=${target?.tls === false ? 'redis' : 'rediss'}://${address}`)
  } else {
    context.add('FST_BRK_ECS_REDIS_BARE', url.field, 'REDIS_URL has no scheme and REDIS_TLS_ENABLED is not set, so the connection has no TLS. With encryption in transit it hangs until its deadline, health is degraded, and nothing says why.', `REDIS_URL=rediss://${address}`)
  }
}

function checkRedisHost (context: Context, { host: _host, scheme, port, topology, sources }: RedisTarget, host: string): void {
  const field = context.variable(sources.host ?? '')?.field
  if (field === undefined) return
  if (isLoopback(host)) checkLoopback(context, field, host, `${sources.host}=rediss://PRIMARY-ENDPOINT:6379`)
  if (AMAZON.test(host) && READER.test(host)) {
    context.add('FST_BRK_ECS_READER_ENDPOINT', field, `${quote(host)} is the reader endpoint: every publish fails with READONLY.`, `${scheme}://${primaryOf(host)}:${port}, the primary endpoint`)
  }
  if (AMAZON.test(host) && NODE.test(host)) {
    context.add('FST_BRK_ECS_NODE_ENDPOINT', field, `${quote(host)} is one node: after a failover it is a replica, and every publish fails with READONLY.`, `${scheme}://PRIMARY-ENDPOINT:${port}, which follows the primary`)
  }
  if (AMAZON.test(host) && CLUSTER.test(host) && topology === 'single' && context.isCertain('REDIS_CLUSTER')) {
    context.add('FST_BRK_ECS_CLUSTER_ENDPOINT', field, `${quote(host)} is the configuration endpoint of a cluster: commands for slots of other nodes fail with MOVED.`, 'REDIS_CLUSTER=true')
  }
}

function primaryOf (host: string): string {
  return host.replace(/^replica\./i, 'master.').replace(/^([\w-]+)-ro\./i, '$1.')
}

/** A neighbour may be Redis itself, or a tunnel to it; in host mode there is a whole machine. */
function checkLoopback (context: Context, field: Field, host: string, corrected: string): void {
  if (context.neighbours.length > 0 || context.networkMode === 'host' || !context.whole) return
  context.add('FST_BRK_ECS_LOCALHOST', field, `${quote(host)} is the task itself, and no other container runs in it.`, corrected)
}

function checkDatabaseHost (context: Context): void {
  const variable = context.variable('DATABASE_URL')
  const { kind, url } = context.loaded.config.database
  if (variable === null || !context.isCertain('DATABASE_URL') || kind !== 'postgres' || !URL.canParse(url)) return
  const host = new URL(url).hostname
  if (isLoopback(host)) checkLoopback(context, variable.field, host, 'DATABASE_URL=postgres://…@CLUSTER-ENDPOINT:5432/DATABASE, from Secrets Manager')
  if (AMAZON.test(host) && READER.test(host)) {
    context.add('FST_BRK_ECS_READER_ENDPOINT', variable.field, `${quote(host)} is the reader endpoint: every registration fails, because the transaction is read-only.`, `${host.replace('.cluster-ro-', '.cluster-')}, the cluster endpoint`)
  }
}
