import { isDeepStrictEqual } from 'node:util'
import type { Position } from '../../../services/journal/journal.ts'
import { Random } from '../../helpers/random.ts'
import type { Subject } from './conformance.ts'
import { JournalModel } from './journal-model.ts'

const LEASE_MS = 5000
const KEYS = ['a', 'b', 'ü']

type Act = [name: string, onJournal: () => Promise<unknown>, onModel: () => unknown]

/**
 * Does the same random things to a journal and to the model, and compares every answer: appends, batches that are handed out,
 * acknowledged or forgotten by a crash, leases that expire or are lost, watermarks that go back and forth, retention, dead letters.
 */
export class ModelSchedule {
  readonly #subject: Subject
  readonly #model: JournalModel
  readonly #random: Random
  /** Leases taken so far, the current one last. */
  readonly #leases: string[] = []
  /** Ends of batches that were handed out. */
  #ends: Position[] = []
  #bodies = 0

  constructor (subject: Subject, seed: number) {
    this.#subject = subject
    this.#model = new JournalModel(() => subject.now())
    this.#random = new Random(seed)
  }

  /** Null when they agree to the end; else what was done when they did not. */
  async run (steps: number): Promise<string | null> {
    const done: string[] = []
    for (let step = 0; step < steps; step++) {
      const [name, onJournal, onModel] = this.#choose()
      done.push(name)
      const answer = await settle(onJournal)
      const expected = await settle(onModel)
      const [stats, modelStats] = step % 4 === 3 ? [await this.#subject.journal.stats(), this.#model.stats()] : [null, null]
      if (isDeepStrictEqual(answer, expected) && isDeepStrictEqual(stats, modelStats)) continue
      return `${done.join('\n')}\nwas      ${JSON.stringify(answer)} ${JSON.stringify(stats)}\nexpected ${JSON.stringify(expected)} ${JSON.stringify(modelStats)}`
    }
    return null
  }

  #choose (): Act {
    const dice = this.#random.next()
    if (this.#leases.length === 0 || dice < 0.06) return this.#acquire()
    if (dice < 0.25) return this.#append()
    if (dice < 0.55) return this.#advance()
    if (dice < 0.60) return this.#lease()
    if (dice < 0.70) return this.#reconcile()
    if (dice < 0.78) return this.#prune()
    if (dice < 0.82) return this.#retire()
    if (dice < 0.90) return this.#bury()
    return this.#deadLetters()
  }

  /** Mostly the current one; sometimes one that was lost, as a frozen process would use. */
  get #someLease (): string {
    return this.#random.chance(0.93) ? this.#leases.at(-1)! : this.#random.pick(this.#leases)
  }

