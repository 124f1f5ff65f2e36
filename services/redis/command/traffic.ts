import type { Command } from 'ioredis'
import type { CircuitBreaker } from '../../resilience/circuit-breaker.ts'
import { Deadlines } from '../../resilience/deadlines.ts'
import type { BoundedRedis } from '../connection/bounded-client.ts'
import type { Classification } from '../classify.ts'
import { RedisConnectionFailed } from '../errors.ts'
import type { Statistics } from './statistics.ts'
import type { GuardedRedis } from './guarded-client.ts'
import type { Retries } from '../retry/retries.ts'
import { concernsWrites } from '../write-side.ts'
import type { WriteSide } from '../write-side.ts'
import { PendingCommand } from './pending-command.ts'
import type { CommandObserver } from './pending-command.ts'

export interface Admission {
  readonly breaker: CircuitBreaker
  /** What Redis refuses while it serves reads is judged apart. */
  readonly writes: WriteSide
  /** Null: go ahead. */
  admit (): Error | null
  /** What a failure of a command says about Redis. */
  evidence (failure: Classification): void
}

export interface TrafficOptions {
  admission: Admission
  statistics: Statistics
  commandTimeoutMs: number
  retries: Retries
  clock: () => number
}

/** The commands under way of one guard: their deadlines, their counters and their votes. */
export class Traffic {
  readonly #admission: Admission
  readonly #statistics: Statistics
  readonly #deadlines: Deadlines
  readonly #clock: () => number
  readonly #retries: Retries
  readonly #lagToleranceMs: number
  readonly #observers = new WeakMap<BoundedRedis, ClientObserver>()

