import type { FastifyRequest } from 'fastify'
import type { Static } from '@sinclair/typebox'
import type { Selection } from '../../services/administration/queue-administration.ts'
import type { LetterFilter } from '../../services/administration/filter.ts'
import type { RequestProblem } from '../../services/http/errors.ts'
import { requestInvalid } from '../../services/http/validation.ts'
import type { RequestError } from '../../services/http/validation.ts'
import type { SelectionRequest } from './schemas.ts'

/** Which letters a request means. @throws FST_BRK_REQUEST_INVALID with every problem */
export function readSelection ({ body, validationError }: FastifyRequest): Selection {
  const problems = [...(validationError as RequestError | undefined)?.problems ?? [], ...selectionProblems(body)]
  if (problems.length > 0) throw requestInvalid(problems)
  const { ids, filter, cursor } = body as Static<typeof SelectionRequest>
  if (ids !== undefined) return { ids }
  return filter === undefined ? { all: true, cursor } : { filter: filter as LetterFilter, cursor }
}

/** What a schema cannot say readably. */
function selectionProblems (body: unknown): RequestProblem[] {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return []
  const { ids, filter, all, cursor } = body as Record<string, unknown>
  const problems: RequestProblem[] = []
  const add = (path: string, rule: string, message: string) => { problems.push({ in: 'body', path, rule, message }) }
  const given = [ids, filter, all].filter((part) => part !== undefined)
  if (given.length !== 1) add('', 'oneOf', 'the body must have exactly one of ids, filter and all')
  if (ids !== undefined && cursor !== undefined) add('/cursor', 'oneOf', 'cursor goes with filter or all, not with ids')
  return problems
}
