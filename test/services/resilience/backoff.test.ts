import t from 'tap'
import { equalJitter, exponential, fullJitter } from '../../../services/resilience/backoff.ts'

t.test('exponential delays double up to the cap, for any attempt', async t => {
  t.same([0, 1, 2, 3, 4, 2000].map(attempt => exponential(attempt, 100, 1000)), [100, 200, 400, 800, 1000, 1000])
  t.equal(exponential(5000, 0, 1000), 0)
})

t.test('full jitter is anywhere between 0 and the delay', async t => {
  t.equal(fullJitter(2, 100, 1000, () => 0), 0)
  t.equal(fullJitter(2, 100, 1000, () => 0.5), 200)
  for (let attempt = 0; attempt < 20; attempt++) t.ok(fullJitter(attempt, 100, 1000) < 1000)
})

t.test('equal jitter keeps half of the delay', async t => {
  t.equal(equalJitter(2, 100, 1000, () => 0), 200)
  t.equal(equalJitter(2, 100, 1000, () => 0.5), 300)
  for (let attempt = 0; attempt < 20; attempt++) t.ok(equalJitter(attempt, 100, 1000) >= 50)
})