  constructor ({ admission, statistics, commandTimeoutMs, retries, clock }: TrafficOptions) {
    this.#retries = retries
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

  /** It writes, and writes are refused. */
  mayRefuse (command: Command): boolean {
    const { writes } = this.#admission
    return !writes.admitting && writes.concerns(command)
  }

  admitWrite (): Error | null {
    return this.#admission.writes.admit()
  }

  refused (): void {
    this.#statistics.rejected++
  }

  begin (command: Command, blockingMs: number | null, client: BoundedRedis): PendingCommand {
    this.#statistics.commands++
    const pending = this.#make(command, blockingMs !== null, client)
    if (blockingMs === null) {
      pending.timeoutMs = this.timeoutMs
      this.#deadlines.insert(pending)
      return pending
    }
    if (blockingMs > 0) this.#insertAlone(pending, Math.min(blockingMs + this.timeoutMs, 2 ** 31 - 1))
    return pending
  }

  /** A pipeline that was redirected sends its commands again: they are the same, and have what is left of their time. */
  resume (command: Command, earlier: PendingCommand, client: BoundedRedis): PendingCommand {
    if (earlier.failedAs !== null) this.#statistics.forgive(earlier.failedAs)
    const pending = this.#make(command, earlier.blocking, client)
    const leftMs = earlier.startedAt + earlier.timeoutMs - pending.startedAt
    if (earlier.timeoutMs > 0) this.#insertAlone(pending, Math.max(1, leftMs))
    return pending
  }

  /** A command of ours goes out once more. */
  resend (pending: PendingCommand): void {
    const { breaker, writes } = this.#admission
    pending.resend(breaker.permit, writes.permit, this.#clock())
  }

  /** Takes a command over that another node was asked before. */
  take (pending: PendingCommand, client: BoundedRedis): void {
    const observer = this.#observerOf(client)
    pending.handOver(observer, this.#admission.breaker.permit)
    pending.writePermit = this.#admission.writes.permit
    if (pending.blocking) observer.blocked++
  }

  /** A blocking command is under way on its line. */
  isBlocked (client: BoundedRedis): boolean {
    return this.#observerOf(client).blocked > 0
  }

  guards (pending: PendingCommand, client: BoundedRedis): boolean {
    return pending.isObservedBy(this.#observerOf(client))
  }

  #make (command: Command, blocking: boolean, client: BoundedRedis): PendingCommand {
    const observer = this.#observerOf(client)
    if (blocking) observer.blocked++
    const pending = new PendingCommand(command, this.#admission.breaker.permit, this.#clock(), blocking, observer)
    pending.writePermit = this.#admission.writes.permit
    return pending
  }

  /** For a deadline that no other command has. */
  #insertAlone (pending: PendingCommand, timeoutMs: number): void {
    pending.timeoutMs = timeoutMs
    new Deadlines(timeoutMs, { clock: this.#clock, lagToleranceMs: this.#lagToleranceMs }).insert(pending)
  }

  #observerOf (client: BoundedRedis): ClientObserver {
    let observer = this.#observers.get(client)
    if (observer === undefined) {
      observer = new ClientObserver(client, this.#admission, this.#statistics, this.#retries, this.#clock)
      this.#observers.set(client, observer)
    }
    return observer
  }
}

type Attempt = Pick<PendingCommand, 'command' | 'startedAt' | 'permit' | 'writePermit' | 'sent'>

class ClientObserver implements CommandObserver {
  /** Blocking commands under way: whatever is sent after one of them waits for it on the same line. */
  blocked = 0
  readonly #client: BoundedRedis
  readonly #admission: Admission
  readonly #statistics: Statistics
  readonly #retries: Retries
  readonly #clock: () => number

  constructor (client: BoundedRedis, admission: Admission, statistics: Statistics, retries: Retries, clock: () => number) {
    this.#retries = retries
    this.#client = client
    this.#admission = admission
    this.#statistics = statistics
    this.#clock = clock
  }

  answered (pending: PendingCommand): void {
    const { writes } = this.#admission
    if (writes.tense && writes.concerns(pending.command)) writes.succeeded(pending.writePermit)
    if (pending.blocking) {
      this.#unblock(pending)
      return this.#admission.breaker.succeed(0, pending.permit)
    }
    const first = pending.attempts === 0
    if (first) this.#retries.succeeded()
    const latencyMs = this.#clock() - (first ? pending.startedAt : pending.resentAt)
    this.#statistics.answered(latencyMs)
    this.#admission.breaker.succeed(latencyMs, pending.permit)
  }

  failed (pending: PendingCommand, failure: Classification): void {
    this.#statistics.failed(failure.kind)
    this.#unblock(pending)
    this.#judge(pending, failure)
  }

  retries (pending: PendingCommand, failure: Classification, error: Error): boolean {
    const { permit, writePermit, sent } = pending
    if (!this.#retries.take(pending, failure, error, this.#client as GuardedRedis)) return false
    this.#judge({ command: pending.command, startedAt: pending.startedAt, permit, writePermit, sent }, failure)
    return true
  }

  gaveUp (failure: Classification): void {
    this.#statistics.failed(failure.kind)
  }

  /** What one attempt says about Redis. */
  #judge (pending: Attempt, failure: Classification): void {
    const { writes } = this.#admission
    if (concernsWrites(failure)) {
      this.#admission.evidence(failure)
      writes.refused(pending.writePermit)
      return this.#admission.breaker.fail('neutral', 0, pending.permit)
    }
    if (writes.tense) writes.released(pending.writePermit)
    // The connection speaks for itself, and knows whether its end was somebody's wish.
    if (!pending.sent || failure.kind === 'transport') return this.#admission.breaker.release(pending.permit)
    const name = pending.command.name.toLowerCase()
    // Wrong credentials in an AUTH of the caller's say nothing about ours.
    const outcome = name === 'auth' || name === 'hello' ? 'neutral' : failure.breaker
    if (outcome !== 'neutral') this.#admission.evidence(failure)
    this.#admission.breaker.fail(outcome, this.#clock() - pending.startedAt, pending.permit)
    // Redis demands a password that this connection has never given; a new one will.
    // The rights of the user have changed, or the user is another one by now.
    if (failure.reason === 'NOPERM') this.#client.credentialsRefused()
    if (failure.kind === 'auth' && outcome === 'fatal') {
      this.#client.credentialsRefused()
      this.#client.disconnect(true)
    }
  }

  timedOut (pending: PendingCommand, explainedByLag: boolean): void {
    this.#statistics.failed('timeout')
    this.#statistics.timeouts++
    this.#unblock(pending)
    const { breaker, writes } = this.#admission
    if (writes.tense) writes.released(pending.writePermit)
    if (explainedByLag || !pending.sent || this.blocked > 0) {
      if (explainedByLag) this.#statistics.localTimeouts++
      return breaker.release(pending.permit)
    }
    const silent = pending.chunksAtSend === this.#client.chunks
    const failure: Classification = {
      kind: 'timeout', breaker: silent ? 'fatal' : 'timeout', notApplied: false, ambiguous: true, reason: silent ? 'SILENT' : 'TIMEOUT'
    }
    const stale = pending.permit !== breaker.permit
    this.#admission.evidence(failure)
    breaker.fail(failure.breaker, this.#clock() - pending.startedAt, pending.permit)
    // A dead line delivers nothing, not even the news of its death. If it was sent before the last outage, that is no reason to open the circuit.
    if (silent && stale) this.#client.replaceStream()
    else if (silent) this.#client.destroyStream(new RedisConnectionFailed('timeout', 'SILENT'))
  }

  released (pending: PendingCommand): void {
    this.#unblock(pending)
    if (this.#admission.writes.tense) this.#admission.writes.released(pending.writePermit)
    this.#admission.breaker.release(pending.permit)
  }

  #unblock (pending: PendingCommand): void {
    if (pending.blocking && --this.blocked === 0) this.#client.betweenCalls()
  }
}
