import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import t from 'tap'
import type { AdvanceRequest, Batch, JournalLimits, Position } from '../../../services/journal/journal.ts'
import { JournalDatabase } from '../../../services/journal/sqlite/database.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { journalMigrations, migrate } from '../../../services/journal/sqlite/schema.ts'
import { InlineEngine } from '../../helpers/inline-engine.ts'
import { Random } from '../../helpers/random.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { temporaryDirectory } from '../../helpers/temporary.ts'

const LEASE_MS = 5000

function open (t: Teardown, limits: JournalLimits = { maxRows: 1000, maxBytes: 1e6 }, path = ':memory:') {
  const clock = { now: 1_000_000 }
  const engine = new InlineEngine({ path, limits, now: () => clock.now })
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

t.test('R5.2 a lease written by a clock that was set back does not block for ever', async (t) => {
  const { journal, clock, lead } = open(t)
  await lead()
  clock.now -= 3_600_000
  t.type(await journal.acquireLease('other', LEASE_MS), 'string')
})

t.test('R5.7 an embedded database cannot join a transaction, says so, and stores nothing', async (t) => {
  const { journal } = open(t)
  await t.rejects(journal.append([{ key: 'model', body: 'a' }], { query: async () => ({ rows: [] }) }), { code: 'FST_BRK_TRANSACTION_UNSUPPORTED' })
  t.match(await journal.stats(), { pendingRows: 0 })
})

t.test('R5.5 a buried message keeps its number, its bytes and its story, and repeating changes nothing', async (t) => {
  const { journal, clock, append, lead, advance, publishAll } = open(t)
  await append('first', 'poison ä', 'third')
  const lease = await lead()
  await advance(lease)
  clock.now += 30
  for (let time = 0; time < 2; time++) await journal.bury(lease, { term: lease, seq: 2 }, 'too large', 3)
  t.match(await advance(lease), { first: 1, last: 3, bodies: ['first', '', 'third'] })
  t.match(await journal.stats(), { pendingRows: 3, pendingBytes: 10, deadRows: 1 })
  t.strictSame(await journal.deadLetters({ limit: 10 }),
    [{ id: '1', key: 'model', body: 'poison ä', reason: 'too large', attempts: 3, acceptedAt: 1_000_000, failedAt: 1_000_030 }])
  for (const position of [{ term: 'unknown', seq: 1 }, { term: lease, seq: 4 }]) await journal.bury(lease, position, 'nothing there', 1)
  await publishAll(lease)
  await journal.bury(lease, { term: lease, seq: 1 }, 'in the queue already', 1)
  t.match(await journal.stats(), { pendingRows: 0, pendingBytes: 0, retainedRows: 3, retainedBytes: 10, deadRows: 1 })

  const at = (watermark: number) => journal.reconcile(lease, [{ term: lease, watermark }], 'replay')
  t.match(await at(1), { rewound: 2, lost: 0, rebases: [] }, 'a buried number is not lost')
  t.match(await at(3), { confirmed: 2, lost: 0 })
  t.equal(await journal.prune(lease, { term: lease, seq: 3 }, 10), 3)
  t.match(await journal.stats(), { pendingRows: 0, retainedRows: 0, retainedBytes: 0, deadRows: 1 }, 'retention leaves dead letters alone')
})

t.test('R5.5 dead letters are listed from the newest, replayed within the limits, and purged', async (t) => {
  const { journal, append, lead, advance, publishAll } = open(t, { maxRows: 5, maxBytes: 1000 })
  await journal.append(['a', 'b', 'c', 'd'].map((body, index) => ({ key: index % 2 === 0 ? 'even' : 'odd', body })))
  const lease = await lead()
  await advance(lease)
  for (const seq of [1, 2, 3, 4]) await journal.bury(lease, { term: lease, seq }, 'reason', 1)
  const bodies = async (query: Partial<Parameters<typeof journal.deadLetters>[0]>) =>
    (await journal.deadLetters({ limit: 10, ...query })).map(({ body }) => body)
  t.strictSame(await bodies({}), ['d', 'c', 'b', 'a'])
  t.strictSame(await bodies({ limit: 2, before: '4' }), ['c', 'b'])
  t.strictSame(await bodies({ key: 'even' }), ['c', 'a'])
  t.strictSame(await bodies({ key: 'even', before: '3' }), ['a'])
  t.strictSame(await bodies({ before: 'nonsense' }), [])

  await t.rejects(journal.replayDeadLetters(['1', '2']), { code: 'FST_BRK_JOURNAL_FULL' }, 'four wait, the limit is five')
  t.match(await journal.stats(), { pendingRows: 4, deadRows: 4 })
  await publishAll(lease)
  let calls = 0
  journal.onAppend(() => { calls++ })
  t.strictSame(await journal.replayDeadLetters(['3', '1', '1', '99', 'nonsense']), ['1', '3'])
  t.strictSame(await journal.replayDeadLetters(['1']), [])
  t.equal(calls, 1, 'the relay is woken')
  await append('e')
  t.match(await advance(lease), { bodies: ['a', 'c', 'e'] }, 'as the newest')
  t.strictSame(await journal.purgeDeadLetters(['2', '3', '4']), ['2', '4'])
  t.match(await journal.stats(), { deadRows: 0 })
  t.strictSame(await bodies({}), [])
})

t.test('R5.6 pressure rises with rows, bytes and age, and an old backlog refuses', async (t) => {
  const { journal, clock, append, lead, advance, publishAll } = open(t, { maxRows: 10, maxBytes: 100, maxAgeMs: 10_000, highRatio: 0.5 })
  const pressure = async () => (await journal.stats()).pressure
  await append('a', 'b', 'c', 'd')
  t.equal(await pressure(), 'none')
  await append('e')
  t.equal(await pressure(), 'high', 'rows')
  await publishAll(await lead())
  t.equal(await pressure(), 'none')
  await append('x'.repeat(60))
  t.equal(await pressure(), 'high', 'bytes')
  clock.now += LEASE_MS
  const lease = await lead()
  await publishAll(lease)
  await append('old')
  clock.now += 4999
  t.equal(await pressure(), 'none')
  clock.now += 1
  t.equal(await pressure(), 'high', 'age')
  clock.now += 5000
  await append('still in time')
  clock.now += 1001
  t.equal(await pressure(), 'full')
  await t.rejects(append('late'), { code: 'FST_BRK_JOURNAL_FULL' })
  const batch = await advance(lease)
  await advance(lease, { published: { term: batch!.term, seq: batch!.first } })
  await append('accepted at once when the oldest has gone')
})

t.test('I4 numbers stay dense where requests fail, groups start over and transactions roll back', async (t) => {
  const random = new Random(7)
  const failing = {
    migrations: [],
    createOperations: ({ append }: any) => ({
      appendAndFail (body: string, flushed: boolean) {
        append.append(['model', body])
        if (flushed) append.flush()
        throw new Error('after the append')
      }
    })
  }
  const database = new JournalDatabase({ path: ':memory:', limits: { maxRows: 1e6, maxBytes: 1e6 }, modules: [] }, [failing])
  t.teardown(() => database.close())
  const run = (operation: string, ...args: unknown[]) => (database.execute([{ operation, args }])[0] as any).value
  const wanted: string[] = []
  const found: string[] = []
  let lease = run('acquireLease', 'relay', -1)
  let position: Position | null = null
  let count = 0
  for (let round = 0; round < 300; round++) {
    const group = Array.from({ length: random.below(40) }, () => {
      const body = `m${++count}`
      if (random.chance(0.05)) return { operation: 'appendAndFail', args: [body, random.chance(0.5)] }
      if (random.chance(0.02)) return { operation: 'append', args: [['model', 'x'.repeat(1e6 + 1)]] }
      return { operation: 'append', args: [['model', body]] }
    })
    database.execute(group).forEach(({ ok }, index) => { if (ok) wanted.push((group[index]!.args[0] as string[])[1]!) })
    if (random.chance(0.1)) lease = run('acquireLease', 'relay', -1)
    for (let batch: Batch | null; (batch = run('advance', {
      lease, leaseUntil: 0, published: position, after: position, maxRows: 50, maxBytes: 1e6
    })) !== null;) {
      t.equal(batch.first, position?.term === batch.term ? position.seq + 1 : 1)
      found.push(...batch.bodies)
      position = endOf(batch)
    }
    if (position !== null && random.chance(0.2)) run('prune', lease, position, random.below(200))
  }
  t.strictSame(found, wanted)
  t.match(run('stats'), { pendingRows: 0, pendingBytes: 0 })
})

t.test('a database of the version before keeps its numbers, terms and backlog', async (t) => {
  const path = join(await temporaryDirectory(t), 'former.db')
  const former = new DatabaseSync(path)
  migrate(former, journalMigrations.slice(0, 1))
  const insert = former.prepare('INSERT INTO journal (key, body, size_bytes, created_at, term_id, seq) VALUES (?, ?, ?, ?, ?, ?)')
  const rows: [string, number | null, number | null][] = [
    ['gone', 1, 1], ['a', 2, 1], ['b', 2, 2], ['c', 2, 3], ['d', 3, 1], ['e', null, null]
  ]
  for (const [body, term, seq] of rows) insert.run('model', body, body.length, 1, term, seq)
  former.exec(`DELETE FROM journal WHERE body IN ('gone', 'a');
    INSERT INTO terms (term, created_at, assigned_seq, published_seq) VALUES ('one', 1, 1, 1), ('two', 1, 3, 2), ('three', 1, 1, 0), ('unused', 1, 0, 0);
    UPDATE journal_totals SET pending_rows = 3, pending_bytes = 3, total_rows = 4, total_bytes = 4, last_numbered_id = 5`)
  const { journal, lead, append, advance } = open(t, undefined, path)
  t.match(await journal.stats(), { pendingRows: 3, retainedRows: 1 })
  t.throws(() => former.prepare('SELECT seq FROM journal').get(), /no such column/, 'a process of that version cannot number any more')
  insertAsBefore(former, 'f')
  const lease = await lead()
  t.strictSame(await journal.terms(lease), ['one', 'two', 'three'])
  const first = await advance(lease)
  t.strictSame(first, { term: 'two', first: 3, last: 3, bodies: ['c'], previous: { term: 'one', seq: 1 } })
  const second = await advance(lease, { published: endOf(first!), after: endOf(first!) })
  t.strictSame(second, { term: 'three', first: 1, last: 1, bodies: ['d'], previous: { term: 'two', seq: 3 } })
  await append('g')
  const third = await advance(lease, { published: endOf(second!), after: endOf(second!) })
  t.strictSame(third, { term: lease, first: 1, last: 3, bodies: ['e', 'f', 'g'], previous: { term: 'three', seq: 1 } })
  t.match(await journal.reconcile(lease, [{ term: 'one', watermark: 0 }, { term: 'two', watermark: 0 }], 'replay'),
    { lost: 2, rewound: 2, rebases: [{ term: 'one', expected: 0, to: 1 }, { term: 'two', expected: 0, to: 1 }] }, 'pruned before the migration')
  t.strictSame((await advance(lease))!.bodies, ['b', 'c'])
  former.close()
})

/** Another process, still of that version, accepts a message. */
function insertAsBefore (former: DatabaseSync, body: string): void {
  former.exec(`BEGIN IMMEDIATE; INSERT INTO journal (key, body, size_bytes, created_at) VALUES ('model', '${body}', 1, 1);
    UPDATE journal_totals SET pending_rows = pending_rows + 1, pending_bytes = pending_bytes + 1, total_rows = total_rows + 1,
      total_bytes = total_bytes + 1; COMMIT`)
}
