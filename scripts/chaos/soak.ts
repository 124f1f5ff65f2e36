import { setTimeout as delay } from 'node:timers/promises'
import { Random } from '../../test/helpers/random.ts'
import type { Teardown } from '../../test/helpers/redis-server.ts'
import { temporaryDirectory } from '../../test/helpers/temporary.ts'
import { Ledger } from './ledger.ts'
import { Plan } from './plan.ts'
import type { WorldName } from './plan.ts'
import { World } from './world.ts'
import { Writers } from './writers.ts'

export interface SoakOptions {
  /** Of outage in fast motion. */
  hours: number
  /** Events per second, in real time; in fast motion what the hours amount to. */
  perSecond: number
  /** Of outage in real time. */
  minutes: number
  world: WorldName
}

export interface SoakSample { phase: 'start' | 'fast motion' | 'real time' | 'recovered', seconds: number, backlog: number, heapMib: number, rssMib: number }

export interface SoakResult { samples: SoakSample[], flat: boolean, conclusions: string[] }

/** What the heap may grow by for the whole outage (after collection). */
const HEAP_GROWTH_MIB = 16
const SAMPLE_MS = 5000
const FAST_PER_SECOND = 100_000
const DRAIN_TIMEOUT_MS = 300_000
const MIB = 2 ** 20

/** Redis is away, events keep coming, and the memory of the service that takes them is measured, with its garbage collected first. */
export async function soak (t: Teardown, options: SoakOptions, say: (sample: SoakSample) => void = () => {}): Promise<SoakResult> {
  const directory = await temporaryDirectory(t)
  const world = await World.start(t, soakPlan(options.world), directory)
  const ledger = new Ledger()
  const samples: SoakSample[] = []
  const begun = performance.now()
  const sample = async (phase: SoakSample['phase']) => {
    const taken = { phase, seconds: (performance.now() - begun) / 1000, ...await measure(world) }
    samples.push(taken)
    say(taken)
  }
  const write = async (phase: SoakSample['phase'], perSecond: number, done: () => boolean) => {
    const writers = new Writers({ world, ledger, random: new Random(1), perSecond, lanes: perSecond < 1000 ? 2 : 8 })
    writers.start()
    while (!done()) {
      await delay(SAMPLE_MS)
      await sample(phase)
    }
    await writers.stop()
  }
  await sample('start')
  await world.redis.master.kill()
  const inFastMotion = options.hours * 3600 * options.perSecond
  await write('fast motion', FAST_PER_SECOND, () => ledger.accepted >= inFastMotion)
  const realTimeEnds = performance.now() + options.minutes * 60_000
  await write('real time', options.perSecond, () => performance.now() >= realTimeEnds)
  await world.redis.master.restart()
  await drained(world)
  await sample('recovered')
  return conclude(samples, options)
}

/** One service, nobody consumes, nothing is pruned. */
function soakPlan (world: WorldName): Plan {
  return Object.assign(new Plan(2, world), { services: 1, leaseMs: 5000 })
}

async function measure ({ services: [service] }: World): Promise<Pick<SoakSample, 'backlog' | 'heapMib' | 'rssMib'>> {
  const response = await fetch(`${service!.url}/memory`, { signal: AbortSignal.timeout(30_000) })
  const { heapBytes } = await response.json() as { heapBytes: number }
  const state = await service!.state(30_000)
  return { backlog: state?.pendingRows ?? -1, heapMib: heapBytes / MIB, rssMib: (await service!.rssBytes() ?? 0) / MIB }
}

async function drained ({ services: [service] }: World): Promise<void> {
  const deadline = performance.now() + DRAIN_TIMEOUT_MS
  while ((await service!.state(30_000))?.pendingRows !== 0) {
    if (performance.now() > deadline) throw new Error(`the backlog was not in the queue within ${DRAIN_TIMEOUT_MS} ms`)
    await delay(200)
  }
}

function conclude (samples: SoakSample[], { hours, perSecond }: SoakOptions): SoakResult {
  const outage = samples.filter(({ phase }) => phase === 'fast motion' || phase === 'real time')
  // The first samples are those of a process that warms up.
  const warm = outage.slice(Math.floor(outage.length / 4))
  const heap = slopeOf(warm.map(({ backlog, heapMib }) => [backlog / 1e6, heapMib]))
  const growth = Math.max(...warm.map(({ heapMib }) => heapMib)) - warm[0]!.heapMib
  const realTime = samples.filter(({ phase }) => phase === 'real time')
  const hourly = slopeOf(realTime.map(({ seconds, rssMib }) => [seconds / 3600, rssMib]))
  const flat = growth <= HEAP_GROWTH_MIB
  return {
    samples,
    flat,
    conclusions: [
      `Backlog at most ${Math.max(...outage.map(({ backlog }) => backlog))} events, as ${hours} h at ${perSecond}/s leave.`,
      `Heap after collection: ${heap.toFixed(2)} MiB per million events waiting; growth at most ${growth.toFixed(1)} MiB (allowed ${HEAP_GROWTH_MIB}).`,
      `RSS at most ${Math.max(...outage.map(({ rssMib }) => rssMib)).toFixed(0)} MiB; in real time ${hourly.toFixed(1)} MiB per hour over ${realTime.length * SAMPLE_MS / 1000} s, extrapolated from a straight line.`,
      flat ? 'Flat.' : 'NOT FLAT'
    ]
  }
}

/** Of the straight line with the least squares. */
function slopeOf (points: [x: number, y: number][]): number {
  const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))]
  const spread = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
  return spread === 0 ? 0 : points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / spread
}
