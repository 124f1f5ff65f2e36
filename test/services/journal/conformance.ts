import type t from 'tap'
import type { AdvanceRequest, Batch, Journal, JournalLimits, Position } from '../../../services/journal/journal.ts'

type Test = Pick<typeof t, 'test' | 'teardown' | 'equal' | 'not' | 'ok' | 'type' | 'match' | 'strictSame' | 'rejects' | 'pass' | 'fail'>

/** One journal of its own, empty. */
export interface Subject {
  journal: Journal
  /** By the clock that the journal and its callers share. */
  now (): number
  elapse (ms: number): Promise<void> | void
}

export type OpenSubject = (t: Test, limits?: JournalLimits) => Promise<Subject>

const LEASE_MS = 30_000
const AMPLE: JournalLimits = { maxRows: 1e6, maxBytes: 1e9 }

function endOf ({ term, last: seq }: Batch): Position {
  return { term, seq }
}

function helpers ({ journal, now, elapse }: Subject) {
  const append = (...bodies: string[]) => journal.append(bodies.map((body) => ({ key: 'model', body })))
  const lead = async (owner = 'relay') => (await journal.acquireLease(owner, LEASE_MS))!
  const advance = (lease: string, request: Partial<AdvanceRequest> = {}) => journal.advance({
    lease, leaseUntil: now() + LEASE_MS, published: null, after: null, maxRows: 500, maxBytes: 1e6, ...request
  })
  /** Publishes everything there is and returns where that ends. */
  const publishAll = async (lease: string): Promise<Position | null> => {
    let published: Position | null = null
    for (let batch; (batch = await advance(lease, { published, after: published })) !== null;) published = endOf(batch)
    return published
  }
  const expire = async (lease: string) => {
    await journal.renewLease(lease, now() + 1)
    await elapse(5)
  }
  const takeOver = async (lease: string) => {
    await expire(lease)
    return await lead('other')
  }
  return { journal, now, elapse, append, lead, advance, publishAll, expire, takeOver }
}

/** What every engine of the journal does. `open` gives a new empty one for each test. */
export function conformance (t: Test, open: OpenSubject): void {
  const test = (name: string, limits: JournalLimits, run: (t: Test, subject: ReturnType<typeof helpers>) => Promise<void>) => {
    t.test(name, async (t: Test) => { await run(t, helpers(await open(t, limits))) })
  }
  leases(test)
  numbering(test)
  limits(test)
  reconciliation(test)
  deadLetters(test)
}

type Define = (name: string, limits: JournalLimits, run: (t: Test, subject: ReturnType<typeof helpers>) => Promise<void>) => void

