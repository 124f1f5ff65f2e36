import { isIPv6 } from 'node:net'
import { bracket, hostFault, unbracket } from '../host.ts'
import { maskUrl, quote } from '../masking.ts'
import { QUOTATION_REMEDY } from '../problems.ts'
import type { Problems } from '../problems.ts'
import { nearest } from '../../naming/nearest.ts'
import { decode, readUrlCredential } from './token.ts'

export type RedisScheme = 'redis' | 'rediss' | 'unix'

/** What an address states; null is what it leaves to other variables. */
export interface RedisAddress {
  scheme: RedisScheme | null
  host: string | null
  port: number | null
  path: string | null
  db: number | null
  username: string | null
  token: string | null
}

const schemes: Record<string, RedisScheme> = { redis: 'redis', rediss: 'rediss', unix: 'unix' }
const cousins: Record<string, RedisScheme> = {
  valkey: 'redis', tcp: 'redis', http: 'redis', valkeys: 'rediss', tls: 'rediss', ssl: 'rediss', https: 'rediss', file: 'unix', socket: 'unix'
}

const PORT = /^\d{1,10}$/
const LARGEST_DB = 2 ** 31 - 1

/** Reads every form of REDIS_URL; what is wrong goes to `problems`, and the address is then not to be used. */
export function parseRedisUrl (quoted: string, problems: Problems): RedisAddress {
  const text = unquote(quoted, problems)
  const [prefix = '', written = ''] = /^([a-z][a-z\d+.-]*):\/\//i.exec(text) ?? []
  const scheme = prefix === '' ? null : schemes[written.toLowerCase()] ?? unknownScheme(text, written, problems)
  const rest = text.slice(prefix.length)
  return scheme === 'unix' ? parseSocket(rest, problems) : { ...parseNetwork(rest, text, problems), scheme }
}

