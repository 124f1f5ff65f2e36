interface Change { busy: boolean }

/** Remembered at most; beyond it the oldest is forgotten. */
const MAX_KEYS = 1000

/**
 * Keys that were set or deleted without Redis' confirmation. It may still hold what was there before, which must not come back with it:
 * until the key is removed there, this process does not read it there.
 */
export class Unsettled {
  readonly #changes = new Map<string, Change>()
  readonly #remove: (key: string) => Promise<boolean>
  readonly #onForgotten: () => void

  /** `remove` resolves to whether the key is gone for certain. */
  constructor (remove: (key: string) => Promise<boolean>, onForgotten: () => void) {
    this.#remove = remove
    this.#onForgotten = onForgotten
  }

  get size (): number { return this.#changes.size }

  has (key: string): boolean {
    return this.#changes.has(key)
  }

  /** Returns what to say when the change, or one that came later, is in Redis after all. */
  add (key: string): () => void {
    const change = { busy: false }
    this.#changes.delete(key)
    this.#changes.set(key, change)
    if (this.#changes.size > MAX_KEYS) {
      this.#changes.delete(this.#changes.keys().next().value!)
      this.#onForgotten()
    }
    return () => { if (this.#changes.get(key) === change) this.#changes.delete(key) }
  }

  settled (key: string): void {
    this.#changes.delete(key)
  }

  /** Tries again to remove it, without anybody waiting. */
  settle (key: string): void {
    const change = this.#changes.get(key)
    if (change === undefined || change.busy) return
    change.busy = true
    void this.#remove(key).then((removed) => {
      change.busy = false
      if (removed && this.#changes.get(key) === change) this.#changes.delete(key)
    })
  }

  settleAll (): void {
    for (const key of [...this.#changes.keys()]) this.settle(key)
  }

  clear (): void {
    this.#changes.clear()
  }
}
