import type { BreakerState, Outcome } from '../../../services/resilience/circuit-breaker.ts'

export interface ModelOptions {
  windowMs: number
  buckets: number
  minimumCalls: number
  failureRate: number
  consecutiveFailures: number
  slowCallMs: number
  slowCallRate: number
  openMs: number
  maxOpenMs: number
  halfOpenProbes: number
  probeTimeoutMs: number
}

/** A call that was let through. */
export interface ModelCall {
  period: number
  at: number
  settled: boolean
}

interface Vote { at: number, failed: boolean, slow: boolean }
interface Opening { at: number, forMs: number, retryAt: number, woken: boolean }

/**
 * What a circuit breaker should do, said as plainly as possible: it keeps every vote, every probe and every opening in arrays and
 * works everything out anew at each question. Slow, and shares no idea with the real one but its rules.
 */
export class BreakerModel {
  readonly #options: ModelOptions
  readonly #random: () => number
  state: BreakerState = 'closed'
  reason = ''
  rejected = 0
  stale = 0
  calls = 0
  openedTimes = 0
  #period = 1
  #periodBegan: number
  #votes: Vote[] = []
  #probes: ModelCall[] = []
  #answers: Array<{ slow: boolean }> = []
  #openings: Opening[] = [] // since the last forgiveness
  readonly #isolations = new Set<symbol>()

  constructor (options: ModelOptions, now: number, random: () => number) {
    this.#options = options
    this.#periodBegan = now
    this.#random = random
  }

