import type { FastifyRequest } from 'fastify'
import type { Static } from '@sinclair/typebox'
import { MAX_BATCH } from '../../services/administration/queue-administration.ts'
import type { Selection } from '../../services/administration/queue-administration.ts'
import type { LetterFilter } from '../../services/administration/filter.ts'
import type { RequestProblem } from '../../services/http/errors.ts'
import { requestInvalid } from '../../services/http/validation.ts'
import type { RequestError } from '../../services/http/validation.ts'
import type { SelectionRequest } from './schemas.ts'

/** Which letters a request means. @throws FST_BRK_REQUEST_INVALID with every problem */
export function readSelection ({ body, validationError }: FastifyRequest): Selection {
  const problems = (validationError as RequestError | undefined)?.problems ?? selectionProblems(body as Static<typeof SelectionRequest>)
  if (problems.length > 0) throw requestInvalid(problems)
  const { ids, filter, cursor } = body as Static<typeof SelectionRequest>
  if (ids !== undefined) return { ids }
  return filter === undefined ? { all: true, cursor } : { filter: filter as LetterFilter, cursor }
}

function selectionProblems ({ ids, filter, all, cursor }: Static<typeof SelectionRequest>): RequestProblem[] {
  const problems: RequestProblem[] = []
  const add = (path: string, rule: string, message: string) => { problems.push({ in: 'body', path, rule, message }) }
  const given = [ids, filter, all].filter((part) => part !== undefined)
  if (given.length !== 1) add('', 'oneOf', 'the body must have exactly one of ids, filter and all')
  if (ids?.length === 0) add('/ids', 'minItems', 'ids must not be empty')
  if (ids !== undefined && ids.length > MAX_BATCH) add('/ids', 'maxItems', `ids must have at most ${MAX_BATCH} entries`)
  if (ids !== undefined && cursor !== undefined) add('/cursor', 'oneOf', 'cursor goes with filter or all, not with ids')
  if (filter !== undefined && Object.keys(filter).length === 0) add('/filter', 'minProperties', 'filter must name at least one field; to mean all letters, send all')
  if (all === false) add('/all', 'const', 'all must be true')
  return problems
}
