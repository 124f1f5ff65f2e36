type Leave = () => void

/** Queues of those who share a key: one is in at a time, and they come in as they arrived. A key without anybody costs nothing. */
export class KeyLanes {
  readonly #last = new Map<string, Promise<void>>()

  /** Resolves when it is this one's turn, with the function that ends it. */
  async enter (key: string): Promise<Leave> {
    const before = this.#last.get(key)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#last.set(key, promise)
    await before
    return () => {
      if (this.#last.get(key) === promise) this.#last.delete(key)
      resolve()
    }
  }
}
