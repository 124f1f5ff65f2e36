import t from 'tap'
import type { AdvanceRequest, Batch, Position } from '../../../services/journal/journal.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import type { Teardown } from '../../helpers/redis-server.ts'

const LEASE_MS = 5000

function open (t: Teardown, limits = { maxRows: 1000, maxBytes: 1e6 }) {
  const clock = { now: 1_000_000 }
  const engine = new InlineEngine({ limits, now: () => clock.now })
  t.teardown(() => engine.close())
  const journal = new SqliteJournal(engine, 'none')
  const append = (...bodies: string[]) => journal.append(bodies.map((body) => ({ key: 'model', body })))
  const lead = async () => (await journal.acquireLease('relay', LEASE_MS))!
  const advance = (lease: string, request: Partial<AdvanceRequest> = {}) => journal.advance({
    lease, leaseUntil: clock.now + LEASE_MS, published: null, after: null, maxRows: 500, maxBytes: 1e6, ...request
  })
  /** Publishes everything there is and returns where that ends. */
  const publishAll = async (lease: string): Promise<Position | null> => {
    let published: Position | null = null
    for (let batch; (batch = await advance(lease, { published, after: published })) !== null;) published = endOf(batch)
    return published
  }
  return { journal, clock, append, lead, advance, publishAll }
}

function endOf ({ term, last: seq }: Batch): Position {
  return { term, seq }
}

t.test('R5.2 one relay at a time: a lease is refused while held, and taken over when it expires', async (t) => {
  const { journal, clock, lead, advance } = open(t)
  const first = await lead()
  t.equal(await journal.acquireLease('other', LEASE_MS), null, 'held')
  clock.now += LEASE_MS - 1
  await journal.renewLease(first, clock.now + LEASE_MS)
  clock.now += LEASE_MS - 1
  t.equal(await journal.acquireLease('other', LEASE_MS), null, 'renewed')
  clock.now += 1
  const second = await journal.acquireLease('other', LEASE_MS)
  t.type(second, 'string', 'expired')
  t.not(second, first, 'a new lease is a new term')

  const acts: (() => Promise<unknown>)[] = [
    () => journal.renewLease(first, clock.now + LEASE_MS), () => journal.releaseLease(first), () => advance(first),
    () => journal.terms(first), () => journal.reconcile(first, [], 'replay'), () => journal.prune(first, { term: first, seq: 1 }, 1),
    () => journal.retireTerms(first, 0), () => journal.forgetTerms(first, [])
  ]
  for (const act of acts) await t.rejects(act, { code: 'FST_BRK_LEASE_LOST' })

  await journal.releaseLease(second!)
  t.type(await journal.acquireLease('third', LEASE_MS), 'string', 'released: free at once')
})

t.test('R5.2 a lease written by a clock that was set back does not block for ever', async (t) => {
  const { journal, clock, lead } = open(t)
  await lead()
  clock.now -= 3_600_000
  t.type(await journal.acquireLease('other', LEASE_MS), 'string')
})

t.test('I4 numbers follow insert order, dense from 1, in batches bounded by rows and bytes', async (t) => {
  const { append, lead, advance } = open(t)
  await append('a', 'b', 'c')
  const lease = await lead()
  const first = await advance(lease, { maxRows: 2 })
  t.strictSame(first, { term: lease, first: 1, last: 2, bodies: ['a', 'b'], previous: null })
  await append('d')
  t.strictSame(await advance(lease, { after: endOf(first!) }), { term: lease, first: 3, last: 4, bodies: ['c', 'd'], previous: null })
  t.strictSame((await advance(lease, { maxBytes: 3 }))!.bodies, ['a', 'b', 'c'], 'unpublished: handed out again, as many bytes as fit')
  t.strictSame((await advance(lease, { maxBytes: 0 }))!.bodies, ['a'], 'one message always fits')
})

t.test('I4 rows of an earlier term keep their numbers, go first, and chain to the term before', async (t) => {
  const { append, lead, advance, clock } = open(t)
  await append('a', 'b')
  const first = await lead()
  await advance(first, { maxRows: 1 })
  clock.now += LEASE_MS
  const second = await lead()
  const old = await advance(second)
  t.strictSame(old, { term: first, first: 1, last: 1, bodies: ['a'], previous: null })
  const fresh = await advance(second, { after: endOf(old!) })
  t.strictSame(fresh, { term: second, first: 1, last: 1, bodies: ['b'], previous: { term: first, seq: 1 } })
  t.equal(await advance(second, { published: endOf(fresh!), after: endOf(fresh!) }), null)
})

t.test('R5.6 the high-water mark refuses with a coded 503, and stores nothing', async (t) => {
  const { journal, append, lead, publishAll } = open(t, { maxRows: 3, maxBytes: 100 })
  await append('a', 'b')
  await t.rejects(append('c', 'd'), { code: 'FST_BRK_JOURNAL_FULL', statusCode: 503 }, 'by rows')
  await t.rejects(append('x'.repeat(99)), { code: 'FST_BRK_JOURNAL_FULL' }, 'by bytes')
  t.match(await journal.stats(), { pendingRows: 2, pendingBytes: 2, full: false })
  await append('c')
  t.match(await journal.stats(), { pendingRows: 3, full: true })

  await publishAll(await lead())
  t.match(await journal.stats(), { pendingRows: 0, retainedRows: 3, full: false })
  await append('d', 'e')
  const stats = await journal.stats()
  t.equal(stats.pendingRows, 2, 'retained messages make room')
  t.ok(stats.pendingRows + stats.retainedRows <= 3, 'I9 the disk stays bounded')
})

