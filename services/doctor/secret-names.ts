import { about, environmentSchema } from '../config/schema.ts'
import type { VariableName } from '../config/schema.ts'

/** Names that our token has elsewhere. */
const ALIASES = /^REDIS_(PASSWORD|PASSWD|PASS|TOKEN|AUTH)$/
/** Secret only if there is a credential in them. */
const ADDRESSES = /_URL$/
const HEADERS = 'OTEL_EXPORTER_OTLP_HEADERS'
/** What other programs call theirs. Names of files, ARNs and the like end otherwise. */
const OTHERS = /(^|_)(PASSWORD|PASSWD|AUTH_TOKEN|ACCESS_TOKEN|SECRET_ACCESS_KEY|SECRET_KEY|PRIVATE_KEY|CLIENT_SECRET|API_KEYS?)$/

/** Variables of ours that are nothing but a secret. */
export function isOwnSecret (name: string): boolean {
  const upper = name.toUpperCase()
  const stated = Object.hasOwn(environmentSchema.properties, upper) && about(upper as VariableName).secret === true
  return ALIASES.test(upper) || (stated && !ADDRESSES.test(upper) && upper !== HEADERS)
}

/** `value`: null where it is not known. */
export function isSecret (name: string, value: string | null): boolean {
  return isOwnSecret(name) || OTHERS.test(name.toUpperCase()) || (name === HEADERS && /authorization|key|token|secret/i.test(value ?? ''))
}

/** Whether an address has a password: `scheme://user:password@host`, with or without a scheme, or `?password=`. */
export function hasPassword (url: string): boolean {
  const place = url.replace(/^\s*[a-z][a-z\d+.-]*:\/\//i, '')
  return /^[^@]*:[^@]+@/.test(place) || /[?&]password=[^&\s]/i.test(url)
}
