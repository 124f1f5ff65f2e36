import type { Variables } from './environment.ts'
import type { Problems } from './problems.ts'
import { variableNames } from './schema.ts'
import { nearest } from '../naming/nearest.ts'

/** Names that other programs use for the same thing. */
const relatives: Record<string, string> = {
  REDIS_URI: 'REDIS_URL',
  REDIS_ENDPOINT: 'REDIS_URL',
  REDIS_HOSTNAME: 'REDIS_HOST',
  REDIS_ADDRESS: 'REDIS_HOST',
  REDIS_PASSWORD: 'REDIS_AUTH_TOKEN',
  REDIS_PASS: 'REDIS_AUTH_TOKEN',
  REDIS_TOKEN: 'REDIS_AUTH_TOKEN',
  REDIS_AUTH: 'REDIS_AUTH_TOKEN',
  REDIS_USER: 'REDIS_USERNAME',
  REDIS_DATABASE: 'REDIS_DB',
  REDIS_TLS: 'REDIS_TLS_ENABLED',
  REDIS_SSL: 'REDIS_TLS_ENABLED',
  REDIS_USE_TLS: 'REDIS_TLS_ENABLED',
  REDIS_SSL_ENABLED: 'REDIS_TLS_ENABLED',
  REDIS_CLUSTER_MODE: 'REDIS_CLUSTER',
  REDIS_SENTINEL_HOSTS: 'REDIS_SENTINELS',
  REDIS_SENTINEL_NODES: 'REDIS_SENTINELS',
  REDIS_SENTINEL_NAME: 'REDIS_SENTINEL_MASTER',
  REDIS_TIMEOUT: 'REDIS_COMMAND_TIMEOUT_MS'
}

const known: readonly string[] = variableNames
const candidates = known.filter(name => name.startsWith('REDIS_'))

/** Variables about Redis that nothing reads, where it is plain which one was meant. Their values are not looked at. */
export function reportUnknown (env: Variables, problems: Problems): void {
  for (const [name, value] of Object.entries(env)) {
    if (!/^redis/i.test(name) || known.includes(name) || isBlank(value)) continue
    const meant = meantBy(name, env)
    if (meant !== null) {
      problems.add('FST_BRK_CONFIG_UNKNOWN_VARIABLE', name, `${name} is set, but nothing reads it. Did you mean ${meant}?`, `Rename it to ${meant}, or remove it.`)
    }
  }
}

function meantBy (name: string, env: Variables): string | null {
  const upper = name.toUpperCase()
  const relative = relatives[upper]
  // With the right name set as well, the other one probably belongs to another program.
  if (relative !== undefined) return isBlank(env[relative]) ? relative : null
  return nearest(upper, candidates, Math.min(2, Math.ceil((upper.length - 'REDIS_'.length) / 4)))
}

function isBlank (value: string | undefined): boolean {
  return value === undefined || String(value).trim() === ''
}
