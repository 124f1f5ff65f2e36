import { jsonOf } from '../request.ts'
import type { Reply } from '../request.ts'

/** `warn`: it works, and somebody should look. `skip`: it was not asked for, or could not be, because of one before it. */
export type Verdict = 'pass' | 'warn' | 'fail' | 'skip'

/** One line of the report. */
export interface Check {
  name: string
  verdict: Verdict
  /** What was seen, for people. */
  detail: string
  latencyMs: number | null
}

export interface Target {
  /** Of the service, without a slash at its end. */
  url: string
  apiKey: string | null
  /** Of each request. */
  timeoutMs: number
  signal: AbortSignal
}

/** Shown of a body that was not what was expected. */
const LONGEST_SHOWN = 200

export function passed (name: string, detail: string, latencyMs: number | null = null): Check {
  return { name, verdict: 'pass', detail, latencyMs }
}

export function warned (name: string, detail: string, latencyMs: number | null = null): Check {
  return { name, verdict: 'warn', detail, latencyMs }
}

export function failed (name: string, detail: string, latencyMs: number | null = null): Check {
  return { name, verdict: 'fail', detail, latencyMs }
}

export function skipped (name: string, detail: string): Check {
  return { name, verdict: 'skip', detail, latencyMs: null }
}

/** Both forms of the header work; this one survives proxies that use the other for themselves. */
export function keyHeader (apiKey: string | null): Record<string, string> {
  return apiKey === null ? {} : { 'x-api-key': apiKey }
}

/** `503 FST_BRK_… detail` of a problem, else the beginning of the body. */
export function describe ({ status, body }: Reply): string {
  const { code, detail } = jsonOf(body) ?? {}
  const rest = typeof code === 'string' ? `${code}${typeof detail === 'string' ? `: ${detail}` : ''}` : body
  return `${status} ${rest}`.trim().slice(0, LONGEST_SHOWN)
}