function leases (test: Define): void {
  test('R5.2 one relay at a time: a lease is refused while held, taken over when it expires, free at once when released', AMPLE, async (t, { journal, now, lead, takeOver }) => {
    const first = await lead()
    t.equal(await journal.acquireLease('other', LEASE_MS), null, 'held')
    t.equal(await journal.acquireLease('relay', LEASE_MS), null, 'held, for its owner too')
    await journal.renewLease(first, now() + LEASE_MS)
    t.equal(await journal.acquireLease('other', LEASE_MS), null, 'renewed')
    const second = await takeOver(first)
    t.type(second, 'string', 'expired')
    t.not(second, first, 'a new lease is a new term')
    await journal.releaseLease(second)
    t.type(await journal.acquireLease('third', LEASE_MS), 'string', 'released: free at once')
  })

  test('R5.2 who has lost the lease can change nothing', AMPLE, async (t, { journal, now, append, lead, advance, publishAll, takeOver }) => {
    const first = await lead()
    await append('a', 'b')
    await publishAll(first)
    const second = await takeOver(first)
    const position = { term: first, seq: 1 }
    const acts: (() => Promise<unknown>)[] = [
      () => journal.renewLease(first, now() + LEASE_MS), () => journal.releaseLease(first), () => advance(first, { published: position }),
      () => journal.terms(first), () => journal.reconcile(first, [{ term: first, watermark: 0 }], 'replay'), () => journal.prune(first, position, 1),
      () => journal.retireTerms(first, now()), () => journal.forgetTerms(first, [first]), () => journal.bury(first, position, 'bad', 1)
    ]
    for (const act of acts) await t.rejects(act, { code: 'FST_BRK_LEASE_LOST' })
    t.match(await journal.stats(), { pendingRows: 0, retainedRows: 2, deadRows: 0 })
    t.strictSame(await journal.terms(second), [first])
    await journal.releaseLease(second)
    await t.rejects(journal.terms(second), { code: 'FST_BRK_LEASE_LOST' }, 'nor who gave it back')
  })

  test('R5.2 an advance extends the lease', AMPLE, async (t, { journal, now, elapse, lead, advance, expire }) => {
    const lease = await lead()
    await expire(lease)
    await advance(lease, { leaseUntil: now() + LEASE_MS })
    await elapse(1)
    t.equal(await journal.acquireLease('other', LEASE_MS), null, 'an expired lease that nobody took is extended')
  })

  test('a term is retired when nothing needs it, and forgotten in two steps', AMPLE, async (t, { journal, now, elapse, append, lead, publishAll, takeOver }) => {
    await append('a')
    const first = await lead()
    const end = await publishAll(first)
    const second = await takeOver(first)
    await append('b')
    await publishAll(second)
    await elapse(5)
    t.strictSame(await journal.retireTerms(second, now()), [], 'its rows are still retained')
    await journal.prune(second, end!, 10)
    t.strictSame(await journal.retireTerms(second, now() - 60_000), [], 'too young')
    t.strictSame(await journal.retireTerms(second, now()), [first])
    t.strictSame(await journal.terms(second), [second], 'no longer part of the chain')
    t.strictSame(await journal.retireTerms(second, now()), [first], 'told again until it is forgotten')
    await journal.forgetTerms(second, [first, second])
    t.strictSame(await journal.retireTerms(second, now()), [])
    t.strictSame(await journal.terms(second), [second], 'a term in use is never forgotten')
  })

  test('listeners hear of new entries, until they unsubscribe', AMPLE, async (t, { journal, append }) => {
    let calls = 0
    const unsubscribe = journal.onAppend(() => { calls++ })
    await append('a')
    t.ok(calls >= 1)
    unsubscribe()
    const before = calls
    await append('b')
    t.equal(calls, before)
  })
}

function numbering (test: Define): void {
  test('I4 numbers follow insert order, dense from 1, in batches bounded by rows and bytes', AMPLE, async (t, { append, lead, advance }) => {
    await append('a', 'b', 'c')
    const lease = await lead()
    const first = await advance(lease, { maxRows: 2 })
    t.strictSame(first, { term: lease, first: 1, last: 2, bodies: ['a', 'b'], previous: null })
    await append('d')
    t.strictSame(await advance(lease, { after: endOf(first!) }), { term: lease, first: 3, last: 4, bodies: ['c', 'd'], previous: null })
    t.strictSame((await advance(lease, { maxBytes: 3 }))!.bodies, ['a', 'b', 'c'], 'unpublished: handed out again, as many bytes as fit')
    t.strictSame((await advance(lease, { maxBytes: 0 }))!.bodies, ['a'], 'one message always fits')
    t.equal(await advance(lease, { after: { term: lease, seq: 4 } }), null, 'nothing more')
  })

  test('I4 rows of an earlier term keep their numbers, go first, and chain to the term before', AMPLE, async (t, { append, lead, advance, takeOver }) => {
    await append('a', 'b')
    const first = await lead()
    await advance(first, { maxRows: 1 })
    const second = await takeOver(first)
    const old = await advance(second)
    t.strictSame(old, { term: first, first: 1, last: 1, bodies: ['a'], previous: null })
    const fresh = await advance(second, { after: endOf(old!) })
    t.strictSame(fresh, { term: second, first: 1, last: 1, bodies: ['b'], previous: { term: first, seq: 1 } })
    t.equal(await advance(second, { published: endOf(fresh!), after: endOf(fresh!) }), null)
  })

  test('I4 concurrent appends keep the order in which they were made, and each stays whole', AMPLE, async (t, { journal, lead, advance }) => {
    const calls = Array.from({ length: 50 }, (_, call) => [`${call}-0`, `${call}-1`])
    await Promise.all(calls.map((bodies) => journal.append(bodies.map((body) => ({ key: 'model', body })))))
    t.strictSame((await advance(await lead()))!.bodies, calls.flat())
  })

  test('R5.8 every byte comes back as it was given', AMPLE, async (t, { journal, lead, advance }) => {
    const bodies = ['{"a":"b\\n\\u0000"}', 'ä€😀', 'a\0b', '\\x41 \\\\ \' " {} , NULL', '\r\n\t', 'x'.repeat(300_000)]
    await journal.append(bodies.map((body) => ({ key: 'schlüssel/"1"\\', body })))
    const lease = await lead()
    t.strictSame((await advance(lease))!.bodies, bodies)
    for (let seq = 1; seq <= bodies.length; seq++) await journal.bury(lease, { term: lease, seq }, 'too "large"\\', 1)
    const letters = await journal.deadLetters({ limit: 10 })
    t.strictSame(letters.map(({ body }) => body).reverse(), bodies)
    t.match(letters[0], { key: 'schlüssel/"1"\\', reason: 'too "large"\\' })
    await journal.replayDeadLetters(letters.map(({ id }) => id))
    t.strictSame((await advance(lease, { after: { term: lease, seq: bodies.length } }))!.bodies, bodies)
  })

  test('R5.3 marking is idempotent, never goes back, and ignores terms it does not know', AMPLE, async (t, { journal, append, lead, advance, publishAll }) => {
    await append('a', 'b')
    const lease = await lead()
    await publishAll(lease)
    t.equal(await advance(lease, { published: { term: lease, seq: 1 } }), null)
    t.equal(await advance(lease, { published: { term: 'unknown', seq: 9 }, after: { term: 'unknown', seq: 9 } }), null)
    t.match(await journal.stats(), { pendingRows: 0, retainedRows: 2 })
  })

  test('R5.3 retention prunes published messages only, in bounded batches', AMPLE, async (t, { journal, append, lead, advance, takeOver }) => {
    await append('a', 'b', 'c', 'd')
    const lease = await lead()
    await advance(lease)
    await advance(lease, { published: { term: lease, seq: 3 } })
    t.equal(await journal.prune(lease, { term: lease, seq: 9 }, 2), 2)
    t.equal(await journal.prune(lease, { term: lease, seq: 9 }, 2), 1)
    t.equal(await journal.prune(lease, { term: lease, seq: 9 }, 2), 0, 'the unpublished one stays')
    t.equal(await journal.prune(lease, { term: 'unknown', seq: 9 }, 2), 0)
    t.match(await journal.stats(), { pendingRows: 1, pendingBytes: 1, retainedRows: 0, retainedBytes: 0 })
    const next = await takeOver(lease)
    t.match(await advance(next), { term: lease, first: 4, bodies: ['d'] })
  })
}

