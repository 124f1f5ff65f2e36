import { randomUUID } from 'node:crypto'

const REQUEST_ID = /^[A-Za-z0-9._~:+/=@-]{1,128}$/
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,256})?$/
const ZEROES = /^0+$/

type Header = string | string[] | undefined

/** The caller's `x-request-id` where it is safe to log and to store, else a new one. */
export function requestId (header: Header): string {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : randomUUID()
}

/** The caller's `x-correlation-id`, which joins what several services do for one cause; without a sane one, the request's own id. */
export function correlationId (header: Header, requestId: string): string {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : requestId
}

/**
 * A valid W3C `traceparent`, or undefined: the specification says to ignore an invalid one.
 * @see https://www.w3.org/TR/trace-context/#traceparent-header
 */
export function validTraceparent (header: Header): string | undefined {
  const match = typeof header === 'string' ? TRACEPARENT.exec(header) : null
  if (match === null) return undefined
  const [traceparent, version, traceId, parentId, , rest] = match
  if (version === 'ff' || ZEROES.test(traceId!) || ZEROES.test(parentId!)) return undefined
  // Version 00 ends after the flags; later versions may append fields.
  return version === '00' && rest !== undefined ? undefined : traceparent
}
