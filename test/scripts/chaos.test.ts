import t from 'tap'
import { Elements, readElement } from '../../scripts/chaos/elements.ts'
import { episode } from '../../scripts/chaos/episode.ts'
import type { EpisodeResult } from '../../scripts/chaos/episode.ts'
import { readHistory } from '../../scripts/chaos/evidence.ts'
import { Ledger } from '../../scripts/chaos/ledger.ts'
import { modelOf } from '../../scripts/chaos/models.ts'
import { judge, key } from '../../scripts/chaos/oracle.ts'
import type { Evidence } from '../../scripts/chaos/oracle.ts'
import { describeStep, Plan } from '../../scripts/chaos/plan.ts'
import { RedisPair } from '../../scripts/chaos/redis-pair.ts'
import { render, summarise } from '../../scripts/chaos/report.ts'
import { QUEUE } from '../../scripts/chaos/world.ts'
import { buildEnvelope } from '../../services/queue/envelope.ts'
import { RedisTransport } from '../../services/relay/transport/redis-transport.ts'
import { plainConnection } from '../helpers/plain-connection.ts'
import { until } from '../helpers/until.ts'

const SEED = Number(process.env.SEED ?? 20261121)
const SECONDS = 15

t.setTimeout(280_000)

for (const [index, world] of (['sqlite', 'postgres'] as const).entries()) {
  t.test(`R12.4 ${SECONDS} s of faults on ${world}: every acknowledged message once, in order, none other`, { timeout: 140_000 }, async (t) => {
    const result = await episode({ seed: SEED + index, world, goal: { seconds: SECONDS }, perSecond: 1500 })
    t.comment(render(summarise([result])))
    t.strictSame(result.problems, [], `seed ${result.seed}: npm run chaos -- --seed ${result.seed} --world ${world}`)
    t.ok(result.accepted > 1000, `${result.accepted} accepted`)
    t.ok(Object.keys(result.faults).length >= 5, `faults ${JSON.stringify(result.faults)}`)
    t.strictSame(result.skipped, [], 'every fault of the plan happened')
  })
}

