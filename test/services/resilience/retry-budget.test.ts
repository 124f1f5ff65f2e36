import t from 'tap'
import { RetryBudget } from '../../../services/resilience/retry-budget.ts'

t.test('R3.5 retries are paid from a budget that successes fill', async t => {
  const budget = new RetryBudget()
  let retries = 0
  while (budget.spend()) retries++
  t.equal(retries, 100, 'a hundred in a row, then none')
  for (let call = 0; call < 4; call++) budget.succeed()
  t.notOk(budget.spend(), 'four successes do not pay for one')
  budget.succeed()
  t.ok(budget.spend(), 'five do')
  t.equal(budget.tokens, 0)
})

t.test('a retry after a timeout costs twice as much, and what cannot be paid takes nothing', async t => {
  const budget = new RetryBudget({ capacity: 12 })
  t.ok(budget.spend(true))
  t.notOk(budget.spend(true))
  t.equal(budget.tokens, 2)
})

t.test('the budget never grows past its capacity, and 0 means no retries at all', async t => {
  const full = new RetryBudget({ capacity: 6, refund: 4 })
  full.succeed()
  t.equal(full.tokens, 6)
  full.spend()
  full.succeed()
  full.succeed()
  t.equal(full.tokens, 6)
  t.notOk(new RetryBudget({ capacity: 0 }).spend())
})
