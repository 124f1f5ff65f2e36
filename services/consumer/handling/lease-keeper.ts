import type { Delivery, Source } from '../source.ts'

/** Something in hand whose lease is to be renewed. */
export interface Leased {
  readonly delivery: Delivery
  /** Told once when the lease is gone: somebody else may have the message. */
  leaseLost (): void
}

/** Renews what is in hand at a third of the visibility; sooner where that failed. */
export class LeaseKeeper {
  readonly #source: Source
  readonly #visibilityMs: number
  readonly #onError: (err: unknown) => void
  readonly #leased = new Map<string, Leased>()
  #timer: NodeJS.Timeout | null = null
  #renewing = false

  constructor (source: Source, visibilityMs: number, onError: (err: unknown) => void) {
    this.#source = source
    this.#visibilityMs = visibilityMs
    this.#onError = onError
  }

  keep (leased: Leased): void {
    this.#leased.set(leased.delivery.receipt, leased)
    if (this.#timer === null && !this.#renewing) this.#arm(this.#visibilityMs / 3)
  }

  drop ({ delivery }: Leased): void {
    this.#leased.delete(delivery.receipt)
    if (this.#leased.size === 0) this.#disarm()
  }

  #arm (ms: number): void {
    this.#timer = setTimeout(() => { void this.#renew() }, ms)
    this.#timer.unref()
  }

  #disarm (): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  async #renew (): Promise<void> {
    this.#timer = null
    this.#renewing = true
    let nextMs = this.#visibilityMs / 3
    const asked = [...this.#leased.values()]
    try {
      const kept = await this.#source.renew(asked.map(({ delivery }) => delivery))
      for (const leased of asked) if (!kept.has(leased.delivery.receipt)) this.#lost(leased)
    } catch (err) {
      nextMs = this.#visibilityMs / 10
      this.#onError(err)
    }
    this.#renewing = false
    if (this.#leased.size > 0) this.#arm(nextMs)
  }

  #lost (leased: Leased): void {
    // What was settled while the question was under way has no lease and needs none.
    if (this.#leased.delete(leased.delivery.receipt)) leased.leaseLost()
  }
}
