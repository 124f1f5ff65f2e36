/** A header of answers as OpenAPI describes it. `required`: it is there whenever it is listed. */
export interface HeaderObject { description: string, required: boolean, schema: Record<string, unknown>, example?: string | number }

const identifier = { type: 'string', pattern: '^[A-Za-z0-9._~:+/=@-]{1,128}$' }
const count = { type: 'integer', minimum: 0 }

/** Every header of the API's own, described once. */
export const HEADERS = {
  'x-request-id': { description: 'Of this request: the caller\'s, where it sent a sane one. Also `request_id` of a problem.', required: true, schema: identifier, example: '0c2b8f7e-6f0e-4d1c-9a55-0a2d3c4b5e6f' },
  'x-correlation-id': { description: 'Joins what several services do for one cause: the caller\'s, where it sent a sane one, else the request\'s id.', required: true, schema: identifier, example: 'order-7' },
  traceparent: { description: 'The caller\'s, where it sent a valid one.', required: false, schema: { type: 'string' } },
  location: { description: 'Where the model is.', required: true, schema: { type: 'string' }, example: '/models/sales-lead-scorer/versions/3' },
  'idempotency-replayed': { description: 'The same key came with the same request before; this is the answer given then.', required: false, schema: { type: 'string', enum: ['true'] } },
  'cache-control': { description: 'No cache may keep this answer.', required: true, schema: { type: 'string', pattern: '^no-store' }, example: 'no-store' },
  'retry-after': { description: 'Seconds after which sending it again makes sense.', required: true, schema: { type: 'integer', minimum: 1 }, example: 5 },
  'www-authenticate': { description: 'How to send a key.', required: true, schema: { type: 'string', enum: ['Bearer'] } },
  'x-ratelimit-limit': { description: 'Requests of one caller in one window. Only where there is a limit.', required: false, schema: count, example: 1000 },
  'x-ratelimit-remaining': { description: 'Of these, how many are left.', required: false, schema: count, example: 999 },
  'x-ratelimit-reset': { description: 'Seconds until the next window.', required: false, schema: count, example: 60 }
} satisfies Record<string, HeaderObject>

export type HeaderName = keyof typeof HEADERS

/** What any HTTP server or browser knows: the document names these once, and describes them nowhere. */
export const STANDARD_HEADERS = [
  'connection', 'content-length', 'content-type', 'date', 'keep-alive', 'transfer-encoding', 'vary', 'x-accel-buffering',
  'access-control-allow-origin', 'access-control-expose-headers', 'content-security-policy', 'cross-origin-opener-policy', 'cross-origin-resource-policy',
  'origin-agent-cluster', 'referrer-policy', 'strict-transport-security', 'x-content-type-options', 'x-dns-prefetch-control', 'x-download-options',
  'x-frame-options', 'x-permitted-cross-domain-policies', 'x-xss-protection'
]

/** What a page of another origin may read besides the few headers that every page may. */
export const EXPOSED_HEADERS = Object.keys(HEADERS).filter((name) => name !== 'cache-control')

/** For a response schema: which headers come with it. */
export function headers (...names: HeaderName[]): Record<string, object> {
  return Object.fromEntries(names.map((name) => [name, HEADERS[name].schema]))
}

const requestHeader = (name: string, description: string, schema: object) => ({ name, in: 'header', required: false, description, schema })

/** What every operation understands. A header that is not valid is ignored, never an error. */
export const REQUEST_HEADERS: Record<string, { name: string, in: string, required: boolean, description: string, schema: object }> = {
  'x-request-id': requestHeader('x-request-id', 'Kept where it is valid, else made.', identifier),
  'x-correlation-id': requestHeader('x-correlation-id', 'Returned, logged with failures, and `tags.correlation_id` of the event.', identifier),
  traceparent: requestHeader('traceparent', 'W3C trace context. The event carries it on as `tags.traceparent`.', { type: 'string', pattern: '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}' })
}
