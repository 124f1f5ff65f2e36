export interface RetryBudgetOptions {
  /** Tokens at the beginning, and at most. Default 500. */
  capacity?: number
  /** Of one retry. Default 5. */
  retryCost?: number
  /** Of one retry after a timeout, which is the dearer failure for both sides. Default 10. */
  timeoutCost?: number
  /** What a call that needed no retry gives back. Default 1. */
  refund?: number
}

/**
 * Bounds retries by what succeeds: in an outage the bucket runs empty and nothing is repeated any more, so that retries never
 * multiply the load on what is already in trouble. The defaults are those of the AWS SDKs.
 *
 * @see https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
 */
export class RetryBudget {
  readonly #capacity: number
  readonly #retryCost: number
  readonly #timeoutCost: number
  readonly #refund: number
  #tokens: number

  constructor ({ capacity = 500, retryCost = 5, timeoutCost = 10, refund = 1 }: RetryBudgetOptions = {}) {
    this.#capacity = this.#tokens = capacity
    this.#retryCost = retryCost
    this.#timeoutCost = timeoutCost
    this.#refund = refund
  }

  get tokens (): number { return this.#tokens }

  /** Pays for one retry; false: there is not enough left, and nothing was taken. */
  spend (afterTimeout = false): boolean {
    const cost = afterTimeout ? this.#timeoutCost : this.#retryCost
    if (this.#tokens < cost) return false
    this.#tokens -= cost
    return true
  }

  /** A call succeeded at its first attempt. */
  succeed (): void {
    if (this.#tokens < this.#capacity) this.#tokens = Math.min(this.#capacity, this.#tokens + this.#refund)
  }
}
