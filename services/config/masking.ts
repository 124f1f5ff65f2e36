import { isIPv6 } from 'node:net'

const MASK = '***'
const LONGEST_SHOWN = 120

/**
 * Text of a variable as it may be shown: whatever could be a credential is `***`. It must work on text that is *not* a
 * correct URL, where a token may stand in the place of a port or a path, so only host, numbers and known shapes survive.
 */
export function maskUrl (text: string): string {
  const [, scheme = '', rest = ''] = /^([a-z][a-z\d+.-]*:\/\/)?(.*)$/is.exec(text)!
  const at = rest.lastIndexOf('@')
  const credentials = at === -1 ? '' : `${MASK}@`
  const place = rest.slice(at + 1)
  return shorten(scheme + credentials + (scheme.toLowerCase() === 'unix://' ? maskSocket(place) : maskPlace(place)))
}

/** `"text"` with control characters escaped; credentials masked and the end cut off. */
export function quote (text: string): string {
  return JSON.stringify(/[@]|:\/\//.test(text) ? maskUrl(text) : shorten(text))
}

function shorten (text: string): string {
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text
}

function maskSocket (place: string): string {
  return place.startsWith('/') ? place.replace(/[?#].*$/s, `?${MASK}`) : MASK
}

function maskPlace (place: string): string {
  const end = place.search(/[/?#]/)
  const authority = end === -1 ? place : place.slice(0, end)
  const tail = end === -1 ? '' : place.slice(end)
  return maskAuthority(authority) + maskTail(tail)
}

function maskAuthority (authority: string): string {
  if (isIPv6(authority) || /^\[[^\]]*\]$/.test(authority)) return authority
  const colon = authority.lastIndexOf(':')
  if (colon === -1) return authority
  const host = authority.slice(0, colon)
  const port = authority.slice(colon + 1)
  if (host === '') return `:${MASK}`
  const shownHost = host.includes(':') && !isIPv6(host) && !host.startsWith('[') ? MASK : host
  return `${shownHost}:${/^(-?\d{1,6})?$/.test(port) ? port : MASK}`
}

function maskTail (tail: string): string {
  if (/^(\/(-?\d{0,6})?)?$/.test(tail)) return tail
  const [, path = '', rest = ''] = /^(\/-?\d{0,6})?(.*)$/s.exec(tail)!
  return /^[?#]/.test(rest) ? `${path}${rest[0]}${MASK}` : `/${MASK}`
}
