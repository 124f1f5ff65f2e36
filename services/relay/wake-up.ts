/** A sleep that a call ends early. A call that comes while nobody sleeps makes the next sleep return at once. */
export class WakeUp {
  #called = false
  #resolve: (() => void) | null = null

  call (): void {
    this.#called = true
    this.#resolve?.()
  }

  async wait (ms: number): Promise<void> {
    if (this.#called || ms <= 0) {
      this.#called = false
      return
    }
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      this.#resolve = resolve
      timer = setTimeout(resolve, ms)
    })
    clearTimeout(timer)
    this.#resolve = null
    this.#called = false
  }
}
