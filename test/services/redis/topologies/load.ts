import { setTimeout as delay } from 'node:timers/promises'
import type { RedisGuard } from '../../../../services/redis/guard.ts'

/** What became of the increments of one key. */
export interface Account {
  key: string
  /** Answered. */
  acknowledged: number
  /** Answered, and the replicas have it too. */
  replicated: number
  /** Sent and not answered. */
  ambiguous: number
  /** Certainly not executed, by what the error says. */
  refused: number
}

export interface LoadOptions {
  /** `WAIT` for so many replicas behind each increment: only what they confirm survives a failover. */
  replicas?: number
  workersPerKey?: number
}

/** Callers that increment counters all the time, and keep account of each. */
export class Load {
  readonly accounts: Account[]
  readonly codes = new Map<string, number>()
  slowestMs = 0
  #stopped = false
  readonly #guard: RedisGuard
  readonly #workers: Promise<void>[]

  constructor (guard: RedisGuard, keys: string[], { replicas = 0, workersPerKey = 3 }: LoadOptions = {}) {
    this.#guard = guard
    this.accounts = keys.map((key) => ({ key, acknowledged: 0, replicated: 0, ambiguous: 0, refused: 0 }))
    this.#workers = this.accounts.flatMap((account) => Array.from({ length: workersPerKey }, () => this.#work(account, replicas)))
  }

  async stop (): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#workers)
  }

  async #work (account: Account, wanted: number): Promise<void> {
    while (!this.#stopped) {
      const startedAt = performance.now()
      try {
        if (wanted > 0) await this.#incrementAndWait(account, wanted)
        else {
          await this.#guard.client.incr(account.key)
          account.acknowledged++
        }
      } catch (error) {
        this.#failed(account, error as { code: string, notApplied: boolean, ambiguous: boolean })
      }
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startedAt)
      await delay(1)
    }
  }

  async #incrementAndWait (account: Account, wanted: number): Promise<void> {
    const [[failure] = [], [, replicas] = []] = await this.#guard.client.pipeline().incr(account.key).wait(wanted, 30).exec() as [[Error | null, number], [Error | null, number]]
    if (failure) throw failure
    account.acknowledged++
    if (replicas !== undefined && replicas >= wanted) account.replicated++
  }

  #failed (account: Account, { code, notApplied, ambiguous }: { code: string, notApplied: boolean, ambiguous: boolean }): void {
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1)
    if (notApplied === ambiguous) throw new Error(`${code} says neither that it was executed nor that it may have been`)
    if (ambiguous) account.ambiguous++
    else account.refused++
  }
}