function unquote (text: string, problems: Problems): string {
  const [, , inner] = /^(["'])(.*)\1$/s.exec(text) ?? []
  if (inner === undefined) return text
  problems.add('FST_BRK_CONFIG_URL', 'REDIS_URL', 'REDIS_URL is in quotation marks.', QUOTATION_REMEDY)
  return inner.trim()
}

function unknownScheme (text: string, written: string, problems: Problems): RedisScheme {
  const guess = cousins[written.toLowerCase()] ?? nearest(written.toLowerCase(), Object.keys(schemes)) as RedisScheme
  problems.add('FST_BRK_CONFIG_SCHEME', 'REDIS_URL',
    `REDIS_URL is ${quote(maskUrl(text))}, whose scheme is not known. Did you mean ${guess}://?`)
  return guess
}

function parseSocket (rest: string, problems: Problems): RedisAddress {
  // A token may contain slashes, a path may contain @: only together do they divide.
  const at = rest.startsWith('/') ? -1 : rest.lastIndexOf('@/')
  const [place = '', query] = splitOnce(rest.slice(at + 1), '?')
  const path = decode(place) ?? place
  if (!path.startsWith('/') || path.endsWith('/')) {
    problems.add('FST_BRK_CONFIG_SOCKET', 'REDIS_URL', 'REDIS_URL is a unix:// address without an absolute path to a socket.')
  }
  const db = readDb(null, query, problems)
  return { scheme: 'unix', host: null, port: null, path, db, ...readCredentials(at === -1 ? '' : rest.slice(0, at), problems) }
}

function parseNetwork (rest: string, text: string, problems: Problems): Omit<RedisAddress, 'scheme'> {
  const at = rest.lastIndexOf('@')
  const place = rest.slice(at + 1)
  if (isAmbiguous(rest, at)) {
    problems.add('FST_BRK_CONFIG_URL_AMBIGUOUS', 'REDIS_URL', 'REDIS_URL has both ? and a later @, so the host could be before or after them.')
  }
  const { authority, path, query, fragment } = splitPlace(place)
  if (fragment) problems.add('FST_BRK_CONFIG_URL', 'REDIS_URL', `REDIS_URL is ${quote(maskUrl(text))} and has a #, which is part of no form.`)
  const { host, port } = readHostAndPort(authority, text, problems)
  const db = readDb(path === '' || path === '/' ? null : path.slice(1), query, problems)
  return { host, port, path: null, db, ...readCredentials(at === -1 ? '' : rest.slice(0, at), problems) }
}

/** A raw ? in a token, where the text before it would be a whole address by itself. */
function isAmbiguous (rest: string, at: number): boolean {
  const { authority, path, query } = splitPlace(rest)
  if (query === null || at < rest.indexOf('?') || !/^(?:\/\d*)?$/.test(path)) return false
  const { host, port } = splitHost(authority.slice(authority.lastIndexOf('@') + 1))
  return hostFault(host) === null && (port === null || /^\d*$/.test(port))
}

function splitPlace (place: string) {
  const [, authority = '', path = '', query = null, fragment = ''] = /^([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?(#.*)?$/s.exec(place)!
  return { authority, path, query, fragment: fragment !== '' }
}

function splitHost (authority: string): { host: string, port: string | null } {
  const [, bracketed, port = null] = /^(\[[^\]]*\])(?::(.*))?$/s.exec(authority) ?? []
  if (bracketed !== undefined) return { host: unbracket(bracketed), port }
  const colon = authority.lastIndexOf(':')
  if (colon === -1 || isIPv6(authority)) return { host: authority, port: null }
  return { host: authority.slice(0, colon), port: authority.slice(colon + 1) }
}

function readHostAndPort (authority: string, text: string, problems: Problems): { host: string, port: number | null } {
  const { host, port } = splitHost(authority)
  const fault = hostFault(host)
  if (fault !== null) problems.add('FST_BRK_CONFIG_HOST', 'REDIS_URL', `REDIS_URL is ${quote(maskUrl(text))}: ${fault}.`)
  if (port === null && looksLikeAddressAndPort(authority)) {
    problems.add('FST_BRK_CONFIG_IPV6_PORT', 'REDIS_URL', `REDIS_URL is read as the address ${bracket(host)} without a port.`)
  }
  if (port === null || port === '') return { host, port: null }
  const number = PORT.test(port) ? Number(port) : NaN
  if (!(number >= 1 && number <= 65535)) {
    problems.add('FST_BRK_CONFIG_PORT', 'REDIS_URL', `REDIS_URL is ${quote(maskUrl(text))}; its port must be an integer from 1 to 65535.`)
  }
  return { host, port: number }
}

/** `fd00::1:6379` is an address, and its writer most likely meant `[fd00::1]:6379`. */
function looksLikeAddressAndPort (authority: string): boolean {
  return /:63[78]\d$/.test(authority) && isIPv6(authority.slice(0, authority.lastIndexOf(':')))
}

function readDb (path: string | null, query: string | null | undefined, problems: Problems): number | null {
  const parameters = new URLSearchParams(query ?? '')
  const asked = parameters.get('db')
  if ([...parameters.keys()].some(name => name !== 'db')) {
    problems.add('FST_BRK_CONFIG_QUERY_IGNORED', 'REDIS_URL', 'REDIS_URL has query parameters other than db; they were ignored.')
  }
  const text = path ?? asked
  if (text === null) return null
  const db = /^\d{1,10}$/.test(text) ? Number(text) : NaN
  if (!(db <= LARGEST_DB)) problems.add('FST_BRK_CONFIG_DB', 'REDIS_URL', `The database in REDIS_URL${shownDb(text)} must be an integer from 0 to ${LARGEST_DB}.`)
  else if (path !== null && asked !== null && Number(asked) !== db) {
    problems.add('FST_BRK_CONFIG_DB', 'REDIS_URL', 'REDIS_URL names two different databases, in its path and as db= in its query.')
  }
  return db
}

/** A piece of a token may have got here: only what looks like a mistyped number is shown. */
function shownDb (text: string): string {
  return /^[-+]?[\d.]{1,10}$/.test(text) ? ` is "${text}" and` : ''
}

function readCredentials (userinfo: string, problems: Problems): { username: string | null, token: string | null } {
  const [user = '', token = ''] = splitOnce(userinfo, ':')
  return {
    username: user === '' ? null : readUrlCredential(user, problems),
    token: token === '' ? null : readUrlCredential(token, problems)
  }
}

function splitOnce (text: string, separator: string): [string, string?] {
  const index = text.indexOf(separator)
  return index === -1 ? [text] : [text.slice(0, index), text.slice(index + 1)]
}

/** REDIS_HOST takes a host and nothing else. */
export function parseRedisHost (text: string, problems: Problems): RedisAddress {
  const host = unbracket(text)
  const fault = hostFault(host)
  if (fault !== null) {
    const whole = /[@/]|:\d*$/.test(text)
    problems.add('FST_BRK_CONFIG_HOST', 'REDIS_HOST', `REDIS_HOST is ${quote(maskUrl(text))}: ${fault}.`,
      whole ? 'REDIS_HOST takes a host only, such as cache.example.com: put a whole address into REDIS_URL, a port into REDIS_PORT.' : undefined)
  }
  return { scheme: null, host, port: null, path: null, db: null, username: null, token: null }
}
