import t from 'tap'
import { Account } from '../../scripts/chaos/account.ts'
import { chaos } from '../../scripts/chaos/run.ts'

const SEED = Number(process.env.SEED ?? 20261121)

t.setTimeout(240_000)

t.test('R5.3, I3 twenty rounds of kill -9, freeze, flush and failover: every acknowledged message once, in order, none other', { timeout: 180_000 }, async (t) => {
  const result = await chaos(t, { seed: SEED, rounds: 20 })
  t.strictSame(result.problems, [], `seed ${SEED}`)
  t.ok(result.accepted > 200, `${result.accepted} accepted`)
  t.ok(Object.keys(result.faults).length >= 5, `faults ${JSON.stringify(result.faults)}`)
})

t.test('the account notices loss, duplicates, disorder and strangers', async (t) => {
  const account = new Account()
  for (const version of [1, 2, 3]) account.record('a', version, 'accepted')
  account.record('a', 4, 'unknown')
  const at = (...versions: number[]) => account.settle(versions.map((version) => ({ writer: 'a', version })))
  t.strictSame(at(1, 2, 3), [])
  t.strictSame(at(1, 2, 3, 4), [], 'unanswered: there or not')
  t.strictSame(at(1, 3), ['a: lost 2'])
  t.strictSame(at(1, 2, 2, 3), ['a: 1 duplicates'])
  t.strictSame(at(1, 3, 2), ['a: out of order at 2'])
  t.strictSame(at(1, 2, 3, 9), ['a: nobody sent 9'])
  t.strictSame(account.settle([...[1, 2, 3].map((version) => ({ writer: 'a', version })), { writer: 'b', version: 1 }]), ['unknown writers b'])
  t.equal(account.accepted, 3)
})
