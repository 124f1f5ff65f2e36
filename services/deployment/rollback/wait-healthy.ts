import { setTimeout as delay } from 'node:timers/promises'
import { ask, jsonOf } from '../request.ts'

export interface HealthResult {
  ok: boolean
  /** `healthy`, `degraded`, `unhealthy`, or null where the answer does not say. */
  status: string | null
  /** The last answer, for people. */
  detail: string
  attempts: number
}

export interface HealthOptions {
  url: string
  timeoutMs: number
  intervalMs: number
  signal: AbortSignal
  onProgress: (line: string) => void
}

/** A load balancer asks another task each time: one good answer says little. */
const GOOD_IN_A_ROW = 3
/** What the health routes promise. */
const REQUEST_TIMEOUT_MS = 5000

/** Asks until three answers in a row are 200, or the time is over. Never rejects. */
export async function waitHealthy ({ url, timeoutMs, intervalMs, signal, onProgress }: HealthOptions): Promise<HealthResult> {
  const deadline = performance.now() + timeoutMs
  let good = 0
  let last: Omit<HealthResult, 'attempts'> = { ok: false, status: null, detail: 'not asked' }
  for (let attempts = 1; ; attempts++) {
    const before = last.detail
    last = await askOnce(url, signal)
    good = last.ok ? good + 1 : 0
    if (last.detail !== before) onProgress(`health: ${last.detail}`)
    if (good === GOOD_IN_A_ROW) return { ...last, attempts }
    if (performance.now() > deadline || signal.aborted) return { ...last, ok: false, attempts }
    await delay(intervalMs, undefined, { signal }).catch(() => {})
  }
}

async function askOnce (url: string, signal: AbortSignal): Promise<Omit<HealthResult, 'attempts'>> {
  try {
    const { status: code, body } = await ask({ url, timeoutMs: REQUEST_TIMEOUT_MS, signal })
    const { status } = jsonOf(body) ?? {}
    const word = typeof status === 'string' ? status.slice(0, 40) : null
    return { ok: code === 200 && word !== 'unhealthy', status: word, detail: `${code}${word === null ? '' : ` ${word}`}` }
  } catch (err) {
    return { ok: false, status: null, detail: (err as Error).message }
  }
}
