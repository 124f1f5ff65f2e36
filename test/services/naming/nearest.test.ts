import t from 'tap'
import { editDistance, nearest } from '../../../services/naming/nearest.ts'

t.test('the nearest name, upper and lower case alike, and none beyond the limit', async (t) => {
  const names = ['openMs', 'maxOpenMs', 'windowMs', 'minimumCalls']
  t.equal(nearest('openms', names), 'openMs')
  t.equal(nearest('windowMS', names), 'windowMs')
  t.equal(nearest('minCalls', names), 'minimumCalls')
  t.equal(nearest('', ['a']), 'a')
  t.equal(nearest('hots', ['port', 'host']), 'host')
  t.equal(nearest('zzz', ['host'], 2), null)
  t.equal(nearest('zzz', []), null)
})

t.test('a swap of neighbours counts once: it is the commonest slip of a typist', async (t) => {
  t.strictSame([editDistance('abc', 'abc'), editDistance('abc', 'acb'), editDistance('', 'ab'), editDistance('kitten', 'sitting')], [0, 1, 2, 3])
})