t.test('R12.4 the plan follows from the seed alone', async (t) => {
  const first = (seed: number, world: 'sqlite' | 'postgres') => {
    const plan = new Plan(seed, world)
    const steps = plan.steps()
    return [plan.settings, ...Array.from({ length: 50 }, () => describeStep(steps.next().value))]
  }
  t.strictSame(first(7, 'postgres'), first(7, 'postgres'))
  t.notSame(first(7, 'postgres'), first(8, 'postgres'))
  t.notMatch(first(8, 'postgres').join(), /disk full|consumer \(/, 'no disk of ours and no consumers there')
})

/** Three versions of one writer, each acknowledged, each in the queue, and a fourth that nobody answered. */
function evidence (queue: number[], changes: Partial<Evidence> = {}): Evidence {
  const ledger = new Ledger()
  for (const version of [1, 2, 3]) ledger.accept(0, ledger.next(0), idOf(version))
  ledger.next(0)
  const elements = new Elements()
  for (const version of queue) elements.push({ writer: 0, version, id: version })
  const publishes = queue.map((_, index) => ({ term: 'a', before: index, last: index + 1, start: index, count: 1 }))
  return {
    ledger,
    history: { ages: [{ label: '', publishes, start: 0 }], elements, problems: [] },
    poison: new Set(),
    inRedis: { queue: queue.map((version) => ({ writer: 0, version, id: version })), elsewhere: [] },
    handled: null,
    redeliveryExplained: false,
    rows: new Map([1, 2, 3, 4].map((version) => [key(0, version), version])),
    deadLetters: [],
    pendingRows: 0,
    ...changes
  }
}
const idOf = (version: number) => `00000000-0000-7000-8000-0000${version.toString(16).padStart(8, '0')}`

t.test('the oracle notices every broken promise', async (t) => {
  const problems = (queue: number[], changes: Partial<Evidence> = {}) => judge(evidence(queue, changes)).problems
  const publish = (term: string, before: number, last: number, count = last - before) => ({ term, before, last, start: 0, count })
  const history = (publishes: ReturnType<typeof publish>[]) =>
    ({ history: { ...evidence([1, 2, 3]).history, ages: [{ label: '', publishes, start: 0 }] } })
  const handled = (...versions: number[]) => new Map(versions.map((version) => [key(0, version), versions.filter((other) => other === version).length]))
  const nowhere = { inRedis: { queue: [], elsewhere: [] } }

  t.strictSame(problems([1, 2, 3]), [])
  t.strictSame(problems([1, 2, 3, 4]), [], 'unanswered: there or not')
  t.strictSame(problems([1, 2, 4, 3]), ['out of order: 1 (w0/3)'], 'the one before it was acknowledged before it was tried')
  t.strictSame(problems([1, 3]), ['lost: 1 (w0/2)'])
  t.strictSame(problems([1, 2, 2, 3]), ['doubled: 1 (w0/2)'])
  t.strictSame(problems([1, 3, 2]), ['out of order: 1 (w0/2)'])
  t.strictSame(problems([1, 2, 3, 5], { rows: new Map([1, 2, 3, 4, 5].map((version) => [key(0, version), version])) }), ['ghost: nobody sent: 1 (w0/5)'])
  t.match(problems([1, 2, 3], { rows: new Map() }), [/message differs from the model row: 3/, /201 without its row: 3/])
  t.match(problems([1, 2, 3], { inRedis: { queue: [], elsewhere: [] } }), [/the queue is not its history: 1 \(from message 0 on/])
  t.match(problems([1, 2, 3], { pendingRows: 7 }), [/still in the journal: 1 \(7\)/])

  t.strictSame(problems([1, 2, 3], history([publish('a', 0, 1), publish('b', 0, 2)])), [], 'a takeover')
  t.match(problems([1, 2, 3], history([publish('a', 0, 1), publish('b', 0, 1), publish('a', 1, 2)])), [/a term wrote after its successor: 1 \(a 2\)/])
  t.match(problems([1, 2, 3], history([publish('a', 0, 2), publish('a', 2, 1, 1)])), [/a watermark went back/, /numbers and messages differ/])
  t.match(problems([1, 2, 3], history([publish('a', 0, 3, 2)])), [/numbers and messages differ/])

  t.strictSame(problems([1, 2, 3], { ...nowhere, handled: handled(1, 2, 3) }), [])
  t.strictSame(problems([1, 2, 3], { ...nowhere, handled: handled(1, 3) }), ['taken and lost: 1 (w0/2)'])
  t.strictSame(problems([1, 2, 3], { ...nowhere, handled: handled(1, 2, 2, 3) }), ['handled twice without a reason: 1 (1)'])
  t.strictSame(problems([1, 2, 3], { ...nowhere, handled: handled(1, 2, 2, 3), redeliveryExplained: true }), [])
  t.strictSame(problems([1, 2, 3], { ...nowhere, handled: handled(1, 2, 3, 9) }), ['ghost: handled, but nobody sent: 1 (w0/9)'])

  const poison = { poison: new Set([key(0, 2)]) }
  t.strictSame(problems([1, 3], { ...poison, deadLetters: [key(0, 2)] }), [])
  t.strictSame(problems([1, 3], poison), ['poison is nowhere: 1 (w0/2)'])
  t.strictSame(problems([1, 3], { ...poison, deadLetters: [key(0, 2), key(0, 2)] }), ['dead letter twice: 1 (w0/2)'])
  t.strictSame(problems([1, 2, 3], { deadLetters: [key(0, 1)] }), ['dead letter without reason: 1 (w0/1)'])
  t.match(problems([1, 2, 3], { ...poison, deadLetters: [key(0, 2)] }).join(), /poison in the queue: 1/)
})

t.test('a message with one wrong value is nobody\'s', async (t) => {
  const body = envelopeOf(3, 7).replace('"current_value":11', '"current_value":12')
  t.equal(readElement(body), 'w3 7: current_value is 12')
  t.match(readElement(envelopeOf(3, 7)), { writer: 3, version: 7 })
  t.match(readElement('{'), /it is not JSON/)
})

function envelopeOf (writer: number, version: number): string {
  const { version: _version, token_id: symbol, ...model } = modelOf(writer, version)
  return buildEnvelope({
    ...model, model_id: `${model.model_name}/${version}/${symbol}`, model_version: String(version), token_symbol: symbol, current_value: model.current_value!
  }, { correlationId: 'c' }).body
}

t.test('the history is exact: while messages are taken, over a failover that forgets, a restart, a flush and an empty return', async (t) => {
  const pair = await RedisPair.start(t)
  const send = async (term: string, first: number, versions: number[]) => {
    const connection = plainConnection(t, pair.master.port)
    await until(() => connection.isHealthy())
    const bodies = versions.map((version) => envelopeOf(0, version))
    t.ok(await new RedisTransport(connection, QUEUE).publish({ term, first, last: first + bodies.length - 1, bodies, previous: null }))
  }
  const versions = () => {
    const history = readHistory(pair.segments)
    t.strictSame(history.problems, [])
    return Array.from({ length: history.elements.length - history.age.start }, (_, index) => history.elements.at(history.age.start + index).version)
  }
  await send('a', 1, [1, 2, 3])
  await pair.master.cli('rpop', QUEUE)
  await send('a', 1, [1, 2, 3])
  t.strictSame(versions(), [1, 2, 3], 'what is sent twice is there once, though part of it was taken')

  await pair.master.kill()
  await pair.master.restart()
  await send('a', 4, [4])
  await pair.caughtUp()
  await pair.failOver(100)
  t.strictSame(versions(), [1, 2, 3, 4])
  await send('a', 5, [5])
  await pair.caughtUp()
  await pair.failOver(20, () => send('a', 6, [6, 7]))
  t.equal(readHistory(pair.segments).forgotten, 2)
  await pair.master.cli('lpush', QUEUE, envelopeOf(0, 2))
  t.strictSame(versions(), [1, 2, 3, 4, 5], 'what a consumer gives back is no publication')
  t.equal(readHistory(pair.segments).returned, 1)

  await pair.flush()
  await send('a', 1, [1, 2])
  t.strictSame(versions(), [1, 2])
  await pair.returnEmpty()
  await send('a', 1, [1])
  await pair.caughtUp()
  await pair.failOver(50)
  await send('b', 1, [2])
  t.strictSame(versions(), [1, 2])
  t.equal(readHistory(pair.segments).ages.length, 3)
})

t.test('a failure is told with its seed, its place and its problems', async (t) => {
  const broken = {
    seed: 7,
    world: 'sqlite',
    settings: 'queue at rest',
    accepted: 3,
    tried: 3,
    seconds: 1,
    wholeSeconds: 1,
    steps: 1,
    faults: { blackhole: 1 },
    skipped: ['1 blackhole: x'],
    maxRssMib: 1,
    problems: ['lost: 1 (w0/2)'],
    directory: '/tmp/x',
    ages: 1
  } as unknown as EpisodeResult
  const text = render(summarise([broken]))
  t.match(text, /seed 7, sqlite: lost: 1 \(w0\/2\)/)
  t.match(text, /Logs of seed 7, sqlite: \/tmp\/x/)
  t.match(text, /Skipped: seed 7, sqlite, 1 blackhole: x/)
})
