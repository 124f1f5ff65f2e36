import { aofFiles, readCommands } from './aof.ts'
import { Elements, readElement } from './elements.ts'

/** One atomic step of the relay: elements `start … start + count - 1` came into the queue, and the term's watermark moved. */
export interface Publish { term: string, before: number, last: number, start: number, count: number }

/** From one emptiness of Redis to the next: within it every message is in the queue's history once. */
export interface Age { label: string, publishes: Publish[], start: number }

/** Tells two ages apart; set in the same transaction as the flush. */
export const AGE_KEY = 'chaos:age'
/** Set between the promotion of a replica and the first write of anybody else. */
export const PROMOTED_KEY = 'chaos:promoted'

interface Base { label: string, watermarks: Map<string, number> }

/**
 * Everything that was ever put into the queue, in its order, on the line of servers that survived, read from their append-only files:
 * exact while consumers take from the queue, and without a part in the traffic. A promoted replica began with a copy of its
 * master; the watermarks in that copy say how much of the master's history is its own, and the rest is forgotten, as it is by Redis.
 */
export class History {
  readonly elements = new Elements()
  readonly ages: Age[] = [{ label: '', publishes: [], start: 0 }]
  readonly problems: string[] = []
  /** Messages that consumers put back. */
  returned = 0
  /** Messages that a failover lost; the relay has to notice and send them again. */
  forgotten = 0
  readonly #queue: string
  readonly #watermarkKey: string
  #watermarks = new Map<string, number>()
  #pushed: Buffer[] = []
  #lengthOfMaster = 0

  constructor (queue: string, watermarkKey: string) {
    this.#queue = queue
    this.#watermarkKey = watermarkKey
  }

  get age (): Age { return this.ages.at(-1)! }

  /** Continues with what this server's files say. `fresh`: it had lost everything. */
  follow (directory: string, fresh = false): void {
    const { base, increments } = aofFiles(directory)
    this.#lengthOfMaster = this.elements.length
    if (fresh) this.#begin()
    else if (this.elements.length > 0 || this.ages.length > 1) this.#cut(this.#readBase(base))
    for (const file of increments) {
      for (const command of readCommands(file)) this.#apply(command)
      this.#settleReturned()
    }
  }

  #begin (): void {
    this.#watermarks = new Map()
    this.ages.push({ label: '', publishes: [], start: this.elements.length })
  }

  #apply (command: Buffer[]): void {
    const name = command[0]?.toString('latin1').toUpperCase() ?? ''
    const key = command[1]?.toString() ?? ''
    if (name === 'FLUSHALL' || name === 'FLUSHDB') this.#begin()
    else if (name === 'SET' && key === AGE_KEY) this.age.label = command[2]!.toString()
    else if (name === 'SET' && key === PROMOTED_KEY) this.forgotten += this.#lengthOfMaster - this.elements.length
    else if (name === 'LPUSH' && key === this.#queue) this.#pushed.push(...command.slice(2))
    else if (name === 'HSET' && key === this.#watermarkKey) this.#publish(command[2]!.toString(), Number(command[3]))
    else if (name === '') this.#settleReturned()
    else if (name === 'RPUSH' && key === this.#queue) this.returned += command.length - 2
  }

  #publish (term: string, last: number): void {
    // A relay may write a watermark back as it is, so that a WAIT is meaningful.
    if (this.#pushed.length === 0 && this.#watermarks.get(term) === last) return
    const start = this.elements.length
    for (const body of this.#pushed.splice(0)) {
      const element = readElement(body.toString())
      if (typeof element === 'string') this.problems.push(`ghost: ${element}`)
      else this.elements.push(element)
    }
    this.age.publishes.push({ term, before: this.#watermarks.get(term) ?? 0, last, start, count: this.elements.length - start })
    this.#watermarks.set(term, last)
  }

  /** A push without a watermark is a consumer's, which gives a message back. */
  #settleReturned (): void {
    this.returned += this.#pushed.splice(0).length
  }

  #readBase (file: string | null): Base {
    const base: Base = { label: '', watermarks: new Map() }
    if (file === null) return base
    for (const [name, key, ...values] of readCommands(file)) {
      if (name?.toString().toUpperCase() === 'SET' && key?.toString() === AGE_KEY) base.label = values[0]!.toString()
      if (key?.toString() !== this.#watermarkKey) continue
      for (let at = 0; at < values.length; at += 2) base.watermarks.set(values[at]!.toString(), Number(values[at + 1]))
    }
    return base
  }

  #cut ({ label, watermarks }: Base): void {
    const index = this.ages.findLastIndex((age) => age.label === label)
    if (index === -1) {
      this.problems.push(`history: a server began with age ${label}, which never was`)
      return
    }
    this.ages.length = index + 1
    const { age } = this
    const end = age.publishes.findIndex(({ term, last }) => last > (watermarks.get(term) ?? 0))
    if (end !== -1) age.publishes.length = end
    const final = age.publishes.at(-1)
    this.elements.truncate(final === undefined ? age.start : final.start + final.count)
    this.#watermarks = new Map(age.publishes.map(({ term, last }) => [term, last]))
    for (const [term, last] of watermarks) {
      if (this.#watermarks.get(term) !== last) this.problems.push(`history: a server began at ${last} of term ${term}, the line before it ends at ${this.#watermarks.get(term)}`)
    }
  }
}
