import { bracket, hostFault, unbracket } from '../host.ts'
import { quote } from '../masking.ts'
import type { Problems } from '../problems.ts'
import type { NodeAddress, SentinelTarget } from './redis-target.ts'
import type { Environment } from '../schema.ts'
import { Secret } from '../secret.ts'

const SENTINEL_PORT = 26379
const DEFAULT_MASTER = 'mymaster'
const all = ['REDIS_SENTINELS', 'REDIS_SENTINEL_MASTER', 'REDIS_SENTINEL_USERNAME', 'REDIS_SENTINEL_PASSWORD'] as const

/** Who knows where the primary is; null where the environment names no sentinels, or an address that wins over them. */
export function readSentinels (stated: Partial<Environment>, problems: Problems): SentinelTarget | null {
  const { REDIS_SENTINELS: list, REDIS_URL: url, REDIS_HOST: host } = stated
  const unused = url !== undefined || list === undefined ? all.filter((name) => stated[name] !== undefined) : []
  if (unused.length > 0) {
    problems.add('FST_BRK_CONFIG_SENTINEL_UNUSED', unused[0]!,
      `${unused.join(', ')} ${unused.length === 1 ? 'is' : 'are'} set, but ${url === undefined ? 'REDIS_SENTINELS is not' : 'REDIS_URL says where Redis is'}.`)
  }
  if (url !== undefined || list === undefined) return null
  if (host !== undefined) problems.add('FST_BRK_CONFIG_SENTINEL_UNUSED', 'REDIS_HOST', 'REDIS_HOST is set, but the sentinels say where Redis is.')
  if (stated.REDIS_CLUSTER === true) problems.add('FST_BRK_CONFIG_SENTINEL', 'REDIS_CLUSTER', 'REDIS_CLUSTER is true and REDIS_SENTINELS is set: a cluster watches over itself.')
  return {
    // Who writes a token into the list may have cut it in two with a comma.
    nodes: list.split(/[\s,]+/).filter((entry) => entry !== '').map((entry) => readNode(entry, list.includes('@') ? '***' : quote(entry), problems)),
    master: stated.REDIS_SENTINEL_MASTER ?? DEFAULT_MASTER,
    username: stated.REDIS_SENTINEL_USERNAME ?? null,
    password: stated.REDIS_SENTINEL_PASSWORD === undefined ? null : new Secret(stated.REDIS_SENTINEL_PASSWORD)
  }
}

/** `a:26379,[fd00::5]:26379` */
export function listNodes (nodes: readonly NodeAddress[]): string {
  return nodes.map(({ host, port }) => `${bracket(host)}:${port}`).join(',')
}

function readNode (entry: string, shown: string, problems: Problems): NodeAddress {
  const [, bracketed, plain, port] = /^(?:(\[[^\]]*\])|([^:]*))(?::(.*))?$/s.exec(entry) ?? []
  const host = bracketed === undefined ? plain ?? entry : unbracket(bracketed)
  const fault = hostFault(host)
  if (fault !== null) problems.add('FST_BRK_CONFIG_SENTINEL', 'REDIS_SENTINELS', `REDIS_SENTINELS has ${shown}: ${fault}.`)
  const number = port === undefined ? SENTINEL_PORT : /^\d{1,5}$/.test(port) ? Number(port) : NaN
  if (!(number >= 1 && number <= 65535)) problems.add('FST_BRK_CONFIG_SENTINEL', 'REDIS_SENTINELS', `REDIS_SENTINELS has ${shown}; its port must be an integer from 1 to 65535.`)
  return { host, port: number }
}
