import type { Teardown } from '../../../helpers/redis-server.ts'
import { runCell } from './cell.ts'
import type { Bounds, CellResult } from './cell.ts'
import { faults } from './faults.ts'
import type { Fault } from './faults.ts'
import { situations } from './situations.ts'
import type { Situation } from './situations.ts'
import { startWorld, topologies } from './worlds.ts'
import type { Topology, World } from './worlds.ts'

export interface Cell {
  topology: Topology
  fault: Fault
  situation: Situation
}

/** As `npm run failure-matrix -- --only` takes it. */
export function nameOf ({ topology, fault, situation }: Cell): string {
  return `${topology} × ${fault.name} × ${situation.name}`
}

export function allCells (): Cell[] {
  return topologies.flatMap((topology) => faults.flatMap((fault) => situations.map((situation) => ({ topology, fault, situation }))))
}

/** Each fault, each situation and each pair of a topology and a situation at least once. */
export function someCells (): Cell[] {
  return faults.flatMap((fault, index) => topologies.flatMap((topology, lane) => {
    // Each fault befalls one topology; the single node has them all.
    if (lane > 0 && index % (topologies.length - 1) !== lane - 1) return []
    return [{ topology, fault, situation: situations[(index + lane) % situations.length]! }]
  }))
}

/** Worlds are dear, so those who run cells share them; a fault leaves its world as it was. */
export class Worlds {
  readonly #t: Teardown
  readonly #started = new Map<string, Promise<World>>()

  constructor (t: Teardown) {
    this.#t = t
  }

  get (topology: Topology, tls: boolean): Promise<World> {
    const name = `${topology} ${tls}`
    let world = this.#started.get(name)
    if (world === undefined) {
      world = startWorld(this.#t, topology, tls)
      this.#started.set(name, world)
    }
    return world
  }

  /** A world in which something could not even be done is not used again. */
  async run ({ topology, fault, situation }: Cell, outageMs: number, bounds: Bounds): Promise<CellResult> {
    const tls = fault.needs === 'tls'
    try {
      return await runCell(this.#t, await this.get(topology, tls), fault, situation, outageMs, bounds)
    } catch (error) {
      this.#started.delete(`${topology} ${tls}`)
      const unknown = { codes: [], laterCodes: [], errorMs: null, recoveryMs: Infinity, deliveredMs: null, closeMs: 0, stallMs: 0 }
      return { topology, fault: fault.name, situation: situation.name, outageMs, ...unknown, problems: [`not examined: ${String(error)}`] }
    }
  }
}
