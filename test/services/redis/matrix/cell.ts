import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { RedisGuard } from '../../../../services/redis/guard.ts'
import type { Teardown } from '../../../helpers/redis-server.ts'
import { until } from '../../../helpers/until.ts'
import { Account } from './account.ts'
import type { Call } from './account.ts'
import { compareWithExpectation } from './expectations.ts'
import type { Fault } from './faults.ts'
import type { Situation } from './situations.ts'
import { Subject } from './subject.ts'
import type { Topology, World } from './worlds.ts'

export interface Bounds {
  /** Of the guard; the defaults of the service, unless a test is in a hurry. */
  commandTimeoutMs: number
  connectTimeoutMs: number
  /** What a command may take beyond its deadline. */
  airMs: number
  /** After an outage of less than two seconds, and of more. */
  recoveryMs: { short: number, long: number }
  closeMs: number
}

export interface CellResult {
  topology: Topology
  fault: string
  situation: string
  outageMs: number
  /** Of what was on its way, or came first; empty where nothing failed. */
  codes: string[]
  /** Of all others during the outage. */
  laterCodes: string[]
  /** Of the slowest command that failed, in ms beyond its deadline; negative: before it. */
  errorMs: number | null
  recoveryMs: number
  /** Until a subscriber hears something again. */
  deliveredMs: number | null
  closeMs: number
  /** How long this process was held up, so that it could not measure. */
  stallMs: number
  /** Empty: passed. */
  problems: string[]
}

const RECOVERY_LIMIT_MS = 10_000
const STEP_MS = 15
const SHORT_MS = 2000
let sequence = 0

/** One fault in one situation, from a healthy guard through the outage to a healthy guard, and then the books are compared. */
export async function runCell (t: Teardown, world: World, fault: Fault, situation: Situation, outageMs: number, bounds: Bounds): Promise<CellResult> {
  const { commandTimeoutMs, connectTimeoutMs } = bounds
  const account = new Account(world.key(`cell:${++sequence}`), commandTimeoutMs)
  const guard = new RedisGuard({ ...world.guardOptions(fault.needs === 'names'), name: 'matrix', commandTimeoutMs, connectTimeoutMs })
  const subject = new Subject(world, guard, account, commandTimeoutMs)
  const lag = monitorEventLoopDelay({ resolution: 5 })
  try {
    await untilUsable(subject)
    await fault.prepare?.(world, t)
    await situation.arrange?.(subject)
    lag.enable()
    const launched = await launch(subject, situation, fault)
    const outage = await suffer(subject, fault, situation, outageMs, launched)
    const stallMs = lag.max / 1e6
    lag.disable()
    await until(() => account.calls.every(({ endedAt }) => endedAt !== null), commandTimeoutMs + 2000).catch(() => {})
    const closeMs = await timed(() => guard.close())
    await fault.restore?.(world)
    // What was on its way to the server is there by now.
    await delay(20)
    const recovery = Math.max(outage.recoveryMs, subject.deliveredMs ?? 0)
    const problems = [
      ...outage.problems, ...account.settled(bounds.airMs), ...await account.compare(await world.primary()),
      ...compareWithExpectation({ world, fault, situation, ...outage, calls: account.calls, launched, subject }),
      ...recovery > (outage.lastedMs < SHORT_MS ? bounds.recoveryMs.short : bounds.recoveryMs.long) ? [`slow: recovered after ${recovery.toFixed(0)} ms`] : [],
      ...closeMs > bounds.closeMs ? [`slow: closed after ${closeMs.toFixed(0)} ms`] : []
    ]
    return {
      topology: world.topology,
      fault: fault.name,
      situation: situation.name,
      outageMs: outage.lastedMs,
      ...summary(account.calls, launched),
      recoveryMs: outage.recoveryMs,
      deliveredMs: subject.deliveredMs,
      closeMs,
      stallMs,
      problems: [...new Set(problems)]
    }
  } finally {
    lag.disable()
    await guard.close()
  }
}

async function untilUsable ({ guard }: Subject): Promise<void> {
  await until(() => guard.isHealthy() && guard.shards().every(({ connection }) => connection === 'ready'))
}