  look (now: number): BreakerState {
    if (this.state === 'open' && now >= this.#openings.at(-1)!.retryAt) this.#enter('half-open', 'open-time-over', now)
    return this.state
  }

  retryAfterMs (now: number): number {
    if (this.state === 'closed') return 0
    if (this.state === 'isolated') return this.#options.maxOpenMs
    if (this.state === 'open') return Math.max(0, this.#openings.at(-1)!.retryAt - now)
    if (this.#probesOut(now).length + this.#answers.length < this.#options.halfOpenProbes) return 0
    return Math.min(...this.#probesOut(now).map(probe => probe.at + this.#options.probeTimeoutMs - now))
  }

  allow (now: number): ModelCall | null {
    this.look(now)
    const call = { period: this.#period, at: now, settled: false }
    if (this.state === 'closed') return call
    if (this.state === 'half-open' && this.#probesOut(now).length + this.#answers.length < this.#options.halfOpenProbes) {
      // Of the probes that have not settled the last few are remembered, so that a late answer still counts.
      this.#probes = [...this.#probes.filter(probe => !probe.settled), call].slice(-4 * this.#options.halfOpenProbes)
      return call
    }
    this.rejected++
    return null
  }

  succeed (now: number, latencyMs: number, call: ModelCall): void {
    if (!this.#counts(call)) return
    const slow = latencyMs >= this.#options.slowCallMs
    if (this.state === 'half-open') return this.#answer(slow, now)
    this.#votes.push({ at: now, failed: false, slow })
    if (slow) this.#judge(now)
  }

  fail (now: number, kind: Outcome, latencyMs: number, call: ModelCall): void {
    if (!this.#counts(call)) return
    if (kind === 'neutral') {
      if (this.state === 'half-open') this.#answer(false, now)
      return
    }
    if (kind === 'fatal') return this.#open('fatal', now)
    if (this.state === 'half-open') return this.#open('probe-failed', now)
    this.#votes.push({ at: now, failed: true, slow: latencyMs >= this.#options.slowCallMs })
    this.#judge(now)
  }

  release (call: ModelCall): void {
    if (this.state === 'half-open' && call.period === this.#period) call.settled = true
  }

  wake (now: number): void {
    if (this.state !== 'open') return
    const opening = this.#openings.at(-1)!
    const falseAlarms = this.#openings.slice(0, -1).filter(earlier => earlier.woken).length
    const atLeastMs = falseAlarms === 0 ? 0 : Math.min(this.#options.maxOpenMs, this.#options.openMs * 2 ** (falseAlarms - 1))
    opening.woken = true
    opening.retryAt = Math.min(opening.retryAt, opening.at + atLeastMs)
    if (now >= opening.retryAt) this.#enter('half-open', 'woken', now)
  }

  trip (now: number, reason: string): void {
    this.look(now)
    if (this.state === 'closed' || this.state === 'half-open') this.#open(reason, now)
  }

  isolate (now: number): symbol {
    const holder = Symbol('isolation')
    this.#isolations.add(holder)
    if (this.state !== 'isolated') this.#enter('isolated', 'isolated', now)
    return holder
  }

  endIsolation (now: number, holder: symbol): void {
    if (this.#isolations.delete(holder) && this.#isolations.size === 0) this.#enter('half-open', 'isolation-ended', now)
  }

  close (now: number, reason = 'closed-by-hand'): void {
    this.#isolations.clear()
    if (this.state !== 'closed') this.#enter('closed', reason, now)
  }

  reset (now: number): void {
    this.#openings = []
    this.#period++
    this.#votes = []
    this.#probes = []
    this.close(now, 'reset')
  }

  #probesOut (now: number): ModelCall[] {
    return this.#probes.filter(probe => !probe.settled && now - probe.at < this.#options.probeTimeoutMs)
  }

  /** Is this result evidence about the present period? */
  #counts (call: ModelCall): boolean {
    const current = call.period === this.#period && (this.state === 'closed' || (this.state === 'half-open' && !call.settled && this.#probes.includes(call)))
    if (this.state === 'half-open') call.settled = true
    if (current) this.calls++
    else this.stale++
    return current
  }

  #answer (slow: boolean, now: number): void {
    this.#answers.push({ slow })
    const { halfOpenProbes, slowCallRate } = this.#options
    if (this.#answers.length < halfOpenProbes) return
    const slowShare = this.#answers.filter(answer => answer.slow).length / halfOpenProbes
    if (slowShare >= slowCallRate) this.#open('slow-call-rate', now)
    else this.#enter('closed', 'probes-succeeded', now)
  }

  #judge (now: number): void {
    const sliceMs = this.#options.windowMs / this.#options.buckets
    const slice = (at: number) => Math.floor(at / sliceMs)
    const recent = this.#votes.filter(vote => slice(vote.at) > slice(now) - this.#options.buckets)
    const lastSuccess = this.#votes.findLastIndex(vote => !vote.failed)
    const share = (matches: (vote: Vote) => boolean) => recent.filter(matches).length / recent.length
    if (this.#votes.at(-1)!.failed && this.#votes.length - 1 - lastSuccess >= this.#options.consecutiveFailures) {
      this.#open('consecutive-failures', now)
    } else if (recent.length < this.#options.minimumCalls) {
      // too few to tell
    } else if (share(vote => vote.failed) >= this.#options.failureRate) {
      this.#open('failure-rate', now)
    } else if (share(vote => vote.slow) >= this.#options.slowCallRate) {
      this.#open('slow-call-rate', now)
    }
  }

  #open (reason: string, now: number): void {
    if (this.state === 'closed' && now - this.#periodBegan >= this.#options.windowMs) this.#openings = []
    const fullMs = Math.min(this.#options.maxOpenMs, this.#options.openMs * 2 ** this.#openings.length)
    const forMs = fullMs / 2 + this.#random() * (fullMs / 2)
    this.#openings.push({ at: now, forMs, retryAt: now + forMs, woken: false })
    this.openedTimes++
    this.#enter('open', reason, now)
  }

  #enter (to: BreakerState, reason: string, now: number): void {
    this.state = to
    this.reason = reason
    this.#period++
    this.#periodBegan = now
    this.#votes = []
    this.#probes = []
    this.#answers = []
  }
}
