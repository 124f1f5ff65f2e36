import { ask } from '../request.ts'
import { describe, failed, keyHeader, passed, skipped } from './check.ts'
import type { Check, Target } from './check.ts'

/** One more request, given by the user. */
export interface SmokeCheck {
  name: string
  method: string
  /** Absolute, or a path of the service. */
  url: string
  headers: Record<string, string>
  /** Header → name of the environment variable that holds its value. */
  headersFromEnv: Record<string, string>
  body: string | null
  status: number
  /** A regular expression that the body must match. */
  matches: RegExp | null
  /** Null: that of the run. */
  timeoutMs: number | null
}

/** One after another, in the order given. Never rejects. */
export async function runSmokeChecks (target: Target, checks: SmokeCheck[], env: NodeJS.ProcessEnv): Promise<Check[]> {
  const results: Check[] = []
  for (const check of checks) results.push(target.signal.aborted ? skipped(check.name, 'interrupted') : await runOne(target, check, env))
  return results
}

async function runOne (target: Target, check: SmokeCheck, env: NodeJS.ProcessEnv): Promise<Check> {
  const { name, method, status, matches } = check
  const url = new URL(check.url, `${target.url}/`)
  const headers = headersOf(target, check, url, env)
  if (typeof headers === 'string') return failed(name, headers)
  try {
    const reply = await ask({ url: url.href, method, headers, body: check.body ?? undefined, timeoutMs: check.timeoutMs ?? target.timeoutMs, signal: target.signal })
    if (reply.status !== status) return failed(name, `${describe(reply)} instead of ${status}`, reply.latencyMs)
    if (matches !== null && !matches.test(reply.body)) return failed(name, `${describe(reply)}: the body does not match ${matches.source}`, reply.latencyMs)
    return passed(name, `${method} ${url.pathname} → ${status}`, reply.latencyMs)
  } catch (err) {
    return failed(name, (err as Error).message)
  }
}

/** The service's key goes to the service only. */
function headersOf (target: Target, check: SmokeCheck, url: URL, env: NodeJS.ProcessEnv): Record<string, string> | string {
  const own = url.origin === new URL(target.url).origin ? keyHeader(target.apiKey) : {}
  const secret: Record<string, string> = {}
  for (const [header, variable] of Object.entries(check.headersFromEnv)) {
    const value = env[variable]
    if (value === undefined || value === '') return `the variable ${variable}, which holds the header ${header}, is not set`
    secret[header] = value
  }
  return { ...own, ...check.headers, ...secret }
}