function limits (test: Define): void {
  test('R5.6 the high-water mark refuses with a coded 503, and stores nothing', { maxRows: 5, maxBytes: 100 }, async (t, { journal, append, lead, advance, publishAll }) => {
    await append('a', 'b', 'c')
    t.match(await journal.stats(), { pressure: 'none' })
    await t.rejects(append('d', 'e', 'f'), { code: 'FST_BRK_JOURNAL_FULL', statusCode: 503 }, 'by rows')
    await t.rejects(append('x'.repeat(98)), { code: 'FST_BRK_JOURNAL_FULL' }, 'by bytes')
    t.match(await journal.stats(), { pendingRows: 3, pendingBytes: 3 })
    await append('d')
    t.match(await journal.stats(), { pendingRows: 4, pressure: 'high' })
    await append('e')
    t.match(await journal.stats(), { pendingRows: 5, pressure: 'full' })

    const lease = await lead()
    const published = await publishAll(lease)
    t.match(await journal.stats(), { pendingRows: 0, retainedRows: 5, pressure: 'none' })
    await append('f', 'g')
    t.match(await journal.stats(), { pendingRows: 2 }, 'retained messages make room')
    await advance(lease, { published, after: published })
    const stats = await journal.stats()
    t.ok(stats.pendingRows + stats.retainedRows <= 5, 'I9 the disk stays bounded')
  })

  test('R5.6 messages that wait too long stop new ones, until they are gone', { maxRows: 100, maxBytes: 1000, maxAgeMs: 1000, highRatio: 0.5 }, async (t, { journal, elapse, append, lead, publishAll }) => {
    await append('a')
    await elapse(600)
    await append('b')
    t.match(await journal.stats(), { pressure: 'high' })
    await elapse(600)
    await t.rejects(append('c'), { code: 'FST_BRK_JOURNAL_FULL' })
    t.match(await journal.stats(), { pendingRows: 2, pressure: 'full' })
    await publishAll(await lead())
    await append('c')
    t.match(await journal.stats(), { pendingRows: 1, pressure: 'none' })
  })

  test('R7 statistics: depth, bytes and the age of the oldest message that waits', AMPLE, async (t, { journal, now, elapse, append, lead, advance }) => {
    t.strictSame(await journal.stats(), {
      pendingRows: 0, pendingBytes: 0, retainedRows: 0, retainedBytes: 0, oldestPendingAgeMs: 0, deadRows: 0, pressure: 'none'
    })
    const age = async () => (await journal.stats()).oldestPendingAgeMs
    const begin = now()
    await append('ä')
    const appended = now()
    await elapse(70)
    await append('b')
    const isFirst = async (message: string) => {
      const earliest = now() - appended
      const measured = await age()
      t.ok(measured >= earliest - 2 && measured <= now() - begin + 2, message)
    }
    t.match(await journal.stats(), { pendingRows: 2, pendingBytes: 3 }, 'not numbered yet')
    await isFirst('not numbered')
    const lease = await lead()
    const batch = await advance(lease)
    await isFirst('numbered')
    await advance(lease, { published: { term: batch!.term, seq: 1 } })
    t.match(await journal.stats(), { pendingRows: 1, pendingBytes: 1, retainedRows: 1, retainedBytes: 2 })
    t.ok(await age() <= now() - appended - 65, 'the second')
    await advance(lease, { published: { term: batch!.term, seq: 2 } })
    t.equal(await age(), 0)
  })
}

