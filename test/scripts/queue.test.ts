import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Test } from 'tap'
import { breakwater } from '../../scripts/breakwater.ts'
import { exitCodeOf } from '../../scripts/queue/settle-all.ts'
import { deadLetter } from '../../services/queue/dead-letter.ts'
import { openSqliteStore } from '../../services/registry/store.ts'
import type { Store } from '../../services/registry/store.ts'
import { startRedis } from '../helpers/redis-server.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'
import manifest from '../../package.json' with { type: 'json' }

const QUEUE = 'hokusai:model_ready_queue'
const DLQ = `${QUEUE}:dlq`
const script = resolve(import.meta.dirname, '../../scripts/breakwater.ts')

function envelope (model: string): string {
  return JSON.stringify({ message_id: model, message_type: 'model_ready_to_deploy', payload: { model_name: model }, timestamp: '2026-11-21T10:18:32.840000', retry_count: 0, max_retries: 3 })
}

function letter (model: string, error = 'Error: refused'): string {
  return deadLetter(Buffer.from(envelope(model)), error, QUEUE).toString()
}

interface Ran { stdout: string, stderr: string, exitCode: number | null }

async function inChild (args: string[], env: Record<string, string>): Promise<Ran> {
  const child = spawn(process.execPath, [script, ...args], { env: { PATH: process.env.PATH ?? '', ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  const [stdout, stderr, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), exited])
  return { stdout, stderr, exitCode }
}

/** A store that somebody else has open, with dead letters of its own. */
async function startStore (t: Test, models: string[]): Promise<{ store: Store, url: string }> {
  const path = join(await temporaryDirectory(t), 'breakwater.db')
  const store = await openSqliteStore({ path, limits: { maxRows: 1000, maxBytes: 1e9 } })
  t.teardown(() => store.close())
  const { journal } = store
  if (models.length > 0) {
    await journal.append(models.map((model) => ({ key: model, body: envelope(model) })))
    const lease = await journal.acquireLease('test', 60_000) ?? ''
    const batch = await journal.advance({ lease, leaseUntil: Date.now() + 60_000, published: null, after: null, maxRows: 100, maxBytes: 1e9 })
    for (let seq = batch!.first; seq <= batch!.last; seq++) await journal.bury(lease, { term: batch!.term, seq }, 'too large', 3)
  }
  return { store, url: `sqlite:${path}` }
}

t.test('R5.5 status, list and show: both sides, as JSON and nothing else, and as text', async t => {
  const redis = await startRedis(t)
  const { url } = await startStore(t, ['p'])
  const env = { REDIS_URL: redis.url, DATABASE_URL: url }
  await redis.cli('lpush', DLQ, letter('c', 'Error: \u001b[31mred\u001b[0m'))
  await redis.cli('lpush', QUEUE, 'x')

  const status = await inChild(['queue', 'status', '--json'], env)
  t.match(status, { exitCode: 0, stderr: '' })
  t.match(JSON.parse(status.stdout), { queue: QUEUE, waiting: 1, dead_letters: { publish: 1, consume: 1 }, unavailable: [] })
  const list = JSON.parse((await inProcess(t, ['queue', 'list', '--json'], env)).stdout)
  t.same(new Set(list.items.map((item: { model: string }) => item.model)), new Set(['p', 'c']))
  const shown = await inProcess(t, ['queue', 'show', list.items[0].id, '--json'], env)
  t.match(JSON.parse(shown.stdout), { ...list.items[0], encoding: 'utf-8', original: envelope(list.items[0].model) })
  t.match(await inChild(['queue', 'show', 'c-0', '--json'], env), { exitCode: 1, stdout: /"code": "FST_BRK_DEAD_LETTER_NOT_FOUND"/ })

  t.match(await inProcess(t, ['queue', 'status'], env), { exitCode: 0, stdout: /waiting {16}1\n[^]*dead letters, publish {2}1\ndead letters, consume {2}1\n/, stderr: '' })
  const table = await inProcess(t, ['queue', 'list', '--limit', '1'], env)
  t.match(table.stdout, /^ID +FAILED +TYPE +MODEL +BYTES +ERROR\n/)
  t.match(table.stdout, /\nMore: --cursor \S+\n$/)
  const consumed = await inProcess(t, ['queue', 'list', '--side', 'consume'], env)
  t.match(consumed.stdout, /model_ready_to_deploy +c +\d+ +Error: \ufffd\[31mred/)
  t.notOk(consumed.stdout.includes('\u001b'), 'a letter does not steer the terminal')
  t.match(await inProcess(t, ['queue', 'list', '--queue', 'other', '--side', 'consume'], env), { exitCode: 0, stdout: 'No dead letters here.\n' })
})

t.test('R5.5 replay and purge: ids, filter, all; while somebody else has the database open', async t => {
  const redis = await startRedis(t)
  const { store, url } = await startStore(t, ['p', 'q'])
  const env = { REDIS_URL: redis.url, DATABASE_URL: url }
  for (const model of ['a', 'b', 'c', 'd']) await redis.cli('lpush', DLQ, letter(model))
  const list = JSON.parse((await inProcess(t, ['queue', 'list', '--json'], env)).stdout)
  const idOf = (model: string) => list.items.find((item: { model: string }) => item.model === model).id
  t.match(await inProcess(t, ['queue', 'replay', idOf('a'), idOf('p')], env), { exitCode: 0, stdout: '2 replayed\n', stderr: '' })
  t.same(await redis.cli('lrange', QUEUE, 0, -1), [envelope('a')])
  const partly = await inChild(['queue', 'replay', idOf('a'), idOf('b'), '--json'], env)
  t.equal(partly.exitCode, 2)
  t.match(JSON.parse(partly.stdout), { action: 'replay', counts: { replayed: 1, not_found: 1 }, results: [{ id: idOf('a'), outcome: 'not_found' }, { outcome: 'replayed' }], remaining: false })
  t.match(await inProcess(t, ['queue', 'purge', idOf('a')], env), { exitCode: 1, stdout: /not_found\n1 not found\n/ })
  t.match(await inChild(['queue', 'purge', '--all'], env), { exitCode: 1, stdout: '', stderr: /purge of all needs --yes/ })
  t.match(await inProcess(t, ['queue', 'purge', '--model', 'c', '--yes'], env), { exitCode: 0, stdout: '1 purged\n' })
  await redis.cli('lpush', DLQ, 'not json')
  t.match(await inProcess(t, ['queue', 'replay', '--all', '--yes', '--json'], env), { exitCode: 2, stdout: /"replayed": 2,\n {4}"not_replayable": 1|"not_replayable": 1,\n {4}"replayed": 2/ })
  t.match(await inProcess(t, ['queue', 'purge', '--all', '--yes'], env), { exitCode: 0, stdout: '1 purged\n' })
  t.match(await inProcess(t, ['queue', 'purge', '--all', '--yes'], env), { exitCode: 0, stdout: 'No dead letters match.\n' })
  t.match(await store.journal.stats(), { deadRows: 0 }, 'the process that has the database open sees it')
})

t.test('R5.5 with Redis down: the publish side only, exit code 2', async t => {
  const redis = await startRedis(t)
  const { url } = await startStore(t, ['p'])
  const env = { REDIS_URL: redis.url, DATABASE_URL: url }
  await redis.kill()
  const list = await inProcess(t, ['queue', 'list', '--json'], env)
  t.equal(list.exitCode, 2)
  t.match(JSON.parse(list.stdout), { items: [{ side: 'publish', model: 'p' }], unavailable: [{ side: 'consume', reason: /Redis/ }] })
  t.match(await inProcess(t, ['queue', 'status'], env), { exitCode: 2, stdout: /waiting {16}unknown\n/, stderr: /Not seen: There is no connection to Redis/ })
  t.match(await inProcess(t, ['queue', 'replay', '--all', '--yes'], env), { exitCode: 2, stdout: '1 replayed\n', stderr: /Not seen/ })
  t.match(await inProcess(t, ['queue', 'replay', 'c-00000000000000000000000000000000'], env), { exitCode: 1, stdout: /failed: There is no connection to Redis/ })
})

t.test('without a journal or without Redis: said, and not made', async t => {
  const redis = await startRedis(t)
  const missing = join(await temporaryDirectory(t), 'none.db')
  await redis.cli('lpush', DLQ, letter('c'))
  t.match(await inProcess(t, ['queue', 'list'], { REDIS_URL: redis.url, DATABASE_URL: `sqlite:${missing}` }), {
    exitCode: 2, stdout: /refused/, stderr: /^Not seen: There is no journal: DATABASE_URL names the file .*none\.db, which does not exist\n$/
  })
  t.match(await inProcess(t, ['queue', 'list'], { DATABASE_URL: 'sqlite::memory:' }), { exitCode: 1, stdout: '', stderr: /FST|cannot be read/ })
  t.match(await inProcess(t, ['queue', 'status', '--json'], { PORT: 'x' }), { exitCode: 1, stdout: /"variable": "PORT"/, stderr: '' })
})

t.test('wrong usage: exit code 1, help on standard error', async t => {
  const wrong: [args: string[], text: RegExp][] = [
    [['queue'], /Say what to do/],
    [['queue', 'lst'], /There is no command "lst"; did you mean list\?/],
    [['queue', 'list', '--side', 'x'], /--side is publish or consume/],
    [['queue', 'list', '--limit', '0'], /--limit must be/],
    [['queue', 'list', 'c-1'], /list takes no ids/],
    [['queue', 'show'], /show needs one id/],
    [['queue', 'replay'], /replay needs ids, or --all, or a filter/],
    [['queue', 'purge', 'c-1', '--all'], /one of the three/],
    [['queue', 'replay', '--all', '--cursor', 'x'], /--cursor goes with list/],
    [['queue', '--nonsense'], /Unknown option/],
    [['quue', 'list'], /There is no command "quue"; did you mean queue\?/],
    [['toString'], /There is no command "toString"/],
    [[], /breakwater doctor/]
  ]
  for (const [args, pattern] of wrong) t.match(await inProcess(t, args), { exitCode: 1, stdout: '', stderr: pattern }, args.join(' '))
})

t.test('breakwater: one entry for every command', async t => {
  t.match(await inProcess(t, ['--help']), { exitCode: 0, stdout: /breakwater consume/, stderr: '' })
  t.match(await inProcess(t, ['--version']), { exitCode: 0, stdout: `${manifest.version}\n` })
  t.match(await inProcess(t, ['doctor', '--print', '--json']), { exitCode: 0, stdout: /"valid": true/ })
  t.match(await inProcess(t, ['doctor', '--nonsense']), { exitCode: 1, stderr: /nonsense/ })
  t.match(await inProcess(t, ['consume', '--help']), { exitCode: 0, stdout: /--drain/ })
  t.match(await inProcess(t, ['queue', '--help']), { exitCode: 0, stdout: /breakwater queue replay/ })
})

t.test('exit codes of a batch', async t => {
  const of = (counts: object, unavailable: { side: 'consume', reason: string }[] = []) =>
    exitCodeOf({ action: 'replay', counts, results: [], results_truncated: false, remaining: false, unavailable })
  t.equal(of({}), 0)
  t.equal(of({ replayed: 3 }), 0)
  t.equal(of({ replayed: 3, failed: 1 }), 2)
  t.equal(of({ failed: 1 }), 1)
  t.equal(of({ replayed: 1 }, [{ side: 'consume', reason: 'r' }]), 2)
})

async function inProcess (t: Test, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const out = t.capture(process.stdout, 'write')
  const err = t.capture(process.stderr, 'write')
  const printed = (calls: { args: unknown[] }[]) => calls.map((call) => String(call.args[0])).join('')
  try {
    const exitCode = await breakwater(args, env)
    return { exitCode, stdout: printed(out()), stderr: printed(err()) }
  } finally {
    out.restore()
    err.restore()
  }
}
