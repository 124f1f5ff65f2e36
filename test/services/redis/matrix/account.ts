import type { RedisServer } from '../../../helpers/redis-server.ts'

/** A failure as documented: exactly one of the two is true. */
export interface Failure { code: string, kind: string, notApplied: boolean, ambiguous: boolean, message: string }

/** One promise of the guard's. */
export interface Call {
  readonly what: string
  /** When it must be settled at the latest, in ms after its start; null: no deadline. */
  readonly limitMs: number | null
  /** What it writes: all of it or nothing. */
  readonly ids: readonly string[]
  readonly startedAt: number
  endedAt: number | null
  value: unknown
  failure: Failure | null
}

/** What was asked of the guard and what came of it; compared with what the server has in the end. */
export class Account {
  readonly calls: Call[] = []
  readonly key: string
  readonly #limitMs: number
  #sequence = 0

  /** `limitMs`: the deadline of a command. */
  constructor (key: string, limitMs: number) {
    this.key = key
    this.#limitMs = limitMs
  }

  nextId (): string { return String(++this.#sequence) }

  track (what: string, promise: Promise<unknown>, { ids = [], limitMs = this.#limitMs }: { ids?: string[], limitMs?: number | null } = {}): Call {
    const call: Call = { what, limitMs, ids, startedAt: performance.now(), endedAt: null, value: undefined, failure: null }
    this.calls.push(call)
    promise.then((value) => { call.value = value }, (error) => { call.failure = describe(error) }).finally(() => { call.endedAt = performance.now() })
    return call
  }

  /** By reading the server, and after it everything that may still be on its way has arrived. */
  async compare (server: RedisServer): Promise<string[]> {
    const counts = new Map<string, number>()
    for (const id of await server.cli('lrange', this.key, 0, -1) as string[]) counts.set(id, (counts.get(id) ?? 0) + 1)
    const problems: string[] = []
    for (const call of this.calls) {
      const found = call.ids.map((id) => counts.get(id) ?? 0)
      if (found.some((count) => count > 1)) problems.push(`duplicate: ${call.what} ran ${found} times`)
      if (call.ids.length > 1 && new Set(found).size > 1) problems.push(`torn: ${call.what} wrote ${found}`)
      if (call.ids.length > 0 && call.failure === null && found.includes(0)) problems.push(`lost: ${call.what} was answered, and is not there`)
      if (call.failure?.notApplied === true && found.some((count) => count > 0)) problems.push(`ghost: ${call.what} failed with ${call.failure.code}, notApplied, and ran`)
    }
    return problems
  }

  /** Promises that are not settled, or were too late, or failed without saying what that means. */
  settled (airMs: number): string[] {
    return this.calls.flatMap((call) => {
      const { what, limitMs, startedAt, endedAt, failure } = call
      if (endedAt === null) return [`never settled: ${what}`]
      const problems: string[] = []
      const ms = endedAt - startedAt
      if (limitMs !== null && ms > limitMs + airMs) problems.push(`late: ${what} took ${ms.toFixed(0)} ms, ${failure?.code ?? 'answered'}`)
      if (failure !== null && failure.notApplied === failure.ambiguous) problems.push(`undecided: ${what} failed with ${failure.code}: ${failure.message}`)
      return problems
    })
  }
}

function describe (error: unknown): Failure {
  const { code = '?', kind = '?', notApplied, ambiguous, message } = error as Partial<Failure>
  return { code: shorten(code), kind, notApplied: notApplied === true, ambiguous: ambiguous === true, message: String(message) }
}

export function shorten (code: string): string {
  return code.replace(/^FST_BRK_(REDIS_)?/, '')
}