  /** The end of a batch, or somewhere near one. */
  #position (): Position {
    const { term, seq } = this.#random.pick(this.#ends) ?? { term: 'unknown', seq: 3 }
    return { term, seq: Math.max(0, seq + (this.#random.chance(0.5) ? 0 : this.#random.below(7) - 3)) }
  }

  #acquire (): Act {
    const { journal, elapse } = this.#subject
    const waitMs = this.#random.chance(0.6) ? LEASE_MS * 2 : this.#random.below(LEASE_MS)
    let lease: string | null = null
    return [`acquire after ${waitMs}`, async () => {
      await elapse(waitMs)
      lease = await journal.acquireLease('relay', LEASE_MS)
      if (lease !== null) this.#leases.push(lease)
      return lease
    }, () => this.#model.acquireLease(lease, LEASE_MS)]
  }

  #append (): Act {
    const entries = Array.from({ length: 1 + this.#random.below(5) }, () => ({
      key: this.#random.pick(KEYS), body: `${++this.#bodies}${'é'.repeat(this.#random.below(5))}`
    }))
    return [`append ${entries.length}`, () => this.#subject.journal.append(entries), () => this.#model.append(entries)]
  }

  #advance (): Act {
    const request = {
      lease: this.#someLease,
      leaseUntil: this.#subject.now() + LEASE_MS,
      published: this.#random.chance(0.5) ? this.#position() : null,
      after: this.#random.chance(0.5) ? this.#position() : null,
      maxRows: 1 + this.#random.below(6),
      maxBytes: this.#random.chance(0.7) ? 1000 : this.#random.below(20)
    }
    return [`advance ${JSON.stringify(request)}`, async () => {
      const batch = await this.#subject.journal.advance(request)
      if (batch !== null) this.#ends = [...this.#ends.slice(-10), { term: batch.term, seq: batch.last }]
      return batch
    }, () => this.#model.advance(request)]
  }

  #lease (): Act {
    const lease = this.#someLease
    const { journal } = this.#subject
    if (this.#random.chance(0.3)) return ['release', () => journal.releaseLease(lease), () => this.#model.releaseLease(lease)]
    if (this.#random.chance(0.5)) return ['terms', () => journal.terms(lease), () => this.#model.getTerms(lease)]
    const until = this.#subject.now() + this.#random.below(LEASE_MS)
    return ['renew', () => journal.renewLease(lease, until), () => this.#model.renewLease(lease, until)]
  }

  /** The queue stands where a failover or a restore could have left it: anywhere. */
  #reconcile (): Act {
    const lease = this.#someLease
    const lostAll = this.#random.chance(0.15)
    const policy = this.#random.chance(0.7) ? 'replay' : 'ignore'
    const watermarks = this.#model.terms.filter(() => this.#random.chance(0.9)).map(({ name, assigned }) => ({
      term: name, watermark: lostAll || this.#random.chance(0.1) ? null : this.#random.below(assigned + 3)
    }))
    return [`reconcile ${policy} ${JSON.stringify(watermarks)}`, () => this.#subject.journal.reconcile(lease, watermarks, policy),
      () => this.#model.reconcile(lease, watermarks, policy)]
  }

  #prune (): Act {
    const [lease, until, limit] = [this.#someLease, this.#position(), 1 + this.#random.below(8)]
    return [`prune ${JSON.stringify(until)} ${limit}`, () => this.#subject.journal.prune(lease, until, limit), () => this.#model.prune(lease, until, limit)]
  }

  #retire (): Act {
    const lease = this.#someLease
    if (this.#random.chance(0.5)) {
      const before = this.#subject.now() - this.#random.below(LEASE_MS * 3)
      return [`retire before ${before}`, () => this.#subject.journal.retireTerms(lease, before), () => this.#model.retireTerms(lease, before)]
    }
    const terms = this.#leases.filter(() => this.#random.chance(0.5))
    return [`forget ${terms.length}`, () => this.#subject.journal.forgetTerms(lease, terms), () => this.#model.forgetTerms(lease, terms)]
  }

  #bury (): Act {
    const [lease, position] = [this.#someLease, this.#position()]
    return [`bury ${JSON.stringify(position)}`, () => this.#subject.journal.bury(lease, position, 'bad', 2), () => this.#model.bury(lease, position, 'bad', 2)]
  }

  #deadLetters (): Act {
    const ids = Array.from({ length: 1 + this.#random.below(3) }, () => String(1 + this.#random.below(10)))
    const { journal } = this.#subject
    const dice = this.#random.next()
    if (dice < 0.3) return [`replay ${ids}`, () => journal.replayDeadLetters(ids), () => this.#model.replayDeadLetters(ids)]
    if (dice < 0.4) return [`purge ${ids}`, () => journal.purgeDeadLetters(ids), () => this.#model.purgeDeadLetters(ids)]
    const query = { limit: 1 + this.#random.below(5), before: dice < 0.6 ? ids[0]! : null, key: dice < 0.8 ? this.#random.pick(KEYS) : null }
    return [`list ${JSON.stringify(query)}`, () => journal.deadLetters(query), () => this.#model.deadLetters(query)]
  }
}

async function settle (act: () => unknown): Promise<unknown> {
  try {
    return await act()
  } catch (err) {
    return (err as { code?: string }).code ?? err
  }
}
