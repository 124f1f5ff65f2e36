import type { Command } from 'ioredis'
import type { CircuitBreaker } from '../resilience/circuit-breaker.ts'
import { Deadlines } from '../resilience/deadlines.ts'
import type { BoundedRedis } from './bounded-client.ts'
import type { Classification } from './classify.ts'
import { RedisConnectionFailed } from './errors.ts'
import type { Statistics } from './statistics.ts'
import { PendingCommand } from './pending-command.ts'
import type { CommandObserver } from './pending-command.ts'

export interface Admission {
  readonly breaker: CircuitBreaker
  /** Null: go ahead. */
  admit (): Error | null
  /** What a failure of a command says about Redis. */
  evidence (failure: Classification): void
}

export interface TrafficOptions {
  admission: Admission
  statistics: Statistics
  commandTimeoutMs: number
  clock: () => number
}

/** The commands under way of one guard: their deadlines, their counters and their votes. */
export class Traffic {
  readonly #admission: Admission
  readonly #statistics: Statistics
  readonly #deadlines: Deadlines
  readonly #clock: () => number
  readonly #lagToleranceMs: number
  readonly #observers = new WeakMap<BoundedRedis, ClientObserver>()

  constructor ({ admission, statistics, commandTimeoutMs, clock }: TrafficOptions) {
    this.#admission = admission
    this.#statistics = statistics
    this.#clock = clock
    // A late timer explains a missed reply only if a good part of the time was ours.
    this.#lagToleranceMs = Math.max(20, commandTimeoutMs / 4)
    this.#deadlines = new Deadlines(commandTimeoutMs, { clock, lagToleranceMs: this.#lagToleranceMs })
  }

  get timeoutMs (): number {
    return this.#deadlines.timeoutMs
  }

  admit (): Error | null {
    return this.#admission.admit()
  }

  refused (): void {
    this.#statistics.rejected++
  }

  begin (command: Command, blockingMs: number | null, client: BoundedRedis): PendingCommand {
    this.#statistics.commands++
    const observer = this.#observerOf(client)
    const pending = new PendingCommand(command, this.#admission.breaker.permit, this.#clock(), blockingMs !== null, observer)
    if (blockingMs === null) {
      pending.timeoutMs = this.timeoutMs
      this.#deadlines.insert(pending)
      return pending
    }
    observer.blocked++
    if (blockingMs > 0) {
      pending.timeoutMs = Math.min(blockingMs + this.timeoutMs, 2 ** 31 - 1)
      new Deadlines(pending.timeoutMs, { clock: this.#clock, lagToleranceMs: this.#lagToleranceMs }).insert(pending)
    }
    return pending
  }

  #observerOf (client: BoundedRedis): ClientObserver {
    let observer = this.#observers.get(client)
    if (observer === undefined) {
      observer = new ClientObserver(client, this.#admission, this.#statistics, this.#clock)
      this.#observers.set(client, observer)
    }
    return observer
  }
}

class ClientObserver implements CommandObserver {
  /** Blocking commands under way: whatever is sent after one of them waits for it on the same line. */
  blocked = 0
  readonly #client: BoundedRedis
  readonly #admission: Admission
  readonly #statistics: Statistics
  readonly #clock: () => number

  constructor (client: BoundedRedis, admission: Admission, statistics: Statistics, clock: () => number) {
    this.#client = client
    this.#admission = admission
    this.#statistics = statistics
    this.#clock = clock
  }

  answered (pending: PendingCommand): void {
    if (pending.blocking) return this.#unblocked(pending)
    const latencyMs = this.#clock() - pending.startedAt
    this.#statistics.answered(latencyMs)
    this.#admission.breaker.succeed(latencyMs, pending.permit)
  }

  failed (pending: PendingCommand, failure: Classification): void {
    this.#statistics.failed(failure.kind)
    if (pending.blocking) this.blocked--
    // The connection speaks for itself, and knows whether its end was somebody's wish.
    if (!pending.sent || failure.kind === 'transport') return this.#admission.breaker.release(pending.permit)
    const name = pending.command.name.toLowerCase()
    // Wrong credentials in an AUTH of the caller's say nothing about ours.
    const outcome = name === 'auth' || name === 'hello' ? 'neutral' : failure.breaker
    if (outcome !== 'neutral') this.#admission.evidence(failure)
    this.#admission.breaker.fail(outcome, this.#clock() - pending.startedAt, pending.permit)
    // Redis demands a password that this connection has never given; a new one will.
    if (failure.kind === 'auth' && outcome === 'fatal') this.#client.disconnect(true)
  }

  timedOut (pending: PendingCommand, explainedByLag: boolean): void {
    this.#statistics.failed('timeout')
    this.#statistics.timeouts++
    if (pending.blocking) this.blocked--
    const { breaker } = this.#admission
    if (explainedByLag || !pending.sent || this.blocked > 0) {
      if (explainedByLag) this.#statistics.localTimeouts++
      return breaker.release(pending.permit)
    }
    const silent = pending.chunksAtSend === this.#client.chunks
    const failure: Classification = {
      kind: 'timeout', breaker: silent ? 'fatal' : 'timeout', notApplied: false, ambiguous: true, reason: silent ? 'SILENT' : 'TIMEOUT'
    }
    this.#admission.evidence(failure)
    breaker.fail(failure.breaker, this.#clock() - pending.startedAt, pending.permit)
    // A dead line delivers nothing, not even the news of its death: a new connection finds out.
    if (silent) this.#client.destroyStream(new RedisConnectionFailed('timeout', 'SILENT'))
  }

  #unblocked (pending: PendingCommand): void {
    this.blocked--
    this.#admission.breaker.succeed(0, pending.permit)
  }
}
