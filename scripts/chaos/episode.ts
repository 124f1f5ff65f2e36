import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Teardown } from '../../test/helpers/redis-server.ts'
import { Random } from '../../test/helpers/random.ts'
import { inflict } from './faults.ts'
import { Ledger } from './ledger.ts'
import { CATALOGUE, describeStep, Plan } from './plan.ts'
import type { Step, WorldName } from './plan.ts'
import { settle } from './settle.ts'
import type { Settlement } from './settle.ts'
import { World } from './world.ts'
import { Writers } from './writers.ts'

/** When the faults end: after so many steps of the plan, seconds, or acknowledged events, whichever is given. */
export interface Goal { rounds?: number, seconds?: number, events?: number }

export interface EpisodeOptions {
  seed: number
  world: WorldName
  goal: Goal
  /** Upper bound of registrations per second. Default 4000. */
  perSecond?: number
  /** Without poison: for a relay that does not isolate it. Default true. */
  poison?: boolean
  say?: (line: string) => void
}

export interface EpisodeResult extends Settlement {
  seed: number
  world: WorldName
  settings: string
  accepted: number
  tried: number
  /** Of traffic and faults, without start and settlement. */
  seconds: number
  wholeSeconds: number
  steps: number
  faults: Record<string, number>
  /** Faults that could not be made to happen. */
  skipped: string[]
  maxRssMib: number
  /** Kept where there are problems. */
  directory: string | null
}

/** However slow the machine: nothing goes on for longer than this. */
const LONGEST_MS = 900_000

/** One world, one plan, one account. */
export async function episode (options: EpisodeOptions): Promise<EpisodeResult> {
  const tasks: (() => unknown)[] = []
  const directory = await mkdtemp(join(tmpdir(), `breakwater-chaos-${options.seed}-`))
  const run = new Episode(options, directory)
  // Whoever interrupts must not leave servers behind.
  const interrupt = () => { void cleanUp(tasks).finally(() => process.exit(1)) }
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  try {
    return await run.run({ teardown: (task) => { tasks.unshift(task) } })
  } catch (err) {
    throw new Error(`seed ${options.seed}, ${options.world}, at ${run.position}; logs in ${directory}`, { cause: err })
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
    await cleanUp(tasks)
  }
}

async function cleanUp (tasks: (() => unknown)[]): Promise<void> {
  for (const task of tasks.splice(0)) await task()
}

class Episode {
  position = 'start'
  readonly #options: EpisodeOptions
  readonly #directory: string
  readonly #plan: Plan
  readonly #ledger = new Ledger()
  readonly #poison = new Set<string>()
  readonly #faults: Record<string, number> = {}
  readonly #skipped: string[] = []
  readonly #log: string[] = []
  #steps = 0
  #maxRss = 0

  constructor (options: EpisodeOptions, directory: string) {
    this.#options = options
    this.#directory = directory
    this.#plan = new Plan(options.seed, options.world)
  }

  async run (t: Teardown): Promise<EpisodeResult> {
    const begun = performance.now()
    const { seed, world: worldName, perSecond = 4000 } = this.#options
    const plan = this.#plan
    this.#say(`seed ${seed}: ${plan.settings}`)
    const world = await World.start(t, plan, this.#directory)
    const writers = new Writers({ world, ledger: this.#ledger, random: new Random(seed), perSecond })
    const trafficBegan = performance.now()
    await this.#traffic(world, writers)
    const seconds = (performance.now() - trafficBegan) / 1000
    this.position = 'the settlement'
    const settlement = await settle({ t, world, writers, ledger: this.#ledger, poison: this.#poison, redeliveryExplained: this.#disturbed })
    const result: EpisodeResult = {
      seed,
      world: worldName,
      settings: plan.settings,
      accepted: this.#ledger.accepted,
      tried: this.#ledger.tried,
      seconds: round(seconds),
      wholeSeconds: round((performance.now() - begun) / 1000),
      steps: this.#steps,
      faults: this.#faults,
      skipped: this.#skipped,
      maxRssMib: Math.round(this.#maxRss / 2 ** 20),
      ...settlement,
      directory: settlement.problems.length === 0 ? null : this.#directory
    }
    await this.#keep(world, result)
    return result
  }

  get #disturbed (): boolean {
    return Object.keys(this.#faults).some((name) => !['service', 'database'].includes(CATALOGUE[name as keyof typeof CATALOGUE].kind))
  }

  async #traffic (world: World, writers: Writers): Promise<void> {
    const begun = performance.now()
    const sampler = setInterval(() => { void this.#sample(world) }, 500)
    writers.start()
    try {
      for (const step of this.#plan.steps()) {
        if (this.#done(performance.now() - begun)) break
        await delay(step.afterMs)
        await this.#take(step, world, writers)
      }
    } finally {
      clearInterval(sampler)
      await writers.stop()
    }
  }

  #done (elapsedMs: number): boolean {
    const { rounds = Infinity, seconds = Infinity, events = Infinity } = this.#options.goal
    return this.#steps >= rounds || elapsedMs >= seconds * 1000 || this.#ledger.accepted >= events || elapsedMs > LONGEST_MS
  }

  async #take (step: Step, world: World, writers: Writers): Promise<void> {
    this.position = describeStep(step)
    this.#say(this.position)
    this.#steps++
    const poisoning = step.poison && this.#options.poison !== false ? writers.poison(step.position, this.#poison) : null
    await Promise.all(step.faults.map(async (fault) => {
      this.#faults[fault.name] = (this.#faults[fault.name] ?? 0) + 1
      await inflict(world, fault).catch((err: unknown) => {
        this.#skipped.push(`${step.position} ${fault.name}: ${(err as Error).message}`)
      })
    }))
    await poisoning
    await world.revive()
  }

  async #sample (world: World): Promise<void> {
    for (const service of world.services) this.#maxRss = Math.max(this.#maxRss, await service.rssBytes() ?? 0)
  }

  #say (line: string): void {
    this.#log.push(`${new Date().toISOString()} ${line}`)
    this.#options.say?.(`${line} · ${this.#ledger.accepted} accepted`)
  }

  /** Logs, plan and the records of Redis stay where something is unaccounted for. */
  async #keep (world: World, result: EpisodeResult): Promise<void> {
    if (result.directory === null) return await rm(this.#directory, { recursive: true, force: true })
    await writeFile(join(this.#directory, 'plan.log'), this.#log.join('\n'))
    await writeFile(join(this.#directory, 'account.json'), JSON.stringify(result, null, 2))
    for (const [index, { directory }] of world.redis.segments.entries()) {
      await cp(join(directory, 'appendonlydir'), join(this.#directory, `redis-${index}`), { recursive: true })
    }
  }
}

function round (value: number): number { return Math.round(value * 10) / 10 }
