import type { RequestProblem } from '../http/errors.ts'

const MAX_TAG_NAME_LENGTH = 128
/** Consumers parse recursively; Python gives up at about a thousand levels, and nobody describes an interface in 32. */
const MAX_DEPTH = 32

/** Rules of a registration that JSON Schema cannot say. Expects nothing of the body's shape. */
export function registrationProblems (body: unknown): RequestProblem[] {
  if (typeof body !== 'object' || body === null) return []
  const problems: RequestProblem[] = []
  const { tags, model_name: name, version } = body as Record<string, unknown>
  for (const [field, value] of Object.entries({ model_name: name, version })) {
    if (isDotSegment(value)) problems.push(problem(`/${field}`, 'pattern', `${field} must not be "." or "..": no URL can name it`))
  }
  for (const tag of typeof tags === 'object' && tags !== null ? Object.keys(tags) : []) {
    if (tag.trim() === '' || tag.length > MAX_TAG_NAME_LENGTH || /\p{Cc}/u.test(tag)) {
      problems.push(problem('/tags', 'propertyNames', `tags must have names of 1 to ${MAX_TAG_NAME_LENGTH} characters without control characters`))
      break
    }
  }
  for (const [field, value] of Object.entries(body)) {
    // Numbers at the top are the schema's business.
    const fault = typeof value === 'number' ? null : unstorable(value, MAX_DEPTH)
    if (fault !== null) problems.push(problem(`/${field.slice(0, MAX_TAG_NAME_LENGTH)}`, fault.rule, `${field.slice(0, MAX_TAG_NAME_LENGTH)} ${fault.message}`))
  }
  return problems
}

function problem (path: string, rule: string, message: string): RequestProblem {
  return { in: 'body', path, rule, message }
}

/** Browsers, proxies and fetch() resolve these away, encoded or not. */
function isDotSegment (value: unknown): boolean {
  return typeof value === 'string' && (value.trim() === '.' || value.trim() === '..')
}

/** What keeps a value from surviving UTF-8, a database column and a consumer's parser, or null. */
function unstorable (value: unknown, depth: number): { rule: string, message: string } | null {
  if (typeof value === 'string') {
    return value.isWellFormed() && !value.includes('\0')
      ? null
      : { rule: 'unicode', message: 'must be valid Unicode text without NUL' }
  }
  if (typeof value === 'number' && !Number.isFinite(value)) return { rule: 'type', message: 'must hold finite numbers only' }
  if (typeof value !== 'object' || value === null) return null
  if (depth === 0) return { rule: 'depth', message: `must not be nested deeper than ${MAX_DEPTH} levels` }
  for (const [key, child] of Object.entries(value)) {
    const fault = unstorable(key, depth) ?? unstorable(child, depth - 1)
    if (fault !== null) return fault
  }
  return null
}
