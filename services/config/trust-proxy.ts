import { isIP } from 'node:net'
import { quote } from './masking.ts'
import type { Problems } from './problems.ts'

/** Whose `x-forwarded-for` is believed: nobody's, everybody's, that of the last so many proxies, or of these addresses and ranges. */
export type TrustProxy = boolean | number | readonly string[]

const WORDS = new Map<string, TrustProxy>([
  ['false', false], ['no', false], ['off', false], ['0', false], ['true', true], ['yes', true], ['on', true]
])
/** More in a row than anybody has; a port or an address without its dots is a slip. */
const MAX_PROXIES = 16
/** Names that @fastify/proxy-addr has for the ranges of private networks. */
const RANGES = ['loopback', 'linklocal', 'uniquelocal']

/** A digit is a number of proxies, also `1`, which elsewhere is a switch. */
export function readTrustProxy (text: string, problems: Problems): TrustProxy {
  const word = WORDS.get(text.toLowerCase())
  if (word === true) problems.add('FST_BRK_CONFIG_TRUST_PROXY_ALL', 'TRUST_PROXY', 'TRUST_PROXY is true, so the address of a caller is what the caller says.')
  if (word !== undefined) return word
  if (/^\d+$/.test(text)) return readCount(text, problems)
  const entries = text.split(/[\s,]+/).filter(entry => entry !== '')
  const wrong = entries.length === 0 ? [text] : entries.filter(entry => !isRange(entry))
  for (const entry of wrong) problems.add('FST_BRK_CONFIG_TRUST_PROXY', 'TRUST_PROXY', `TRUST_PROXY has ${quote(entry)}, which is neither an IP address nor a range such as 10.0.0.0/16.`)
  return wrong.length > 0 ? false : entries
}

function readCount (text: string, problems: Problems): TrustProxy {
  if (Number(text) <= MAX_PROXIES) return Number(text)
  problems.add('FST_BRK_CONFIG_TRUST_PROXY', 'TRUST_PROXY', `TRUST_PROXY is ${quote(text)}; a number of proxies is from 1 to ${MAX_PROXIES}.`)
  return false
}

function isRange (entry: string): boolean {
  if (RANGES.includes(entry)) return true
  const [address = '', prefix, ...rest] = entry.split('/')
  const family = isIP(address)
  if (family === 0 || address.includes('%') || rest.length > 0) return false
  // A range of everybody is `true`, which says so.
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) >= 1 && Number(prefix) <= (family === 4 ? 32 : 128))
}
