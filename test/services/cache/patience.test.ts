import t from 'tap'
import { Patience } from '../../../services/cache/patience.ts'

function patience (options: { minMs?: number, maxMs?: number } = {}) {
  const time = { now: 1000 }
  const changes: boolean[] = []
  return { time, changes, patience: new Patience({ ...options, clock: () => time.now, onChange: (suspected) => changes.push(suspected) }) }
}

t.test('R9.1 patience follows what Redis usually takes, within bounds', async (t) => {
  const { patience: usual } = patience()
  t.equal(usual.ms, 25, 'unknown: the longest wait')
  for (let answer = 0; answer < 200; answer++) usual.answered(0.3)
  t.equal(usual.ms, 5)
  for (let answer = 0; answer < 200; answer++) usual.answered(3)
  t.ok(usual.ms >= 12 && usual.ms <= 14, String(usual.ms))
  for (let answer = 0; answer < 200; answer++) usual.answered(500)
  t.equal(usual.ms, 25)
  for (let call = 0; call < 200; call++) usual.originTook(12)
  t.equal(usual.ms, 12, 'nobody waits longer than for the origin')
  for (let call = 0; call < 200; call++) usual.originTook(0.1)
  t.equal(usual.ms, 5, 'above the lower bound')
  for (let call = 0; call < 200; call++) usual.originTook(500)
  t.equal(usual.ms, 25)
  t.equal(new Patience({ minMs: 50, maxMs: 10 }).ms, 10, 'the upper bound wins')
})

t.test('R9.1 a wait in vain makes Redis suspected: one probe at a time, ever rarer, until one is answered in time', async (t) => {
  const { patience: suspicious, time, changes } = patience()
  for (let answer = 0; answer < 200; answer++) suspicious.answered(0.3)
  t.equal(suspicious.stance(), 'wait')
  suspicious.lapsed()
  suspicious.lapsed()
  t.strictSame(changes, [true], 'told once')
  const pauses: number[] = []
  for (let probe = 0; probe < 7; probe++) {
    const from = time.now
    while (suspicious.stance() === 'skip') time.now += 5
    pauses.push(time.now - from)
    t.equal(suspicious.stance(), 'skip', 'one at a time')
    if (probe % 2 === 0) suspicious.probed(null)
    else suspicious.probed(400)
  }
  t.strictSame(pauses, [50, 100, 200, 400, 800, 1000, 1000])
  t.ok(suspicious.suspected)
  time.now += 1000
  t.equal(suspicious.stance(), 'probe')
  suspicious.probed(1)
  t.notOk(suspicious.suspected)
  t.strictSame(changes, [true, false])
  t.equal(suspicious.stance(), 'wait')
  suspicious.probed(1)
  t.strictSame(changes, [true, false], 'a probe that nobody asked for changes nothing')
})

t.test('R9.1 a probe without an answer is forgotten, calm shortens the pauses again, and a return forgives', async (t) => {
  const { patience: suspicious, time } = patience()
  const waitForProbe = () => {
    const from = time.now
    while (suspicious.stance() === 'skip') time.now += 5
    return time.now - from
  }
  suspicious.lapsed()
  waitForProbe()
  t.equal(waitForProbe(), 1000, 'the first probe hangs')
  suspicious.probed(0.1)
  for (let answer = 0; answer < 100; answer++) suspicious.answered(0.1)
  suspicious.lapsed()
  t.equal(waitForProbe(), 50)
  suspicious.forgive()
  t.notOk(suspicious.suspected)
  t.equal(suspicious.ms, 25)
})

t.test('R9.1 slow for a moment is an outage, slow for minutes is the new normal', async (t) => {
  const { patience: adaptive, time } = patience()
  for (let answer = 0; answer < 200; answer++) adaptive.answered(0.3)
  adaptive.lapsed()
  const from = time.now
  let probes = 0
  while (adaptive.suspected) {
    time.now += 10
    if (adaptive.stance() !== 'probe') continue
    probes++
    time.now += 15
    adaptive.probed(15)
  }
  t.ok(probes > 20, `${probes} probes`)
  t.ok(time.now - from > 20_000 && time.now - from < 120_000, `${(time.now - from) / 1000} s`)
  adaptive.lapsed()
  for (let probe = 0; probe < 1000; probe++) adaptive.probed(60)
  t.ok(adaptive.suspected, 'but never what is slower than the upper bound')
})
