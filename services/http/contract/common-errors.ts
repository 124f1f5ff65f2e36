import { KeyRequired, RateExceeded, ScopeInsufficient } from '../../access/errors.ts'
import { requestInvalid } from '../validation.ts'
import type { DeclaredError } from './problems.ts'

/** What an operation is, as far as it decides which errors it can answer with. */
export interface OperationFacts {
  /** What a caller's key must open; null where nobody checks keys. */
  scope: 'public' | 'read' | 'write' | 'admin' | null
  /** Whether a rate limit counts its requests. */
  limited: boolean
  /** Whether it is refused while the service is overloaded or a critical dependency fails. */
  shed: boolean
  /** Whether its method can have a body, which is parsed then, wanted or not. */
  takesBody: boolean
  hasPathParameters: boolean
  /** Whether a schema checks a part of its requests. */
  validated: boolean
}

const invalidBody = requestInvalid([{ in: 'body', path: '/token_id', rule: 'required', message: 'token_id is required' }])
const invalidQuery = requestInvalid([{ in: 'query', path: '/limit', rule: 'maximum', message: 'limit must be at most 200' }])

/** Fastify's own, as callers see them. */
const framework = {
  badUrl: { code: 'FST_ERR_BAD_URL', statusCode: 400, message: 'The path cannot be used: a part of it is too long, or is not UTF-8 in percent-encoding.' },
  invalidJson: { code: 'FST_ERR_CTP_INVALID_JSON_BODY', statusCode: 400, message: 'Body is not valid JSON but content-type is set to \'application/json\'' },
  emptyJson: { code: 'FST_ERR_CTP_EMPTY_JSON_BODY', statusCode: 400, message: 'Body cannot be empty when content-type is set to \'application/json\'' },
  tooLarge: { code: 'FST_ERR_CTP_BODY_TOO_LARGE', statusCode: 413, message: 'Request body is too large' },
  tooLong: { code: 'FST_ERR_MAX_PARAM_LENGTH', statusCode: 414, message: 'The path cannot be used: a part of it is too long, or is not UTF-8 in percent-encoding.' },
  mediaType: { code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE', statusCode: 415, message: 'Unsupported Media Type' },
  handlerTimeout: { code: 'FST_ERR_HANDLER_TIMEOUT', statusCode: 503, message: '' },
  underPressure: { code: 'FST_UNDER_PRESSURE', statusCode: 503, message: '' },
  unplanned: { code: 'HTTP_500', statusCode: 500, message: '' }
}

/** The errors that follow from what an operation is. */
export function commonErrors ({ scope, limited, shed, takesBody, hasPathParameters, validated }: OperationFacts): DeclaredError[] {
  const keyed = scope !== null && scope !== 'public'
  return [
    ...validated ? [takesBody ? invalidBody : invalidQuery] : [],
    ...hasPathParameters ? [framework.badUrl, framework.tooLong] : [],
    ...takesBody ? [framework.invalidJson, framework.emptyJson, framework.tooLarge, framework.mediaType] : [],
    ...keyed ? [new KeyRequired()] : [],
    // Every valid key may read.
    ...keyed && scope !== 'read' ? [new ScopeInsufficient(scope)] : [],
    ...limited ? [new RateExceeded(1000, 60)] : [],
    ...shed ? [framework.underPressure, framework.handlerTimeout] : [],
    framework.unplanned
  ]
}
