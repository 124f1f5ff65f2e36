/** `refused`: the service said that it stored nothing. `unknown`: no answer, or one that does not say. */
export type Fate = 'untried' | 'unknown' | 'accepted' | 'refused'
const FATES: Fate[] = ['untried', 'unknown', 'accepted', 'refused']

interface Row { fates: Uint8Array, ids: Uint32Array }

/** Ids are kept as 32 bits of their random end: enough to notice that two differ, and flat in memory. */
export function shortId (messageId: string): number {
  return Number.parseInt(messageId.slice(-8), 16) >>> 0
}

/** Every registration that was tried, by writer, in five bytes each. Versions count from 1; each is tried after the answer to the one before. */
export class Ledger {
  readonly #rows: Row[] = []
  readonly #last: number[] = []
  #accepted = 0
  #tried = 0

  get accepted (): number { return this.#accepted }
  get tried (): number { return this.#tried }
  get writers (): number { return this.#rows.length }

  /** The writer's next version; its fate is unknown until it is settled. */
  next (writer: number): number {
    while (this.#rows.length <= writer) {
      this.#rows.push({ fates: new Uint8Array(256), ids: new Uint32Array(256) })
      this.#last.push(0)
    }
    const version = ++this.#last[writer]!
    this.#grow(writer, version)
    this.#rows[writer]!.fates[version] = FATES.indexOf('unknown')
    this.#tried++
    return version
  }

  accept (writer: number, version: number, messageId: string): void {
    const row = this.#rows[writer]!
    row.fates[version] = FATES.indexOf('accepted')
    row.ids[version] = shortId(messageId)
    this.#accepted++
  }

  refuse (writer: number, version: number): void {
    this.#rows[writer]!.fates[version] = FATES.indexOf('refused')
  }

  fate (writer: number, version: number): Fate {
    return FATES[this.#rows[writer]?.fates[version] ?? 0]!
  }

  /** The id that the answer named; 0 where there was none. */
  id (writer: number, version: number): number {
    return this.#rows[writer]?.ids[version] ?? 0
  }

  lastVersion (writer: number): number { return this.#last[writer] ?? 0 }

  /** Calls back with every accepted registration. */
  forEachAccepted (visit: (writer: number, version: number) => void): void {
    for (let writer = 0; writer < this.writers; writer++) {
      for (let version = 1; version <= this.lastVersion(writer); version++) {
        if (this.fate(writer, version) === 'accepted') visit(writer, version)
      }
    }
  }

  #grow (writer: number, version: number): void {
    const row = this.#rows[writer]!
    if (version < row.fates.length) return
    const fates = new Uint8Array(row.fates.length * 2)
    const ids = new Uint32Array(row.ids.length * 2)
    fates.set(row.fates)
    ids.set(row.ids)
    this.#rows[writer] = { fates, ids }
  }
}
