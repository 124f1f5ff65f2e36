import { Ajv2020 } from 'ajv/dist/2020.js'
import type { ValidateFunction } from 'ajv'
import { STANDARD_HEADERS } from '../../services/http/contract/headers.ts'

/** One exchange, wherever it was overheard. */
export interface Exchange { method: string, url: string, status: number, headers: Record<string, unknown>, body: string }

interface Operation { method: string, path: string, pattern: RegExp, responses: Record<string, any> }

/** Holds answers against an OpenAPI document, and remembers what was seen of it. */
export class ApiContract {
  /** `POST /models 409 FST_BRK_MODEL_EXISTS`; without a code where the answer is no problem. */
  readonly seen = new Set<string>()
  /** What answers did that the document does not say. */
  readonly differences = new Set<string>()
  readonly #operations: Operation[]
  readonly #document: any
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true })
  readonly #validators = new Map<string, ValidateFunction>()

  constructor (document: any) {
    this.#document = document
    this.#ajv.addSchema({ ...document, $id: 'api' })
    this.#operations = Object.entries<Record<string, any>>(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, { responses }]) => ({
      method: method.toUpperCase(), path, pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}/?$`), responses
    })))
    // A literal path wins over one with a parameter, as it does in the router.
    this.#operations.sort((a, b) => a.path.split('{').length - b.path.split('{').length)
  }

  /** Everything that the document promises: `METHOD path status`, and once more with each code. */
  promised (): string[] {
    return this.#operations.flatMap(({ method, path, responses }) => Object.entries(responses).flatMap(([status, { content }]) => {
      const place = `${method} ${path} ${status}`
      return Object.entries<any>(content).flatMap(([type, { examples = {} }]) => type.includes('problem') ? Object.keys(examples).map((code) => `${place} ${code}`) : [place])
    }))
  }

  /** What belongs to no operation, such as a 404 for an unknown path, is not looked at. */
  hear ({ method, url, status, headers, body }: Exchange): void {
    const path = url.replace(/^https?:\/\/[^/]+/, '').split('?', 1)[0]!
    const operation = this.#operations.find((candidate) => candidate.method === method && candidate.pattern.test(path))
    if (operation === undefined) return
    const type = String(headers['content-type']).split(';', 1)[0]!
    const problem = type === 'application/problem+json' ? ` ${JSON.parse(body).code}` : ''
    const place = `${method} ${operation.path} ${status}`
    this.seen.add(place + problem)
    for (const difference of this.#compare(operation, status, type, headers, body)) this.differences.add(`${place}: ${difference}`)
  }

  #compare (operation: Operation, status: number, type: string, headers: Exchange['headers'], body: string): string[] {
    const response = operation.responses[status]
    if (response === undefined) return ['the status is not described']
    const differences = this.#compareHeaders(response.headers ?? {}, headers)
    if (response.content?.[type] === undefined) return [...differences, `the type ${type} is not described`]
    const at = ['paths', operation.path, operation.method.toLowerCase(), 'responses', String(status), 'content', type, 'schema']
    return [...differences, ...this.#invalid(at, type.endsWith('json') ? JSON.parse(body) : body)]
  }

  #compareHeaders (described: Record<string, any>, sent: Exchange['headers']): string[] {
    const differences = Object.keys(sent).filter((name) => sent[name] !== undefined && !(name in described) && !STANDARD_HEADERS.includes(name)).map((name) => `${name} is not described`)
    for (const [name, reference] of Object.entries(described)) {
      const { required } = this.#resolve(reference)
      const value = sent[name]
      if (value === undefined && required === true) differences.push(`${name} is missing`)
      if (value !== undefined) differences.push(...this.#invalid(['components', 'headers', name, 'schema'], /^\d+$/.test(String(value)) && name !== 'x-request-id' ? Number(value) : value))
    }
    return differences
  }

  #resolve ({ $ref, ...rest }: { $ref?: string }): any {
    return $ref === undefined ? rest : $ref.slice(2).split('/').reduce((node: any, key) => node[key], this.#document)
  }

  #invalid (at: string[], value: unknown): string[] {
    const pointer = at.map((key) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')
    const validate = this.#validators.get(pointer) ?? this.#ajv.compile({ $ref: `api#/${pointer}` })
    this.#validators.set(pointer, validate)
    return validate(value) ? [] : validate.errors!.map(({ instancePath, message }) => `${at.slice(-2)[0]} ${instancePath} ${message}`)
  }
}
