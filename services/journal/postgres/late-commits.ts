import { rangesOf, subtractRanges } from './id-ranges.ts'
import type { IdRanges } from './id-ranges.ts'
import type { LeaderTransaction } from './leader-transaction.ts'

/** Holes, and the transactions that may still fill them. */
interface Watch { holes: IdRanges, writers: Set<string> }

/** More holes than this are looked into four times a second only, not with each batch. */
const MANY_HOLES = 64
const PAUSE_MS = 250
const WATCH_PAUSE_MS = 50

/** Transactions that have begun to write messages hold this lock until they have ended, and were given their ids under it. */
const WRITERS = `SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND relation = '{}.journal'::regclass AND pid IS DISTINCT FROM pg_backend_pid()`

/**
 * Ids are given in the order of inserts, commits come in another: an id below those that are numbered may still appear (I4).
 * Such holes are kept in the journal's state and looked into until they can be given up: when every transaction that could
 * own one has ended, a later look finds what was committed, and the rest was rolled back.
 * Long transactions that write no messages do not matter to it.
 */
export class LateCommits {
  #watch: Watch | null = null
  /** What the scan under way may give up if it does not find it. */
  #ended: IdRanges = []
  #lease: string | null = null
  #lookedAt = -Infinity
  #watchedAt = -Infinity

  /** The holes to look into now. */
  async due (leader: LeaderTransaction): Promise<IdRanges> {
    const { holes, lease } = leader.state
    if (lease !== this.#lease) this.#watch = null
    this.#lease = lease
    this.#ended = []
    const now = performance.now()
    if (holes.length === 0 || (holes.length > MANY_HOLES && now - this.#lookedAt < PAUSE_MS)) return []
    this.#lookedAt = now
    if (now - this.#watchedAt >= WATCH_PAUSE_MS) {
      this.#watchedAt = now
      await this.#observe(leader)
    }
    return holes
  }

  async #observe (leader: LeaderTransaction): Promise<void> {
    const rows = await leader.query(WRITERS)
    const writers = new Set(rows.map(({ virtualtransaction: name }) => name as string))
    if (this.#watch === null) {
      this.#watch = { holes: leader.state.holes, writers }
      if (writers.size > 0) return
    }
    const { writers: before } = this.#watch
    if (![...before].some((writer) => writers.has(writer))) {
      // Their commits are visible before their locks are released, so the scan that follows sees all of them.
      this.#ended = this.#watch.holes
      this.#watch = null
    }
  }

  /** Notes what a scan has found. `complete`: it was not cut short. */
  scanned (leader: LeaderTransaction, ids: number[], complete: boolean): void {
    const { high, holes } = leader.state
    const newHigh = Math.max(high, ids.at(-1) ?? 0)
    const gaps: IdRanges = newHigh > high ? [...holes, [high + 1, newHigh]] : holes
    let left = subtractRanges(gaps, rangesOf(ids))
    if (complete) left = subtractRanges(left, this.#ended)
    leader.changeState({ high: newHigh, holes: left })
  }
}
