import t from 'tap'
import { SlidingWindow } from '../../../services/resilience/breaker/sliding-window.ts'

function counts (window: SlidingWindow, now: number): number[] {
  window.tally(now)
  return [window.calls, window.failures, window.slow]
}

t.test('R4.1 counts what is in the window, by whole buckets', async t => {
  const window = new SlidingWindow(1000, 10)
  t.same(counts(window, 0), [0, 0, 0])
  window.addSuccess(0)
  window.add(99, true, false)
  window.add(100, false, true)
  window.add(999, true, true)
  t.same(counts(window, 999), [4, 2, 2])
  t.same(counts(window, 1000), [2, 1, 2], 'the first bucket has left')
  t.same(counts(window, 1100), [1, 1, 1])
  t.same(counts(window, 1899), [1, 1, 1])
  t.same(counts(window, 1900), [0, 0, 0])
})

t.test('a bucket is reused for a later slice only once it is cleaned', async t => {
  const window = new SlidingWindow(1000, 10)
  for (let lap = 0; lap < 5; lap++) {
    window.add(lap * 1000 + 50, true, true)
    t.same(counts(window, lap * 1000 + 60), [1, 1, 1])
  }
  window.add(1_000_000, true, false)
  t.same(counts(window, 1_000_000), [1, 1, 0])
  window.clear()
  t.same(counts(window, 1_000_000), [0, 0, 0])
})

t.test('a clock that goes back neither loses counts nor brings old ones to life', async t => {
  const window = new SlidingWindow(1000, 10)
  window.add(50, true, false)
  window.add(5100, true, false)
  window.add(4000, true, false)
  t.same(counts(window, 4000), [2, 2, 0])
  t.same(counts(window, 100), [2, 2, 0])
})

t.test('a clock below zero and a width that is no whole number', async t => {
  const window = new SlidingWindow(100, 3)
  window.add(-250, true, false)
  window.add(-210, true, false)
  t.same(counts(window, -201), [2, 2, 0])
  window.add(-50, false, false)
  t.same(counts(window, 0), [1, 0, 0])
  window.add(33.4, true, false)
  t.same(counts(window, 34), [1, 1, 0])
  // 7 × (1 / 3) is a little less than 7 thirds, so this lies beyond the end of the slice it belongs to.
  const rounded = new SlidingWindow(1, 3)
  rounded.addSuccess(2.2)
  rounded.addSuccess(7 * (1 / 3))
  t.same(counts(rounded, 2.2), [2, 0, 0])
})