function reconciliation (test: Define): void {
  test('R5.3 reconcile follows the queue back and forth', AMPLE, async (t, { journal, append, lead, advance, publishAll }) => {
    await append('a', 'b', 'c')
    const lease = await lead()
    await publishAll(lease)
    const at = (watermark: number | null) => journal.reconcile(lease, [{ term: lease, watermark }], 'replay')
    t.strictSame(await at(3), { empty: false, rewound: 0, confirmed: 0, lost: 0, rebases: [], published: { term: lease, seq: 3 } })
    t.match(await at(1), { rewound: 2, rebases: [] }, 'a failover forgot two')
    t.match(await journal.stats(), { pendingRows: 2, pendingBytes: 2, retainedRows: 1, retainedBytes: 1 })
    t.strictSame((await advance(lease))!.bodies, ['b', 'c'])
    t.match(await at(2), { confirmed: 1 }, 'one had arrived after all')
    t.match(await at(99), { confirmed: 1 }, 'a watermark beyond our numbers, from before a restore')
    t.match(await at(null), { empty: true, rewound: 3, published: null }, 'Redis came back empty')
    t.match(await journal.stats(), { pendingRows: 3 })
  })

  test('R5.3 policy ignore: an empty Redis counts as consumed, and numbering goes on', AMPLE, async (t, { journal, append, lead, publishAll }) => {
    await append('a', 'b')
    const lease = await lead()
    await publishAll(lease)
    t.match(await journal.reconcile(lease, [{ term: lease, watermark: null }], 'ignore'),
      { empty: true, rewound: 0, lost: 0, rebases: [{ term: lease, expected: 0, to: 2 }] })
    t.match(await journal.stats(), { pendingRows: 0 })
  })

  test('R5.3 what retention pruned and the queue forgot is counted as lost, and stepped over', AMPLE, async (t, { journal, append, lead, advance, publishAll }) => {
    await append('a', 'b', 'c', 'd')
    const lease = await lead()
    await publishAll(lease)
    await journal.prune(lease, { term: lease, seq: 2 }, 10)
    t.match(await journal.reconcile(lease, [{ term: lease, watermark: 1 }], 'replay'),
      { rewound: 2, lost: 1, rebases: [{ term: lease, expected: 1, to: 2 }] })
    t.match(await advance(lease), { first: 3, bodies: ['c', 'd'] })
    await publishAll(lease)
    await journal.prune(lease, { term: lease, seq: 4 }, 10)
    t.match(await journal.reconcile(lease, [{ term: lease, watermark: 2 }], 'replay'),
      { rewound: 0, lost: 2, rebases: [{ term: lease, expected: 2, to: 4 }] })
  })
}

