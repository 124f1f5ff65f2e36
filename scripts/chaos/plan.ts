import { Random } from '../../test/helpers/random.ts'

export type WorldName = 'postgres' | 'sqlite'
/** Two faults that come together are never of one kind: they would undo each other. */
export type Kind = 'service' | 'redis' | 'line' | 'database' | 'consumer'

interface Entry {
  kind: Kind
  weight: number
  world?: WorldName
  /** Redis forgets what it has acknowledged, all of it: only where the journal retains everything. */
  forgets?: true
}

/** Every fault, how often it comes, and where it makes sense. */
export const CATALOGUE = {
  'kill service': { kind: 'service', weight: 3 },
  'kill leader': { kind: 'service', weight: 3 },
  'kill all services': { kind: 'service', weight: 1 },
  'freeze service': { kind: 'service', weight: 2 },
  'freeze leader': { kind: 'service', weight: 3 },
  'drain service': { kind: 'service', weight: 2 },
  'rolling restart': { kind: 'service', weight: 1 },
  'clock step': { kind: 'service', weight: 2 },
  'disk full': { kind: 'service', weight: 2, world: 'sqlite' },
  'kill Redis': { kind: 'redis', weight: 2 },
  'freeze Redis': { kind: 'redis', weight: 2 },
  'failover with lag': { kind: 'redis', weight: 4 },
  'read-only Redis': { kind: 'redis', weight: 1 },
  'out of memory': { kind: 'redis', weight: 1 },
  'scripts flushed': { kind: 'redis', weight: 1 },
  'loading Redis': { kind: 'redis', weight: 1 },
  'saves fail': { kind: 'redis', weight: 1 },
  'replicas missing': { kind: 'redis', weight: 1 },
  'flush Redis': { kind: 'redis', weight: 2, forgets: true },
  'Redis returns empty': { kind: 'redis', weight: 1, forgets: true },
  'replies dropped': { kind: 'line', weight: 3 },
  blackhole: { kind: 'line', weight: 2 },
  'replies swallowed': { kind: 'line', weight: 2 },
  'requests swallowed': { kind: 'line', weight: 1 },
  stall: { kind: 'line', weight: 2 },
  'commands arrive late': { kind: 'line', weight: 4 },
  'hang up': { kind: 'line', weight: 1 },
  'kill database': { kind: 'database', weight: 2, world: 'postgres' },
  'freeze database': { kind: 'database', weight: 2, world: 'postgres' },
  'kill consumer': { kind: 'consumer', weight: 3 },
  'freeze consumer': { kind: 'consumer', weight: 2 },
  'drain consumer': { kind: 'consumer', weight: 2 }
} as const satisfies Record<string, Entry>

export type FaultName = keyof typeof CATALOGUE
const entries = Object.entries(CATALOGUE) as [FaultName, Entry][]

export interface PlannedFault {
  name: FaultName
  /** Which process or line, modulo how many there are. */
  target: number
  durationMs: number
  /** From 0 to 1, for whatever else the fault has to choose. */
  amount: number
}

/** One position of the plan: wait, then let these happen, together. */
export interface Step {
  position: number
  afterMs: number
  faults: PlannedFault[]
  /** A message that Redis will not take is registered just before. */
  poison: boolean
}

const LEASES_MS = [300, 1000, 1000, 2000] as const
const SHORT_RETENTION_MS = 10_000
const RETENTION_MS = 900_000

/** Everything that a seed decides, and nothing else does: settings of the world, and faults without end. */
export class Plan {
  readonly seed: number
  readonly world: WorldName
  readonly leaseMs: number
  readonly services: number
  /** Nobody takes from the queue in every other seed: there the list itself is the account. */
  readonly consumers: boolean
  /** Redis may come back with nothing; else retention is short, and pruning goes on. */
  readonly forgets: boolean
  readonly #random: Random
  readonly #faults: [FaultName, Entry][]

  constructor (seed: number, world: WorldName) {
    this.seed = seed
    this.world = world
    this.#random = new Random(Math.imul(seed, 2) + Number(world === 'postgres'))
    this.leaseMs = this.#random.pick(LEASES_MS)
    this.services = world === 'postgres' ? 3 : 1 + this.#random.below(2)
    this.consumers = seed % 2 === 1
    this.forgets = this.#random.chance(0.5)
    this.#faults = entries.filter(([, { kind, world: only, forgets }]) =>
      (only ?? world) === world && (kind !== 'consumer' || this.consumers) && (this.forgets || !forgets))
  }

  get retentionMs (): number { return this.forgets ? RETENTION_MS : SHORT_RETENTION_MS }

  get settings (): string {
    const { leaseMs, services, consumers, retentionMs } = this
    return `${this.world}, ${services} service${services === 1 ? '' : 's'}, lease ${leaseMs} ms, retention ${retentionMs / 1000} s, ${consumers ? 'two consumers' : 'queue at rest'}`
  }

  * steps (): Generator<Step> {
    for (let position = 1; ; position++) {
      const afterMs = 100 + this.#random.below(500)
      const first = this.#fault(() => true)
      const faults = [first]
      if (this.#random.chance(0.3)) faults.push(this.#fault(({ kind }) => kind !== CATALOGUE[first.name].kind))
      yield { position, afterMs, faults, poison: this.#random.chance(0.1) }
    }
  }

  #fault (allowed: (entry: Entry) => boolean): PlannedFault {
    const choices = this.#faults.filter(([, entry]) => allowed(entry))
    let ticket = this.#random.below(choices.reduce((sum, [, { weight }]) => sum + weight, 0))
    const [name] = choices.find(([, { weight }]) => (ticket -= weight) < 0)!
    // A frozen leader must wake up after its lease is over, or nothing is proven.
    const durationMs = name.startsWith('freeze') && CATALOGUE[name].kind === 'service'
      ? Math.round(this.leaseMs * (1.2 + this.#random.next()))
      : 100 + this.#random.below(1000)
    return { name, target: this.#random.below(1000), durationMs, amount: this.#random.next() }
  }
}

/** A step as it is printed, and found again in the logs. */
export function describeStep ({ position, faults, poison }: Step): string {
  const all = faults.map(({ name, durationMs, target }) => `${name} (#${target}, ${durationMs} ms)`)
  return `${position}: ${[...poison ? ['poison'] : [], ...all].join(' + ')}`
}
