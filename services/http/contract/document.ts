import { STATUS_CODES } from 'node:http'
import { PROBLEM_TYPE } from '../problem.ts'
import type { Problem } from '../problem.ts'
import { commonErrors } from './common-errors.ts'
import type { OperationFacts } from './common-errors.ts'
import { hoistTitledSchemas } from './components.ts'
import { HEADERS, REQUEST_HEADERS } from './headers.ts'
import { ProblemDetails, exampleOf, groupByStatus } from './problems.ts'

/** Where an operation of the draft carries its facts; the finished document has it no more. */
export const FACTS = 'x-facts'

interface Media { schema: object, example?: unknown, examples?: Record<string, { value: unknown }> }
interface Response { description: string, headers?: Record<string, object>, content?: Record<string, Media> }
interface Parameter { required?: boolean, schema?: { default?: unknown } }
interface Operation { parameters?: (Parameter | { $ref: string })[], responses: Record<string, Response>, [FACTS]?: OperationFacts }

export interface DraftDocument {
  components: { schemas?: Record<string, unknown>, headers?: Record<string, unknown>, parameters?: Record<string, unknown> }
  paths: Record<string, Record<string, Operation>>
}

/** Adds to a draft made of the routes' schemas what every operation has in common: errors, headers, and a name for each shared part. */
export function completeDocument<T> (draft: T): T {
  const document = draft as T & DraftDocument
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const operation of Object.values(operations)) completeOperation(path, operation)
  }
  document.components = { ...document.components, headers: { ...HEADERS }, parameters: { ...REQUEST_HEADERS } }
  hoistTitledSchemas(document)
  return document
}

function completeOperation (path: string, operation: Operation): void {
  const { [FACTS]: facts, responses } = operation
  delete operation[FACTS]
  if (facts === undefined) return
  const own = Object.entries(responses).flatMap(([status, response]) => /^[45]\d\d$/.test(status) ? problemsIn(response) : [])
  const problems = groupByStatus([...commonErrors(facts).map((error) => exampleOf(error, path)), ...own.map((problem) => ({ ...problem, instance: path }))])
  const described = Object.entries(responses).filter(([status, response]) => /^\d{3}$/.test(status) && (Number(status) < 400 || problemsIn(response).length === 0))
  operation.responses = Object.fromEntries([...described])
  for (const [status, examples] of problems) operation.responses[status] = withProblems(operation.responses[status], status, examples)
  for (const [status, response] of Object.entries(operation.responses)) describeHeaders(response, Number(status), facts)
  operation.parameters = [...(operation.parameters ?? []).map(optionalWithDefault), ...Object.keys(REQUEST_HEADERS).map((name) => ({ $ref: `#/components/parameters/${name}` }))]
}

/** The examples that responses() put there. */
function problemsIn ({ content = {} }: Response): Problem[] {
  return Object.values(content).flatMap(({ example, examples = {} }) => [example, ...Object.values(examples).map(({ value }) => value)]).filter(isProblem)
}

function isProblem (value: unknown): value is Problem {
  return typeof value === 'object' && value !== null && 'code' in value && 'request_id' in value
}

/** A status can have both: health answers 503 with a report of its own, and with a problem when something else is wrong. */
function withProblems (other: Response | undefined, status: number, examples: Problem[]): Response {
  const codes = examples.map(({ code }) => code)
  const description = `${STATUS_CODES[status]}: ${codes.map((code) => `\`${code}\``).join(', ')}.`
  const exact = { type: 'object', properties: { status: { type: 'integer', enum: [status] }, ...status === 500 ? {} : { code: { type: 'string', enum: codes } } } }
  const media = {
    schema: { allOf: [ProblemDetails, exact] },
    examples: Object.fromEntries(examples.map((value) => [value.code, { value }]))
  }
  return {
    ...other,
    description: other === undefined ? description : `${other.description} ${description}`,
    content: { ...other?.content, [PROBLEM_TYPE]: media }
  }
}

function describeHeaders (response: Response, status: number, { scope, limited }: OperationFacts): void {
  const names = new Set(['x-request-id', 'x-correlation-id', 'traceparent'])
  if (status >= 400) names.add('cache-control')
  if (status === 401 && scope !== null) names.add('www-authenticate')
  if (status === 429 || status === 503) names.add('retry-after')
  // What is refused earlier is not counted.
  if (limited && ![401, 403, 414].includes(status)) for (const name of ['limit', 'remaining', 'reset']) names.add(`x-ratelimit-${name}`)
  for (const name of Object.keys(response.headers ?? {})) if (name in HEADERS) names.add(name)
  const references = Object.fromEntries([...names].map((name) => [name, { $ref: `#/components/headers/${name}` }]))
  response.headers = { ...response.headers, ...references }
}

/** What has a default need not be sent. */
function optionalWithDefault<T extends Parameter | { $ref: string }> (parameter: T): T {
  return 'schema' in parameter && parameter.schema?.default !== undefined ? { ...parameter, required: false } : parameter
}
