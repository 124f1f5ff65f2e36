import { isIP, isIPv4, isIPv6 } from 'node:net'

const LABEL = /^[a-z\d_](?:[a-z\d_-]{0,61}[a-z\d_])?$/i
const LONGEST_NAME = 253

/**
 * What is wrong with a host, or null. Underscores are allowed: container networks have them. A name that ends in a number is
 * an address or nothing: resolvers read `6379` as 0.0.24.235.
 */
export function hostFault (host: string): string | null {
  if (host === '') return 'the host is missing'
  if (isIP(host) !== 0) return null
  if (/\s/.test(host)) return 'the host contains white space'
  if (host.includes(',')) return 'there is more than one host'
  if (/["'`]/.test(host)) return 'the host contains quotation marks, which the shell or the env file should have removed'
  const labels = host.replace(/\.$/, '').split('.')
  if (labels.includes('')) return 'the host has an empty label'
  if (/^\d+$/.test(labels.at(-1)!)) return 'the host ends in a number but is not an IPv4 address'
  if (host.length > LONGEST_NAME || !labels.every(label => LABEL.test(label))) return 'the host is neither a host name nor an IP address'
  return null
}

/** Whether connections to it stay on this machine. */
export function isLoopback (host: string): boolean {
  const name = host.toLowerCase().replace(/\.$/, '')
  if (isIPv4(name)) return name.startsWith('127.')
  if (isIPv6(name)) return isLoopbackV6(name)
  return name === 'localhost' || name.endsWith('.localhost')
}

function isLoopbackV6 (address: string): boolean {
  // The URL parser brings every spelling of an address to one form; zones are not for loopback.
  const canonical = URL.canParse(`http://[${address}]`) ? new URL(`http://[${address}]`).hostname : ''
  return canonical === '[::1]' || /^\[::ffff:7f[0-9a-f]{2}:/.test(canonical)
}

/** Without the brackets of an IPv6 address. */
export function unbracket (host: string): string {
  const [, inner] = /^\[(.*)\]$/s.exec(host) ?? []
  // The % before a zone is itself escaped in URLs (RFC 6874).
  const address = inner?.replace('%25', '%') ?? ''
  return isIPv6(address) ? address : host
}

export function bracket (host: string): string {
  return isIPv6(host) ? `[${host}]` : host
}
