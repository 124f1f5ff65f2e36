import createError from '@fastify/error'

/** One thing wrong with a request: where, which rule, and what would be right. Never contains the value that was sent. */
export interface RequestProblem {
  in: 'body' | 'query' | 'path' | 'header'
  /** JSON Pointer into that part; empty for the part itself. */
  path: string
  /** The JSON Schema keyword that was broken. */
  rule: string
  message: string
}

/** The request breaks its schema. Its `problems` list everything that is wrong with it; nothing was stored. */
export const RequestInvalid = createError<[string]>(
  'FST_BRK_REQUEST_INVALID',
  'The request was not accepted: %s. Correct what is listed and send it again.',
  400,
  Error,
  // The caller's mistake needs no stack of ours, and is logged without one.
  false
)

export const ModelNotFound = createError<[]>(
  'FST_BRK_MODEL_NOT_FOUND',
  'No such model is registered. GET /models lists what exists.',
  404,
  Error,
  false
)

export const RouteNotFound = createError<[]>(
  'FST_BRK_ROUTE_NOT_FOUND',
  'There is nothing at this address. Check the path; GET /models lists the models.',
  404,
  Error,
  false
)

export const MethodNotAllowed = createError<[string, string]>(
  'FST_BRK_METHOD_NOT_ALLOWED',
  'This resource does not answer %s. Use one of: %s.',
  405,
  Error,
  false
)
