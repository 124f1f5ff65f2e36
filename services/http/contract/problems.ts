import { Type } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import { toProblem } from '../problem.ts'
import type { Problem } from '../problem.ts'

const EXAMPLE_REQUEST_ID = '0c2b8f7e-6f0e-4d1c-9a55-0a2d3c4b5e6f'

/** RFC 9457, as every error of this service is sent. */
export const ProblemDetails = Type.Object({
  type: Type.String({ description: 'a URN, one for each code' }),
  title: Type.String({ description: 'the status in words' }),
  status: Type.Integer(),
  detail: Type.String({ description: 'what is wrong and what to do about it, for people' }),
  instance: Type.String({ description: 'the path that was asked for' }),
  code: Type.String({ description: 'what is wrong, for programs' }),
  request_id: Type.String({ description: 'also in x-request-id' }),
  errors: Type.Optional(Type.Array(Type.Object({
    in: Type.String({ enum: ['body', 'query', 'path', 'header'] }),
    path: Type.String({ description: 'JSON Pointer into that part; empty for the part itself' }),
    rule: Type.String({ description: 'the JSON Schema keyword that was broken' }),
    message: Type.String()
  }), { description: 'everything that is wrong with the request, the first hundred things' }))
}, { title: 'Problem', description: 'What is wrong (RFC 9457).' })

/** An error that an operation can answer with: an instance of the class that is thrown, or what it looks like. */
export interface DeclaredError { code: string, statusCode?: number, message: string }

/** The problem that a caller sees of such an error. */
export function exampleOf (error: DeclaredError, instance = '/'): Problem {
  return toProblem(error, { url: instance, requestId: EXAMPLE_REQUEST_ID }).problem
}

type Responses<T> = T & { '4xx': typeof ProblemDetails, '5xx': typeof ProblemDetails }

/**
 * Response schemas of a route: of its success, and of the errors that it can answer with beyond those that follow from what it is
 * (services/http/contract/common-errors.ts). The OpenAPI document shows each as an example.
 */
export function responses<T extends Record<number, TSchema>> (success: T, ...errors: DeclaredError[]): Responses<T> {
  const byStatus: Record<number, TSchema> = {}
  for (const [status, examples] of groupByStatus(errors.map((error) => exampleOf(error)))) byStatus[status] = { ...ProblemDetails, examples }
  return { ...byStatus, ...success, '4xx': ProblemDetails, '5xx': ProblemDetails }
}

/** Problems of each status, each code once, in the order of their statuses. */
export function groupByStatus (problems: Problem[]): Map<number, Problem[]> {
  const groups = new Map<number, Problem[]>()
  for (const problem of problems.toSorted((a, b) => a.status - b.status)) {
    const group = groups.get(problem.status) ?? []
    if (!group.some(({ code }) => code === problem.code)) group.push(problem)
    groups.set(problem.status, group)
  }
  return groups
}
