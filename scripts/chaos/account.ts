/** What the writers know of one registration: answered with 201, refused, or unanswered (a kill came between). */
export type Fate = 'accepted' | 'unknown'

/** Every registration that was tried, by writer, in the order in which the writer tried it. */
export class Account {
  readonly #tried = new Map<string, { version: number, fate: Fate }[]>()

  record (writer: string, version: number, fate: Fate): void {
    const tried = this.#tried.get(writer) ?? []
    this.#tried.set(writer, [...tried, { version, fate }])
  }

  get accepted (): number {
    return [...this.#tried.values()].flat().filter(({ fate }) => fate === 'accepted').length
  }

  /**
   * Compares with the queue, first message first: each accepted registration once, in its writer's order, and nothing that nobody
   * tried. One that was never answered may be there, once, or not.
   */
  settle (queue: { writer: string, version: number }[]): string[] {
    const problems: string[] = []
    const found = Map.groupBy(queue, ({ writer }) => writer)
    for (const [writer, tried] of this.#tried) {
      const versions = (found.get(writer) ?? []).map(({ version }) => version)
      const distinct = new Set(versions)
      if (distinct.size < versions.length) problems.push(`${writer}: ${versions.length - distinct.size} duplicates`)
      const lost = tried.filter(({ version, fate }) => fate === 'accepted' && !distinct.has(version))
      if (lost.length > 0) problems.push(`${writer}: lost ${lost.map(({ version }) => version).join(', ')}`)
      const inversions = versions.filter((version, index) => index > 0 && version < versions[index - 1]!)
      if (inversions.length > 0) problems.push(`${writer}: out of order at ${inversions.join(', ')}`)
      const known = new Set(tried.map(({ version }) => version))
      const ghosts = versions.filter((version) => !known.has(version))
      if (ghosts.length > 0) problems.push(`${writer}: nobody sent ${ghosts.join(', ')}`)
    }
    const strangers = [...found.keys()].filter((writer) => !this.#tried.has(writer))
    if (strangers.length > 0) problems.push(`unknown writers ${strangers.join(', ')}`)
    return problems
  }
}
