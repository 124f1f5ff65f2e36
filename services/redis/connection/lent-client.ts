import type { Cluster, Redis, RedisOptions } from 'ioredis'
import type { NodeAddress, RedisTarget, SentinelTarget } from '../../config/redis/redis-target.ts'
import { Secret } from '../../config/secret.ts'

/** What a caller can tell: of what goes out and what comes back. How to connect, and how often to try, is ours. */
const TAKEN_OVER = [
  'keyPrefix', 'tls', 'natMap', 'family', 'scripts', 'protocol', 'replyMapping', 'stringNumbers', 'readOnly', 'autoResubscribe',
  'enableAutoPipelining', 'autoPipeliningIgnoredCommands', 'showFriendlyErrorStack', 'reconnectOnError', 'clientInfoTag', 'disableClientInfo'
]

/** Where an ioredis client of somebody else's leads. */
export function targetOf (client: Redis | Cluster): RedisTarget {
  const nodes = client.isCluster ? startNodes(client as Cluster) : undefined
  const options = nodeOptions(client)
  const { path = null, host = null, port = null, tls, db = 0, username, password } = nodes === undefined ? options : { ...options, ...nodes[0] }
  const sentinel = sentinelOf(options)
  const single = path === null && sentinel === undefined
  return {
    scheme: path !== null ? 'unix' : tls === undefined ? 'redis' : 'rediss',
    host: single ? host : null,
    port: single ? port : null,
    path: sentinel === undefined ? path : null,
    tls: tls !== undefined,
    db,
    username: username ?? null,
    password: secret(password),
    auth: secret(password) === null ? 'none' : 'token',
    topology: nodes !== undefined ? 'cluster' : sentinel !== undefined ? 'sentinel' : 'single',
    nodes,
    sentinel,
    sources: {}
  }
}

/** What else is taken over. */
export function optionsOf (client: Redis | Cluster): RedisOptions {
  const all: Record<string, unknown> = { ...nodeOptions(client), keyPrefix: client.options.keyPrefix }
  return Object.fromEntries(TAKEN_OVER.filter((name) => all[name] !== undefined).map((name) => [name, all[name]]))
}

function nodeOptions (client: Redis | Cluster): RedisOptions {
  if (!client.isCluster) return (client as Redis).options
  const { redisOptions, natMap } = (client as Cluster).options
  return { ...redisOptions, natMap } as RedisOptions
}

function sentinelOf ({ sentinels, name, sentinelUsername, sentinelPassword }: RedisOptions): SentinelTarget | undefined {
  if (sentinels === undefined || sentinels === null) return undefined
  return {
    nodes: sentinels.map(({ host = '127.0.0.1', port = 26379 }) => ({ host, port: Number(port) })),
    master: name ?? '',
    username: sentinelUsername ?? null,
    password: secret(sentinelPassword)
  }
}

/** A cluster client has been told of its nodes in any of three forms. */
function startNodes (client: Cluster): NodeAddress[] {
  const { startupNodes } = client as unknown as { startupNodes: (number | string | Partial<NodeAddress>)[] }
  return startupNodes.map((node) => {
    if (typeof node === 'object') return { host: node.host ?? '127.0.0.1', port: Number(node.port ?? 6379) }
    if (/^\d+$/.test(String(node))) return { host: '127.0.0.1', port: Number(node) }
    const { hostname, port } = new URL(/^rediss?:\/\//.test(String(node)) ? String(node) : `redis://${node}`)
    return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) || 6379 }
  })
}

function secret (text: string | null | undefined): Secret | null {
  return text === undefined || text === null ? null : new Secret(text)
}
