import { STATUS_CODES } from 'node:http'
import type { RequestProblem } from './errors.ts'

export const PROBLEM_TYPE = 'application/problem+json'

/** An error as its reader sees it (RFC 9457), with the code that this project's error tables list. */
export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  instance: string
  code: string
  request_id: string
  errors?: RequestProblem[]
}

export interface ProblemAnswer {
  problem: Problem
  /** For a `Retry-After` header: whole seconds, at least 1; null where retrying is no remedy or nobody knows when. */
  retryAfterSeconds: number | null
}

export interface Occurrence {
  url: string
  requestId: string
  /** Whether the request can be told from its repetition. Default false. */
  idempotencyKey?: boolean
}

const MAX_INSTANCE_LENGTH = 256
const CODED = /^FST_[A-Z0-9_]+$/

/** Internals stay inside: what a reader may know of a server's error is its status, its code and when to come back. */
const SERVER_DETAIL: Record<number, string> = {
  500: 'The service failed while it answered this request. Quote request_id when you report it.',
  // A commit whose answer got lost may have happened all the same: this must not claim that nothing was stored.
  503: 'The service cannot answer this request at the moment. Send it again after the time in Retry-After.'
}

/** The answer to a request that failed with this error. Never shows a 5xx error's own message, stack or cause. */
export function toProblem (error: unknown, occurrence: Occurrence): ProblemAnswer {
  const { statusCode, code, message, problems, retryAfterMs } = Object(error) as Record<string, unknown>
  const status = isErrorStatus(statusCode) ? statusCode : 500
  const safeCode = typeof code === 'string' && CODED.test(code) ? code : `HTTP_${status}`
  const problem: Problem = {
    type: `urn:breakwater:problem:${slug(safeCode)}`,
    title: STATUS_CODES[status] ?? 'Error',
    status,
    detail: status >= 500 ? serverDetail(status, occurrence) : String(message),
    instance: pathOf(occurrence.url),
    code: safeCode,
    request_id: occurrence.requestId
  }
  if (Array.isArray(problems)) problem.errors = problems
  return { problem, retryAfterSeconds: status === 503 ? retryAfterSeconds(retryAfterMs) : null }
}

function serverDetail (status: number, { idempotencyKey = false }: Occurrence): string {
  if (status === 503 && idempotencyKey) return SERVER_DETAIL[503]!.replace(/\.$/, ', with the same Idempotency-Key.')
  return SERVER_DETAIL[status] ?? SERVER_DETAIL[500]!
}

/** Whole seconds of a delay, rounded up and at least 1; null where it is no number. */
export function retryAfterSeconds (delayMs: unknown): number | null {
  return typeof delayMs === 'number' && Number.isFinite(delayMs) ? Math.max(1, Math.ceil(delayMs / 1000)) : null
}

/** A query string can carry what its sender would not want in a log; the path alone names the resource. */
export function pathOf (url: string): string {
  return url.split('?', 1)[0]!.slice(0, MAX_INSTANCE_LENGTH)
}

function isErrorStatus (status: unknown): status is number {
  return typeof status === 'number' && Number.isInteger(status) && status >= 400 && status <= 599
}

function slug (code: string): string {
  return code.replace(/^FST_(BRK_|ERR_)?/, '').toLowerCase().replaceAll('_', '-')
}
