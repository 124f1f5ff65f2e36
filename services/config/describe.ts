import { bracket } from './host.ts'
import { listNodes } from './redis/redis-sentinel.ts'
import type { RedisResolution, RedisTarget } from './redis/redis-target.ts'

/** The resolved target without secrets, as `doctor --json` prints it. Null where there is nothing. */
export interface RedisDescription {
  state: RedisResolution['state']
  url: string | null
  scheme: string | null
  host: string | null
  port: number | null
  path: string | null
  tls: boolean | null
  db: number | null
  username: string | null
  auth: RedisTarget['auth']
  topology: RedisTarget['topology'] | null
  sources: Record<string, string>
}

export function describeRedis ({ state, target }: RedisResolution): RedisDescription {
  if (target === null) {
    return { state, url: null, scheme: null, host: null, port: null, path: null, tls: null, db: null, username: null, auth: 'none', topology: null, sources: {} }
  }
  const { scheme, host, port, path, tls, db, username, auth, topology, sources } = target
  return { state, url: maskedUrl(target), scheme, host, port, path, tls, db, username, auth, topology, sources: { ...sources } }
}

/** The fields of the one line that is logged at startup (R1.7). */
export function startupLine (resolution: RedisResolution): Record<string, unknown> {
  const { state, scheme, host, port, path, tls, db, topology, auth, sources } = describeRedis(resolution)
  const { sentinel } = resolution.target ?? {}
  if (state !== 'configured') return { state }
  return { state, scheme, ...(sentinel !== undefined ? { sentinels: listNodes(sentinel.nodes), master: sentinel.master } : path === null ? { host, port } : { path }), tls, db, topology, auth, sources }
}

/** An address that can be shown: `rediss://app:***@cache.example.com:6379/0`. */
export function maskedUrl ({ scheme, host, port, path, db, username, auth, sentinel }: RedisTarget): string {
  const user = encodeURIComponent((username ?? '').toWellFormed())
  const credentials = auth !== 'none' ? `${user}:***@` : username !== null ? `${user}@` : ''
  if (sentinel !== undefined) return `${scheme}+sentinel://${credentials}${listNodes(sentinel.nodes)}/${encodeURIComponent(sentinel.master)}/${db}`
  return path !== null
    ? `unix://${credentials}${path}?db=${db}`
    : `${scheme}://${credentials}${bracket(host!)}:${port}/${db}`
}
