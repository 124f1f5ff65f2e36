import type { SmokeCheck } from './smoke.ts'

/** `name=POST https://host/path {"json":1} -> 200 body~regex`; everything but name and URL has a default. */
const LINE = /^(?<name>[^=]{1,80})=(?:(?<method>[A-Z]{3,7}) )?(?<url>(?:https?:\/\/|\/)\S*)(?: (?<body>[^\s-].*?|-\d\S*))?(?: -> (?<status>[1-5]\d\d)(?: body~(?<pattern>.+))?)?$/s
const KEYS = ['name', 'method', 'url', 'headers', 'headers_from_env', 'body', 'status', 'body_matches', 'timeout_ms']

/** @throws a sentence for people */
export function readSmokeLine (line: string): SmokeCheck {
  const { name, method, url, body = null, status = '200', pattern = null } = LINE.exec(line.trim())?.groups ?? {}
  if (name === undefined || url === undefined) throw new Error(`--check ${JSON.stringify(line)} does not read as: name=METHOD URL {json} -> STATUS body~regex`)
  if (body !== null) parse(body, `The body of the check ${name}`)
  return {
    name: name.trim(),
    method: method ?? (body === null ? 'GET' : 'POST'),
    url,
    headers: {},
    headersFromEnv: {},
    body,
    status: Number(status),
    matches: pattern === null ? null : regexOf(pattern, name),
    timeoutMs: null
  }
}

/** A JSON list of objects with the keys that docs/deployment.md lists. @throws a sentence for people */
export function readSmokeFile (text: string, file: string): SmokeCheck[] {
  const value = parse(text, file)
  if (!Array.isArray(value)) throw new Error(`${file} must hold a list of checks`)
  return value.map((entry, index) => readEntry(entry, `${file}, check ${index + 1}`))
}

function readEntry (entry: unknown, place: string): SmokeCheck {
  if (typeof entry !== 'object' || entry === null) throw new Error(`${place} must be an object`)
  const values = entry as Record<string, unknown>
  const unknown = Object.keys(values).find((key) => !KEYS.includes(key))
  if (unknown !== undefined) throw new Error(`${place} has an unknown key ${JSON.stringify(unknown)}; there are ${KEYS.join(', ')}`)
  const { name, url, body, body_matches: pattern, headers = {}, headers_from_env: headersFromEnv = {}, status = 200, timeout_ms: timeoutMs = null } = values
  const method = values.method ?? (body === undefined ? 'GET' : 'POST')
  const rules: [string, boolean][] = [
    ['name must be a text', isText(name)],
    ['url must be an http or https URL, or a path', isText(url) && /^(https?:\/\/|\/)/.test(url)],
    ['method must be one of HTTP', isText(method) && /^[A-Z]{3,7}$/.test(method)],
    ['status must be 100 to 599', Number.isInteger(status) && Number(status) >= 100 && Number(status) <= 599],
    ['timeout_ms must be a number above 0', timeoutMs === null || (Number(timeoutMs) > 0 && Number(timeoutMs) < 2 ** 31)],
    ['body_matches must be a text', pattern === undefined || isText(pattern)],
    ['headers and headers_from_env must hold texts', isTexts(headers) && isTexts(headersFromEnv)]
  ]
  const broken = rules.find(([, good]) => !good)
  if (broken !== undefined) throw new Error(`${place}: ${broken[0]}`)
  return {
    name: name as string,
    method: method as string,
    url: url as string,
    headers: headers as Record<string, string>,
    headersFromEnv: headersFromEnv as Record<string, string>,
    body: body === undefined ? null : JSON.stringify(body),
    status: Number(status),
    matches: pattern === undefined ? null : regexOf(pattern as string, name as string),
    timeoutMs: timeoutMs as number | null
  }
}

function regexOf (pattern: string, name: string): RegExp {
  try {
    return new RegExp(pattern, 's')
  } catch (err) {
    throw new Error(`The check ${name}: ${(err as Error).message}`)
  }
}

function parse (text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch (err) {
    throw new Error(`${what} is not JSON: ${(err as Error).message}`)
  }
}

function isText (value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isTexts (value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.values(value).every((one) => typeof one === 'string')
}
