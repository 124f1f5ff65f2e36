/** What the page knows: the last state, and the samples that came after it. */
export class Model {
  state = null
  /** When the last data came, by the clock of this browser. */
  receivedAt = 0
  spanMs = 1_800_000

  replace (state) {
    this.state = state
    this.receivedAt = Date.now()
  }

  extend ({ sample, ...live }) {
    const { history, window_ms: windowMs } = this.state
    Object.assign(this.state, live)
    this.receivedAt = Date.now()
    for (const [name, value] of Object.entries(sample)) (history[name] ??= []).push(value)
    while (history.at[0] < sample.at - windowMs) {
      for (const column of Object.values(history)) column.shift()
    }
  }

  /** By the clock of the service. */
  now () {
    return this.state.now + Date.now() - this.receivedAt
  }

  /** The last value of a figure; null where it is not known. */
  last (name) {
    return this.state.history[name]?.at(-1) ?? null
  }

  /** What charts and timelines show, in epoch ms. A young service does not leave most of them empty. */
  range () {
    const { at } = this.state.history
    const to = at.at(-1) ?? this.state.now
    return { from: Math.min(to - 30_000, Math.max(to - this.spanMs, at[0] ?? to)), to }
  }
}
