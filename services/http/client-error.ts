import { STATUS_CODES } from 'node:http'
import { randomUUID } from 'node:crypto'
import { PROBLEM_TYPE, toProblem } from './problem.ts'

/** What Node says of a connection whose request never came in whole, or was no HTTP. */
const CAUSES: Record<string, { statusCode: number, code: string, message: string }> = {
  ERR_HTTP_REQUEST_TIMEOUT: { statusCode: 408, code: 'FST_BRK_REQUEST_TIMEOUT', message: 'The request did not arrive in time. Send headers and body without pauses.' },
  HPE_HEADER_OVERFLOW: { statusCode: 431, code: 'FST_BRK_HEADERS_TOO_LARGE', message: 'The headers are too large. Send fewer or shorter ones.' }
}
const NO_HTTP = { statusCode: 400, code: 'FST_BRK_REQUEST_MALFORMED', message: 'This is not a valid HTTP request.' }

/**
 * A whole HTTP answer for a connection that has no request to answer. The connection ends with it: nobody knows where the next request would begin.
 * @see https://nodejs.org/api/http.html#event-clienterror
 */
export function clientErrorAnswer (error: NodeJS.ErrnoException): string {
  const cause = CAUSES[error.code ?? ''] ?? NO_HTTP
  const requestId = randomUUID()
  const body = JSON.stringify(toProblem(cause, { url: '', requestId }).problem)
  return [
    `HTTP/1.1 ${cause.statusCode} ${STATUS_CODES[cause.statusCode]}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'cache-control: no-store',
    `x-request-id: ${requestId}`,
    'connection: close',
    '',
    body
  ].join('\r\n')
}
