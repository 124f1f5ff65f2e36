import { setTimeout as delay } from 'node:timers/promises'
import { ask, jsonOf } from '../request.ts'
import { failed, passed, skipped } from './check.ts'
import type { Check, Target } from './check.ts'
import type { EventWatch } from './event-watch.ts'
import { checkHealth } from './health-checks.ts'
import { registerThrowaway } from './registration.ts'
import type { Registered } from './registration.ts'

/** Runs a command of the user. Resolves with null, or with why it failed. Never rejects. */
export type RunCommand = (command: string) => Promise<string | null>

export interface DrillOptions {
  target: Target
  /** Cuts the service off from Redis. */
  begin: string
  /** Ends that. It runs in any case, also after an interruption. */
  end: string
  run: RunCommand
  /** For health to notice the outage, and for it to notice the end. */
  timeoutMs: number
  tokenId: string
  watch: EventWatch
  onProgress: (line: string) => void
}

const REGISTRATIONS = 3
const LOOK_EVERY_MS = 200

/**
 * An outage of Redis, made on purpose: health must notice and stay 200, registrations must go on, and afterwards their events must
 * arrive. Never rejects.
 */
export async function runDrill (options: DrillOptions): Promise<Check[]> {
  const { begin, end, run, onProgress } = options
  onProgress(`outage begins: ${begin}; if this process dies, end it by hand: ${end}`)
  const began = await run(begin)
  const during = began === null ? await outage(options) : { checks: [], registered: [] }
  onProgress(`outage ends: ${end}`)
  const ended = await run(end)
  const commands = [verdict('drill: begin', began), ...during.checks, verdict('drill: end', ended)]
  if (began !== null || ended !== null) return commands
  return [...commands, ...await afterwards(options, during.registered)]
}

async function outage ({ target, timeoutMs, tokenId }: DrillOptions): Promise<{ checks: Check[], registered: Registered[] }> {
  const noticed = await untilHealth(target, timeoutMs, (status, redis) => status === 'degraded' && redis === 'failed')
  const checks = [noticed === true ? passed('drill: outage noticed', 'degraded, redis failed') : failed('drill: outage noticed', `not degraded by Redis within ${timeoutMs / 1000} s: ${noticed}`)]
  if (noticed !== true) return { checks, registered: [] }
  const registered: Registered[] = []
  for (let number = 1; number <= REGISTRATIONS; number++) {
    const one = await registerThrowaway(target, { tokenId, label: `drill: POST /models ${number}` })
    checks.push(one.check)
    if (one.registered !== null) registered.push(one.registered)
  }
  for (const check of await checkHealth(target)) {
    // Degraded is what it must be now.
    checks.push({ ...check, name: `drill: ${check.name}`, verdict: check.verdict === 'warn' ? 'pass' : check.verdict })
  }
  return { checks, registered }
}

async function afterwards ({ target, timeoutMs, watch }: DrillOptions, registered: Registered[]): Promise<Check[]> {
  const recovered = await untilHealth(target, timeoutMs, (_status, redis) => redis === 'ok')
  const check = recovered === true ? passed('drill: recovered', 'redis ok') : failed('drill: recovered', `Redis not ok within ${timeoutMs / 1000} s: ${recovered}`)
  const events = await Promise.all(registered.map(async (one, index) => {
    const name = `drill: event ${index + 1}`
    return target.signal.aborted ? skipped(name, 'interrupted') : await watch.see(one, name)
  }))
  return [check, ...events]
}

/** @returns true, or the last answer */
async function untilHealth ({ url, timeoutMs: requestTimeoutMs, signal }: Target, timeoutMs: number, wanted: (status: unknown, redis: unknown) => boolean): Promise<true | string> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    let seen: string
    try {
      const { status: code, body } = await ask({ url: `${url}/health`, timeoutMs: requestTimeoutMs, signal })
      const { status, checks } = jsonOf(body) ?? {}
      const { redis } = (checks ?? {}) as { redis?: unknown }
      if (code === 200 && wanted(status, redis)) return true
      seen = `${code} ${String(status)}, redis ${String(redis)}`
    } catch (err) {
      seen = (err as Error).message
    }
    if (performance.now() > deadline || signal.aborted) return seen
    await delay(LOOK_EVERY_MS, undefined, { signal }).catch(() => {})
  }
}

function verdict (name: string, failure: string | null): Check {
  return failure === null ? passed(name, 'done') : failed(name, failure)
}