t.test('R7 statistics: depth, bytes and the age of the oldest message that waits', async (t) => {
  const { journal, clock, append, lead, advance } = open(t)
  t.strictSame(await journal.stats(), {
    pendingRows: 0, pendingBytes: 0, retainedRows: 0, retainedBytes: 0, oldestPendingAgeMs: 0, full: false
  })
  await append('ä')
  clock.now += 70
  await append('b')
  t.match(await journal.stats(), { pendingRows: 2, pendingBytes: 3, oldestPendingAgeMs: 70 }, 'not numbered yet')
  const lease = await lead()
  const batch = await advance(lease)
  t.match(await journal.stats(), { oldestPendingAgeMs: 70 }, 'numbered')
  await advance(lease, { published: { term: batch!.term, seq: 1 } })
  t.match(await journal.stats(), { pendingRows: 1, pendingBytes: 1, retainedBytes: 2, oldestPendingAgeMs: 0 })
})

t.test('R5.3 marking is idempotent, never goes back, and ignores terms it does not know', async (t) => {
  const { journal, append, lead, advance, publishAll } = open(t)
  await append('a', 'b')
  const lease = await lead()
  await publishAll(lease)
  t.equal(await advance(lease, { published: { term: lease, seq: 1 } }), null)
  t.equal(await advance(lease, { published: { term: 'unknown', seq: 9 }, after: { term: 'unknown', seq: 9 } }), null)
  t.match(await journal.stats(), { pendingRows: 0, retainedRows: 2 })
})

t.test('R5.3 reconcile follows the queue back and forth', async (t) => {
  const { journal, append, lead, advance, publishAll } = open(t)
  await append('a', 'b', 'c')
  const lease = await lead()
  await publishAll(lease)
  const at = (watermark: number | null) => journal.reconcile(lease, [{ term: lease, watermark }], 'replay')

  t.match(await at(3), { empty: false, rewound: 0, confirmed: 0, lost: 0, rebases: [], published: { term: lease, seq: 3 } })
  t.match(await at(1), { rewound: 2, rebases: [] }, 'a failover forgot two')
  t.strictSame((await advance(lease))!.bodies, ['b', 'c'])
  t.match(await at(2), { confirmed: 1 }, 'one had arrived after all')
  t.match(await at(99), { confirmed: 1 }, 'a watermark beyond our numbers, from before a restore')
  t.match(await at(null), { empty: true, rewound: 3, published: null }, 'Redis came back empty')
  t.match(await journal.stats(), { pendingRows: 3 })
})

t.test('R5.3 policy ignore: an empty Redis counts as consumed, and numbering goes on', async (t) => {
  const { journal, append, lead, publishAll } = open(t)
  await append('a', 'b')
  const lease = await lead()
  await publishAll(lease)
  t.match(await journal.reconcile(lease, [{ term: lease, watermark: null }], 'ignore'),
    { empty: true, rewound: 0, lost: 0, rebases: [{ term: lease, expected: 0, to: 2 }] })
  t.match(await journal.stats(), { pendingRows: 0 })
})

t.test('R5.3 what retention pruned and the queue forgot is counted as lost, and stepped over', async (t) => {
  const { journal, append, lead, advance, publishAll } = open(t)
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

t.test('R5.3 retention prunes published messages only, in bounded batches', async (t) => {
  const { journal, append, lead, advance, clock } = open(t)
  await append('a', 'b', 'c', 'd')
  const lease = await lead()
  await advance(lease)
  await advance(lease, { published: { term: lease, seq: 3 } })
  t.equal(await journal.prune(lease, { term: lease, seq: 9 }, 2), 2)
  t.equal(await journal.prune(lease, { term: lease, seq: 9 }, 2), 1)
  t.equal(await journal.prune(lease, { term: lease, seq: 9 }, 2), 0, 'the unpublished one stays')
  t.equal(await journal.prune(lease, { term: 'unknown', seq: 9 }, 2), 0)
  clock.now += LEASE_MS
  const next = await lead()
  t.match(await advance(next), { term: lease, first: 4, bodies: ['d'] })
})

t.test('a term is retired when nothing needs it, and forgotten in two steps', async (t) => {
  const { journal, clock, append, lead, publishAll } = open(t)
  await append('a')
  const first = await lead()
  const end = await publishAll(first)
  clock.now += LEASE_MS
  const second = await lead()
  await append('b')
  await publishAll(second)
  t.strictSame(await journal.retireTerms(second, clock.now), [], 'its rows are still retained')
  await journal.prune(second, end!, 10)
  t.strictSame(await journal.retireTerms(second, 0), [], 'too young')
  t.strictSame(await journal.retireTerms(second, clock.now), [first])
  t.strictSame(await journal.terms(second), [second], 'no longer part of the chain')
  t.strictSame(await journal.retireTerms(second, clock.now), [first], 'told again until it is forgotten')
  await journal.forgetTerms(second, [first, second])
  t.strictSame(await journal.retireTerms(second, clock.now), [])
  t.strictSame(await journal.terms(second), [second], 'a term in use is never forgotten')
})

t.test('listeners hear of new entries, until they unsubscribe', async (t) => {
  const { journal, append } = open(t)
  let calls = 0
  const unsubscribe = journal.onAppend(() => { calls++ })
  await append('a')
  unsubscribe()
  await append('b')
  t.equal(calls, 1)
})
