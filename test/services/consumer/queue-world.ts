import { once } from 'node:events'
import { Redis } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import { ListSource } from '../../../services/consumer/list/list-source.ts'
import type { ListSourceOptions } from '../../../services/consumer/list/list-source.ts'
import type { Delivery } from '../../../services/consumer/source.ts'
import { buildEnvelope } from '../../../services/queue/envelope.ts'
import { startRedis } from '../../helpers/redis-server.ts'
import type { RedisServer, RedisServerOptions, Teardown } from '../../helpers/redis-server.ts'

export const QUEUE = 'hokusai:model_ready_queue'
export const PROCESSING = `${QUEUE}:processing`
export const DEAD_LETTERS = `${QUEUE}:dlq`
export const slot = (name: string) => `{${QUEUE}}:${name}`
export const AOF = ['--appendonly', 'yes', '--appendfsync', 'always']

/** The wire form of one version of a model; `change` overrides fields of the envelope. */
export function envelope (version: string, model = 'churn é', change: object = {}): string {
  const { body } = buildEnvelope({
    model_id: `${model}/${version}/hok`,
    token_symbol: 'hok',
    metric_name: 'auc',
    baseline_value: 0.5,
    current_value: 0.75,
    model_name: model,
    model_version: version
  }, { correlationId: 'c' })
  return JSON.stringify({ ...JSON.parse(body), ...change })
}

export const versionOf = (body: Buffer | string): string => JSON.parse(body.toString()).payload.model_version
export const versions = (deliveries: Delivery[]): string[] => deliveries.map(({ body }) => versionOf(body))

export async function connection (t: Teardown, port: number, options: RedisOptions = {}): Promise<Redis> {
  const client = new Redis({
    port, enableOfflineQueue: false, autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, retryStrategy: () => 20, ...options
  })
  client.on('error', () => {})
  t.teardown(() => client.disconnect())
  await once(client, 'ready')
  return client
}

export async function listSource (t: Teardown, redis: { port: number }, options: Partial<ListSourceOptions> = {}): Promise<ListSource> {
  return new ListSource({
    client: await connection(t, redis.port),
    blocking: await connection(t, redis.port),
    queue: QUEUE,
    commandTimeoutMs: 200,
    ...options
  })
}

/** A Redis, a source on it, and what to look at. */
export async function world (t: Teardown, options: Partial<ListSourceOptions> = {}, server: RedisServerOptions = {}) {
  const redis = await startRedis(t, server)
  return { redis, source: await listSource(t, redis, options), client: await connection(t, redis.port) }
}

export async function push (redis: RedisServer, ...bodies: string[]): Promise<void> {
  for (const body of bodies) await redis.cli('lpush', QUEUE, body)
}

/** All lists, oldest first, as versions, and the other keys that exist. */
export async function contents (redis: RedisServer) {
  const list = async (key: string) => (await redis.cli('lrange', key, 0, -1) as string[]).reverse()
  const others = (await redis.cli('keys', '*') as string[]).filter((key) => ![QUEUE, PROCESSING, DEAD_LETTERS].includes(key))
  return {
    queue: (await list(QUEUE)).map(versionOf),
    processing: (await list(PROCESSING)).map(versionOf),
    letters: (await list(DEAD_LETTERS)).map((letter) => JSON.parse(letter).error as string),
    others: others.map((key) => key.replace(slot(''), '')).sort()
  }
}

export const NOTHING = { queue: [], processing: [], letters: [], others: [] }
