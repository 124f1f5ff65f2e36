import type { Logger } from '../observability/logger.ts'
import { Sampler } from '../resilience/sampler.ts'
import { assertUsable, kindOf } from './check.ts'
import type { CheckResult, CheckStatus, HealthCheck, ReadCheck, SampledCheck } from './check.ts'
import { HealthCheckExists } from './errors.ts'
import { summarise } from './snapshot.ts'
import type { CheckSnapshot, HealthSnapshot, HealthVerdict } from './snapshot.ts'

export interface HealthRegistryOptions {
  logger: Logger
  /** Monotonic milliseconds. Default `performance.now`. */
  clock?: () => number
  /** For the samplers' jitter. Default `Math.random`. */
  random?: () => number
  /** How often synchronous checks are looked at so that their transitions are logged without a request. Default 1000. */
  observeMs?: number
}

type Reading = CheckResult & { ageMs: number | null, latencyMs: number | null }

interface Entry {
  check: HealthCheck
  read: () => Reading
  /** The status of `read()`, for a fraction of its price. */
  look: () => CheckStatus
  sampler: Sampler<unknown> | null
  status: CheckStatus | null
  transitions: number
}

/**
 * Knows how the service's dependencies are. Checks run in the background; `snapshot()` only reads what they found,
 * so that asking for health can neither wait for a dependency nor burden it.
 */
export class HealthRegistry {
  readonly #options: HealthRegistryOptions
  readonly #entries = new Map<string, Entry>()
  #timer: NodeJS.Timeout | null = null
  #draining = false
  /** Null: something has changed since the last one. */
  #verdict: HealthVerdict | null = null

  constructor (options: HealthRegistryOptions) {
    this.#options = options
  }

  /** @throws FST_BRK_HEALTH_CHECK_EXISTS, FST_BRK_HEALTH_CHECK_INVALID */
  register (check: HealthCheck): void {
    assertUsable(check)
    if (this.#entries.has(check.name)) throw new HealthCheckExists(check.name)
    const entry = 'read' in check ? readEntry(check) : this.#sampledEntry(check)
    this.#entries.set(check.name, entry)
    this.#verdict = null
    if (this.#timer !== null) entry.sampler?.start()
  }

  start (): void {
    if (this.#timer !== null) return
    this.#timer = setInterval(() => { this.#observeAll() }, this.#options.observeMs ?? 1000).unref()
    for (const { sampler } of this.#entries.values()) sampler?.start()
  }

  stop (): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    for (const { sampler } of this.#entries.values()) sampler?.stop()
  }

  /** From now on the service is not ready, whatever its checks say: it will close soon. */
  drain (): void {
    this.#draining = true
    this.#verdict = null
  }

  /** Synchronous, without I/O, in microseconds. */
  snapshot (): HealthSnapshot {
    return summarise(Object.fromEntries(this.#observeAll()), this.#draining)
  }

  /** The public part of {@link HealthRegistry.snapshot}, as fresh, but made only when a status has changed: for answers to probes. */
  verdict (): HealthVerdict {
    for (const entry of this.#entries.values()) {
      if (entry.look() !== entry.status) this.#observe(entry)
    }
    this.#verdict ??= this.#judge()
    return this.#verdict
  }

  #judge (): HealthVerdict {
    const { status, ready, inService, reason, checks } = this.snapshot()
    return { status, ready, inService, reason, checks: Object.fromEntries(Object.entries(checks).map(([name, check]) => [name, check.status])) }
  }

  #sampledEntry (check: SampledCheck): Entry {
    const { name, check: run, intervalMs, timeoutMs } = check
    const { clock, random } = this.#options
    const onResult = () => { this.#observe(entry) }
    const sampler = new Sampler<unknown>({ name, check: run, intervalMs, timeoutMs, clock, random, onResult })
    const entry: Entry = { check, sampler, read: () => fromSampler(sampler, check.describe), look: () => sampler.status, status: null, transitions: 0 }
    return entry
  }

  #observeAll (): [string, CheckSnapshot][] {
    return Array.from(this.#entries, ([name, entry]) => [name, this.#observe(entry)])
  }

  #observe (entry: Entry): CheckSnapshot {
    const { check } = entry
    const reading = entry.read()
    if (reading.status !== entry.status) this.#transition(entry, reading)
    return {
      status: reading.status,
      critical: check.critical,
      shedsLoad: check.shedsLoad ?? true,
      ageMs: reading.ageMs,
      latencyMs: reading.latencyMs,
      kind: reading.kind ?? null,
      details: reading.details ?? null,
      transitions: entry.transitions,
      notReadyReason: check.notReadyReason ?? null
    }
  }

  #transition (entry: Entry, { status, kind, error }: Reading): void {
    const from = entry.status
    entry.status = status
    this.#verdict = null
    // Never looked at is where every sampled check begins: no news.
    if (from === null && status === 'unknown') return
    const first = from === null || (from === 'unknown' && entry.transitions === 0)
    entry.transitions += 1
    const { name, critical } = entry.check
    const level = levelOf(status, critical, first)
    this.#options.logger[level]({ check: name, critical, from, to: status, ...(kind && { kind }), ...(error && { err: error }) },
      `health check ${name}: ${from ?? 'unknown'} → ${status}`)
  }
}

function levelOf (status: CheckStatus, critical: boolean, first: boolean): 'debug' | 'info' | 'warn' | 'error' {
  if (status === 'failed') return critical ? 'error' : 'warn'
  if (status === 'unknown') return 'warn'
  return first ? 'debug' : 'info'
}

function readEntry (check: ReadCheck): Entry {
  const read = (): Reading => {
    try {
      return { ...check.read(), ageMs: 0, latencyMs: null }
    } catch (err) {
      const error = err instanceof Error ? err : new Error(String(err))
      return { status: 'failed', kind: kindOf(error), error, ageMs: 0, latencyMs: null }
    }
  }
  const look = (): CheckStatus => {
    try {
      return check.read().status
    } catch {
      return 'failed'
    }
  }
  return { check, sampler: null, read, look, status: null, transitions: 0 }
}

function fromSampler (sampler: Sampler<unknown>, describe: SampledCheck['describe']): Reading {
  const { status, value, error, ageMs, latencyMs } = sampler.current
  const seen = ageMs !== Infinity
  return {
    status,
    ageMs: seen ? ageMs : null,
    latencyMs: seen ? latencyMs : null,
    ...(status === 'failed' ? { kind: kindOf(error) } : {}),
    ...(error === null ? {} : { error }),
    ...(typeof value === 'object' && value !== null ? { details: { ...value, ...describe?.() } } : describe === undefined ? {} : { details: describe() })
  }
}