function deadLetters (test: Define): void {
  test('R5.5 a buried message keeps its number, empty; the rest flows', AMPLE, async (t, { journal, now, append, lead, advance, publishAll, takeOver }) => {
    const begin = now()
    await append('aa', 'bbb', 'c')
    const lease = await lead()
    await advance(lease)
    await journal.bury(lease, { term: lease, seq: 2 }, 'refused', 4)
    await journal.bury(lease, { term: lease, seq: 2 }, 'again', 5)
    t.match(await journal.stats(), { pendingRows: 3, pendingBytes: 3, deadRows: 1 })
    t.strictSame((await advance(lease))!.bodies, ['aa', '', 'c'])
    const letters = await journal.deadLetters({ limit: 10 })
    t.match(letters, [{ id: String, key: 'model', body: 'bbb', reason: 'refused', attempts: 4 }])
    t.equal(letters.length, 1)
    t.ok(letters[0]!.acceptedAt >= begin - 1 && letters[0]!.failedAt >= letters[0]!.acceptedAt && letters[0]!.failedAt <= now() + 1)
    const next = await takeOver(lease)
    t.strictSame((await advance(next))!.bodies, ['aa', '', 'c'], 'for the next relay too')
    const end = await publishAll(next)
    t.match(await journal.stats(), { pendingRows: 0, pendingBytes: 0, retainedRows: 3, retainedBytes: 3 })
    t.equal(await journal.prune(next, end!, 10), 3)
    t.match(await journal.stats(), { retainedRows: 0, retainedBytes: 0, deadRows: 1 })
  })

  test('R5.5 only a message that is on its way can be buried', AMPLE, async (t, { journal, append, lead, advance }) => {
    await append('a', 'b', 'c')
    const lease = await lead()
    await advance(lease, { maxRows: 2 })
    await advance(lease, { published: { term: lease, seq: 1 }, maxRows: 1 })
    const positions = [{ term: lease, seq: 1 }, { term: lease, seq: 3 }, { term: lease, seq: 0 }, { term: 'unknown', seq: 1 }]
    for (const position of positions) await journal.bury(lease, position, 'bad', 1)
    t.match(await journal.stats(), { deadRows: 0 }, 'not what is published, has no number or does not exist')
  })

  test('R5.5 dead letters are listed from the newest, in pages and by key', AMPLE, async (t, { journal, lead, advance }) => {
    await journal.append(['a', 'b', 'a', 'b', 'a'].map((key, index) => ({ key, body: `m${index + 1}` })))
    const lease = await lead()
    await advance(lease)
    for (let seq = 1; seq <= 5; seq++) await journal.bury(lease, { term: lease, seq }, 'bad', 1)
    const bodies = async (query: Parameters<Journal['deadLetters']>[0]) => (await journal.deadLetters(query)).map(({ body }) => body)
    const [newest, second] = await journal.deadLetters({ limit: 2 })
    t.strictSame([newest!.body, second!.body], ['m5', 'm4'])
    t.strictSame(await bodies({ limit: 10, before: second!.id }), ['m3', 'm2', 'm1'])
    t.strictSame(await bodies({ limit: 10, key: 'b' }), ['m4', 'm2'])
    t.strictSame(await bodies({ limit: 1, key: 'a', before: newest!.id }), ['m3'])
    t.strictSame(await bodies({ limit: 10, key: 'c' }), [])
    t.strictSame(await bodies({ limit: 10, before: 'no id' }), [])
  })

  test('R5.5 replay appends them again, in their order; purge deletes them; both tell which were there', { maxRows: 6, maxBytes: 1000 }, async (t, { journal, append, lead, advance, publishAll }) => {
    await append('a', 'b', 'c', 'd')
    const lease = await lead()
    await advance(lease)
    for (let seq = 1; seq <= 4; seq++) await journal.bury(lease, { term: lease, seq }, 'bad', 1)
    const published = await publishAll(lease)
    const ids = (await journal.deadLetters({ limit: 10 })).map(({ id }) => id).reverse()
    t.strictSame(await journal.replayDeadLetters([ids[2]!, ids[0]!, '999999', 'no id']), [ids[0]!, ids[2]!])
    t.strictSame(await journal.replayDeadLetters([ids[0]!]), [], 'once')
    t.strictSame(await journal.purgeDeadLetters([ids[1]!, ids[0]!]), [ids[1]!])
    t.match(await journal.stats(), { pendingRows: 2, deadRows: 1 })
    t.strictSame((await advance(lease, { published, after: published }))!.bodies, ['a', 'c'])
    await append('e', 'f', 'g', 'h')
    await t.rejects(journal.replayDeadLetters([ids[3]!]), { code: 'FST_BRK_JOURNAL_FULL' })
    t.match(await journal.stats(), { pendingRows: 6, deadRows: 1 }, 'refused: it stays a dead letter')
    await journal.checkpoint()
  })
}
