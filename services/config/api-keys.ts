import { hostFault, isLoopback, unbracket } from './host.ts'
import type { Problems } from './problems.ts'

/** What a key opens. `write` includes `read`, and `admin` both. */
export type Scope = 'read' | 'write' | 'admin'

/** A key as it is stored: only its digest, from which nobody can make the key. */
export interface ApiKey { name: string, scope: Scope, sha256: string }

const ENTRY = /^([\w.-]{1,64}):(read|write|admin):([0-9a-f]{64})$/i
/** Two keys for each of many callers during a rotation; each request is compared with all of them. */
const MAX_KEYS = 100

/** Reads `name:scope:sha256` entries, separated by commas or white space. What is wrong is named by its place, never shown. */
export function readApiKeys (text: string | undefined, problems: Problems): ApiKey[] {
  const entries = text?.split(/[\s,]+/).filter(entry => entry !== '') ?? []
  if (entries.length > MAX_KEYS) problems.add('FST_BRK_CONFIG_API_KEYS', 'API_KEYS', `API_KEYS has ${entries.length} entries; ${MAX_KEYS} are allowed.`)
  const keys = entries.flatMap((entry, index) => {
    const [, name, scope, sha256] = ENTRY.exec(entry) ?? []
    if (name !== undefined) return [{ name, scope: scope!.toLowerCase() as Scope, sha256: sha256!.toLowerCase() }]
    problems.add('FST_BRK_CONFIG_API_KEYS', 'API_KEYS', `Entry ${index + 1} of API_KEYS is not of the form name:scope:sha256.`)
    return []
  })
  if (new Set(keys.map(({ sha256 }) => sha256)).size < keys.length) {
    problems.add('FST_BRK_CONFIG_API_KEYS', 'API_KEYS', 'API_KEYS has the same key twice.')
  }
  return keys
}

/** Whoever can reach the port could do anything: without keys only this machine may, unless somebody says otherwise. */
export function checkAccess ({ keys, host, disabled }: { keys: ApiKey[], host: string, disabled: boolean }, problems: Problems): void {
  if (keys.length > 0 && disabled) problems.add('FST_BRK_CONFIG_AUTH_CONFLICT', 'AUTH_DISABLED', 'API_KEYS is set, but AUTH_DISABLED is true: no request needs a key.')
  if (keys.length > 0 || disabled || hostFault(host) !== null || isLoopback(unbracket(host))) return
  problems.add('FST_BRK_CONFIG_AUTH_REQUIRED', 'API_KEYS', `HOST is ${host}, which others can reach, and there is no API key.`)
}