/** What is on its way when it happens: one half has been executed, and its replies are held up; the other half is not there yet. */
async function launch (subject: Subject, situation: Situation, fault: Fault): Promise<Call[]> {
  const { world: { proxies } } = subject
  if (situation.launch === undefined) return []
  const launched: Call[] = []
  const heard = () => proxies.reduce((sum, proxy) => sum + proxy.heard, 0)
  for (const hold of fault.path === true ? ['stall-replies', 'stall'] as const : ['stall'] as const) {
    for (const proxy of proxies) proxy.fault = hold
    const before = heard()
    launched.push(...situation.launch(subject))
    await until(() => heard() > before)
    await delay(5)
  }
  return launched
}

interface Outage {
  lastedMs: number
  recoveryMs: number
  /** What the guard said that it was, in the course of it; null: nothing. */
  kinds: ReadonlySet<string | null>
  /** Calls that began in the outage and ended in it. */
  during: Call[]
  problems: string[]
}

async function suffer (subject: Subject, fault: Fault, situation: Situation, outageMs: number, launched: Call[]): Promise<Outage> {
  const { world, account } = subject
  const struckAt = performance.now()
  await fault.begin(world, outageMs)
  const beganAt = performance.now()
  if (fault.path !== true && launched.length > 0) for (const proxy of world.proxies) proxy.fault = 'pass'
  const probes = new Probes(subject)
  try {
    if (fault.endsItself !== true) await delay(outageMs)
    const endingAt = performance.now()
    await fault.end(world)
    const endedAt = performance.now()
    probes.look()
    const { kinds } = probes
    subject.recovered = until(() => probes.haveSucceededSince(endedAt), RECOVERY_LIMIT_MS)
    const [recovered, problems] = await Promise.all([
      subject.recovered.then(() => true, () => false), situation.conclude?.(subject, endedAt) ?? []
    ])
    const during = account.calls.filter((call) => call.startedAt >= beganAt && call.endedAt !== null && call.endedAt < (fault.endsItself === true ? endedAt : endingAt))
    const recoveryMs = recovered ? probes.firstSuccess(endedAt) - endedAt : Infinity
    return { lastedMs: endedAt - struckAt, recoveryMs, kinds: new Set(kinds), during, problems }
  } finally {
    probes.stop()
  }
}

/** A reader and a writer that ask again and again, whatever comes of it. */
class Probes {
  readonly #writes: Call[] = []
  readonly #reads: Call[] = []
  readonly kinds = new Set<string | null>()
  readonly #guard: RedisGuard
  readonly #timer: NodeJS.Timeout

  constructor (subject: Subject) {
    this.#guard = subject.guard
    const step = () => {
      this.look()
      this.#writes.push(subject.write())
      this.#reads.push(subject.read())
    }
    step()
    this.#timer = setInterval(step, STEP_MS)
  }

  look (): void {
    this.kinds.add(this.#guard.lastError?.kind ?? null)
  }

  haveSucceededSince (since: number): boolean {
    return Number.isFinite(this.firstSuccess(since))
  }

  /** When both were answered. */
  firstSuccess (since: number): number {
    const first = (calls: Call[]) => Math.min(...calls.filter((call) => call.startedAt >= since && call.endedAt !== null && call.failure === null).map(({ endedAt }) => endedAt!))
    return Math.max(first(this.#writes), first(this.#reads))
  }

  stop (): void {
    clearInterval(this.#timer)
  }
}

function summary (calls: readonly Call[], launched: readonly Call[]): Pick<CellResult, 'codes' | 'laterCodes' | 'errorMs'> {
  const failed = calls.filter(({ failure }) => failure !== null)
  const first = launched.length > 0 ? launched.filter(({ failure }) => failure !== null) : failed.slice(0, 1)
  const codesOf = (some: readonly Call[]) => [...new Set(some.map(({ failure }) => failure!.code))]
  const codes = codesOf(first)
  const excess = failed.flatMap(({ limitMs, startedAt, endedAt }) => limitMs === null ? [] : [endedAt! - startedAt - limitMs])
  return { codes, laterCodes: codesOf(failed).filter((code) => !codes.includes(code)), errorMs: excess.length === 0 ? null : Math.max(...excess) }
}

async function timed (run: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await run()
  return performance.now() - startedAt
}
